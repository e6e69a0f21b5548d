import { elect, type Deed, type Happening, type Role } from "./election.js";
import { message, type Message } from "./message.js";

/** How often a tab that somebody looks at asks whether the leader is there. */
const ASK_MS = 2_000;
/** For how long a leader may be silent, and how much longer at random, so that two tabs don't both take its place. */
const SILENT_MS = 700;
const SILENT_JITTER_MS = 500;

/** Whom Tabs tells. */
export interface TabsEvents {
  /** This tab has the conn from now on. */
  lead(): void;
  /** Another tab has it. */
  follow(): void;
  /** Another tab said something. */
  message(message: Message): void;
}

/**
 * The tabs of one browser, of which one leads: it holds a Web Lock, and they speak over a BroadcastChannel. Where one of the two is missing, as on a page of http,
 * each tab leads itself.
 */
export class Tabs {
  readonly #name: string;
  readonly #events: TabsEvents;
  #role: Role = "stopped";
  #visible = false;
  #channel: BroadcastChannel | undefined;
  /** Gives back the lock that is held, or waits no longer for it. */
  #release: (() => void) | undefined;
  #silence: ReturnType<typeof setTimeout> | undefined;
  #due: ReturnType<typeof setTimeout> | undefined;

  constructor(name: string, events: TabsEvents) {
    this.#name = "curfew:" + name;
    this.#events = events;
  }

  /** Takes part. */
  start(visible: boolean): void {
    this.#visible = visible;
    if (this.#role !== "stopped") return;
    try {
      this.#channel = new BroadcastChannel(this.#name);
      this.#channel.onmessage = ({ data }) => {
        const said = message(data);
        if (said) this.#heard(said);
      };
    } catch {
      // Each for itself, below.
    }
    if (this.#channel && navigator.locks) this.#happens("start");
    else this.#alone();
  }

  /** Takes part no longer, and lets another tab lead. */
  stop(): void {
    this.#happens("stop");
    this.#channel?.close();
    this.#channel = undefined;
  }

  /** Says whether somebody looks at this tab. */
  shown(visible: boolean): void {
    this.#visible = visible;
    this.#happens(visible ? "shown" : "hidden");
  }

  /** Tells the other tabs something. */
  send(said: Message): void {
    this.#channel?.postMessage(said);
  }

  #heard(said: Message): void {
    if (said.type === "here") this.#happens("heard");
    this.#events.message(said);
  }

  #happens(happening: Happening): void {
    const [role, ...deeds] = elect(this.#role, this.#visible, happening);
    this.#role = role;
    for (const deed of deeds) this.#do(deed);
  }

  #do(deed: Deed): void {
    switch (deed) {
      case "request":
      case "steal":
        return this.#hold(deed === "steal");
      case "release":
        return this.#release?.();
      case "ask":
        this.send({ type: "ask" });
        clearTimeout(this.#silence);
        this.#silence = setTimeout(() => {
          // What was said while this tab was late itself is heard before that.
          this.#silence = setTimeout(() => this.#happens("silent"));
        }, SILENT_MS + Math.random() * SILENT_JITTER_MS);
        return;
      case "later":
        this.#due = setTimeout(() => this.#happens("due"), ASK_MS);
        return;
      case "calm":
        clearTimeout(this.#silence);
        clearTimeout(this.#due);
        return;
      default:
        return this.#events[deed]();
    }
  }

  /** Waits for the lock or takes it, and holds it until it is released or robbed. */
  #hold(steal: boolean): void {
    this.#release?.();
    const giving = new AbortController();
    let held = false;
    const lock = () =>
      new Promise<void>((resolve) => {
        if (giving.signal.aborted) return resolve();
        held = true;
        giving.signal.onabort = () => resolve();
        this.#happens("granted");
      });
    this.#release = () => giving.abort();
    // The signal can't be given along with steal, which never waits.
    const options: LockOptions = steal ? { steal } : { signal: giving.signal };
    const request = async () => navigator.locks.request(this.#name, options, lock);
    request().catch(() => {
      if (giving.signal.aborted) return;
      // Robbed of it; or there are no locks for this page, as for one of an opaque origin.
      if (held) this.#happens("robbed");
      else this.#alone();
    });
  }

  /** Leads this tab alone. */
  #alone(): void {
    this.#release = undefined;
    this.#role = "following";
    this.#happens("granted");
  }
}
