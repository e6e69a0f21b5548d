import { Activity } from "./activity.js";
import { Application } from "./application.js";
import { Departure } from "./departure.js";
import { Expiry } from "./expiry.js";
import { Link, type LinkState, type Memory } from "./link.js";
import type { Message } from "./message.js";
import { nudge } from "./nudge.js";
import type { ListenerState, LogoutListenerHandle, LogoutListenerOptions, Verdict } from "./options.js";
import type { Ack, Logout, ServerFrame } from "./protocol.generated.js";
import { report } from "./report.js";
import { SocketConn } from "./socketconn.js";
import { StreamConn } from "./streamconn.js";
import { Tabs } from "./tabs.js";

/** An application that still calls a session alive may have that from a cache: it is asked again after so long, before the gateway stops waiting (2 s). */
const DOUBT_MS = 1_500;
/** And again after so long, once the notice was ignored. */
const DOUBTS_MS = [3_000, 10_000];
/** For how long the end of the session is taken for this browser's own doing once signingOut was called. */
const ECHO_MS = 30_000;
/** After how long a conn that was ended for good may be tried again where the application names no session, and only when somebody comes back to a tab. */
const OVER_MS = 60_000;
/** How many notices are remembered: the same may come twice. */
const NOTICES = 16;

/** The listener of one tab. */
export class Listener implements LogoutListenerHandle {
  readonly #options: LogoutListenerOptions;
  readonly #url: string;
  readonly #application: Application;
  readonly #tabs: Tabs;
  readonly #expiry: Expiry;
  readonly #departure: Departure;
  readonly #activity: Activity | undefined;
  /** Listens to the page until it is closed. */
  readonly #listening = new AbortController();
  readonly #memory: Memory = {};
  /** Notice's id → what became of it. */
  readonly #decided = new Map<string, Promise<Ack["outcome"]>>();
  readonly #doubts: ReturnType<typeof setTimeout>[] = [];
  #link: Link | undefined;
  #told: ListenerState | undefined;
  /** What stands above what the link and the tabs do. */
  #standing: "listening" | "suspended" | "signed_out" | "closed" = "listening";
  /** Whether this page may show a signed-in person's data. */
  #signedIn: boolean;
  /** The session that the application named last. */
  #session: string | undefined;
  #overAt = 0;
  /** The application is being asked, and is to be asked again after that. */
  #checking = false;
  #again = false;
  /** The notice that another tab has told of, or null if it told of an end without one. */
  #hint: Logout | null | undefined;
  /** When this tab, and any tab of the browser, began to sign out by itself. */
  #echo = -Infinity;
  #browserEcho = -Infinity;

  constructor(options: LogoutListenerOptions) {
    this.#options = options;
    this.#url = new URL(options.url, location.href).href.replace(/\/$/, "");
    this.#signedIn = !!options.signedIn;
    this.#application = new Application(options);
    this.#departure = new Departure(options, async (...end) => (await this.#dialogs())?.tell(options, ...end));
    const { touches } = this.#application;
    this.#expiry = new Expiry({
      due: () => this.check(),
      warn: async (...end) => (await this.#dialogs())?.warn(options, ...end, touches ? () => this.touch() : undefined),
    });
    if (touches) {
      this.#activity = new Activity({
        touch: () => this.#signedIn && this.touch(),
        share: (at) => this.#tabs.send({ type: "input", at }),
        intervalMs: options.touchIntervalMs ?? 15_000,
      });
    }
    this.#tabs = new Tabs(options.name ?? this.#url, {
      lead: () => this.#lead(),
      follow: () => this.#follow(),
      message: (said) => this.#message(said),
    });
    this.#listen();
    this.#tabs.start(this.#visible);
    this.check();
  }

  get state(): ListenerState {
    if (this.#standing !== "listening") return this.#standing;
    if (!this.#link) return this.#signedIn ? "following" : "idle";
    const { state } = this.#link;
    return /idle|ready|over/.test(state) ? (state as ListenerState) : "connecting";
  }

  check(): void {
    if (this.#asleep) return;
    // One that is under way may have been answered before the call, and goes on for as long as the application doesn't answer: so there is one more after it, and no more.
    this.#again = this.#checking;
    if (this.#checking) return;
    this.#checking = true;
    void this.#application.verdict().then((verdict) => {
      this.#checking = false;
      this.#learn(verdict);
      if (this.#again) this.check();
    });
  }

  signingOut(): void {
    this.#echo = this.#browserEcho = performance.now();
    this.#tabs.send({ type: "signing_out" });
  }

  async touch(): Promise<boolean> {
    const taken = await this.#application.touch();
    if (!taken) {
      this.check();
      return false;
    }
    this.#activity?.told({ touched: Date.now() });
    // The gateway says so too, in a moment. Max age isn't moved by a touch.
    if (this.#expiry.expiring?.reason === "idle_timeout") this.#share({ type: "session_renewed" });
    this.#here();
    return true;
  }

  close(): void {
    if (this.#standing === "closed") return;
    this.#listening.abort();
    this.#pause();
    this.#application.close();
    this.#activity?.close();
    this.#become("closed");
  }

  /** Loads the dialogs, if they are wanted. Where that fails they are done without. */
  async #dialogs(): Promise<typeof import("./dialogs.js") | undefined> {
    return this.#options.dialog === false ? undefined : import("./dialogs.js").catch(() => undefined);
  }

  get #asleep(): boolean {
    return /closed|suspended/.test(this.#standing);
  }

  get #visible(): boolean {
    return document.visibilityState === "visible";
  }

  #listen(): void {
    const on = (target: EventTarget, type: string, act: (event: Event) => void) => target.addEventListener(type, act, { signal: this.#listening.signal });
    on(document, "visibilitychange", () => {
      this.#tabs.shown(this.#visible);
      if (this.#visible) this.check();
    });
    on(window, "online", () => {
      this.#link?.renew();
      this.check();
    });
    // A page that holds a lock, a channel or a conn isn't kept in the back-forward cache, and one that is frozen mustn't lead.
    const suspend = () => this.#suspend();
    on(window, "pagehide", suspend);
    on(document, "freeze", suspend);
    on(window, "pageshow", (event) => (event as PageTransitionEvent).persisted && this.#resume());
    on(document, "resume", () => this.#resume());
  }

  #suspend(): void {
    if (this.#standing !== "listening") return;
    this.#pause();
    this.#become("suspended");
  }

  /** Begins anew after a time in which nothing was heard. */
  #resume(): void {
    if (this.#standing === "suspended") {
      this.#become("listening");
      this.#tabs.start(this.#visible);
    }
    this.check();
  }

  #pause(): void {
    this.#tabs.stop();
    this.#expiry.clear();
    this.#doubts.splice(0).forEach(clearTimeout);
    this.#decided.clear();
  }

  #become(standing: Listener["state"] & ("suspended" | "signed_out" | "closed") | "listening"): void {
    this.#standing = standing;
    this.#tell();
  }

  #tell(): void {
    const { state } = this;
    if (state === this.#told) return;
    this.#told = state;
    this.#call(() => this.#options.onState?.(state));
  }

  /** Tells the application something. What that throws is its own affair. */
  #call(act: () => void): void {
    try {
      act();
    } catch (error) {
      report(this.#options, error);
    }
  }

  #lead(): void {
    this.#link = new Link({
      memory: this.#memory,
      ticket: () => this.#application.ticket(),
      open: (streams, ticket, past, events) =>
        streams ? new StreamConn(this.#url, ticket, events) : new SocketConn(this.#url, ticket, past, events),
      frame: (frame) => this.#frame(frame),
      state: (state) => this.#linked(state),
      error: (error) => report(this.#options, error),
    });
    this.#activity?.lead(true);
    this.#here();
    this.#tell();
    this.check();
  }

  #follow(): void {
    this.#link?.close();
    this.#link = undefined;
    this.#activity?.lead(false);
    this.#tell();
  }

  /** The leader tells those who follow what they would go on from. */
  #here(): void {
    if (this.#link) this.#tabs.send({ type: "here", memory: this.#memory, expiring: this.#expiry.expiring, touched: this.#activity?.touched ?? 0 });
  }

  #linked(state: LinkState): void {
    this.#tell();
    if (state !== "over") return;
    this.#overAt = performance.now();
    // What the notice says, if there was one, comes first.
    void Promise.all(this.#decided.values()).then(() => this.check());
  }

  #frame(frame: ServerFrame): void {
    if (frame.type === "logout") {
      const link = this.#link;
      void this.#decide(frame).then((outcome) => link?.ack(frame.id, outcome));
    } else if (frame.type !== "ready") {
      this.#share(frame);
    }
    this.#here();
  }

  /** Does what all tabs of the browser do. */
  #share(frame: ServerFrame): void {
    this.#tabs.send({ type: "frame", frame });
    this.#concern(frame);
  }

  #concern(frame: ServerFrame): void {
    if (frame.type === "sessions_changed") this.#call(() => this.#options.onSessionsChanged?.());
    if (frame.type === "session_expiring" && this.#signedIn) {
      this.#call(() => this.#options.onExpiring?.(frame));
      this.#expiry.show(frame);
    }
    if (frame.type === "session_renewed") {
      if (this.#expiry.expiring) this.#call(() => this.#options.onRenewed?.());
      this.#expiry.clear();
    }
  }

  #message(said: Message): void {
    switch (said.type) {
      case "ask":
        return this.#here();
      case "here":
        Object.assign(this.#memory, said.memory, { position: Math.max(this.#memory.position ?? 0, said.memory.position ?? 0) });
        this.#activity?.told(said);
        if (said.expiring && !this.#expiry.expiring) this.#concern(said.expiring);
        return;
      case "ended":
        if (!this.#signedIn) return;
        this.#hint = said.notice ?? null;
        return this.check();
      case "frame":
        return this.#concern(said.frame);
      case "session":
        return this.#standing === "signed_out" ? this.check() : this.#connect(said.session);
      case "input":
        return this.#activity?.told({ input: said.at });
      case "signing_out":
        this.#browserEcho = performance.now();
    }
  }

  /** Learns what the application has answered, to a question that no notice has caused, or some time after one. */
  #learn({ signedIn, session }: Verdict, notice?: Logout): void {
    if (this.#asleep) return;
    const hint = this.#hint;
    // What was told meanwhile is asked about next.
    if (!this.#again) this.#hint = undefined;
    if (signedIn) {
      // They are there when they are needed, whatever the network is like by then.
      if (!this.#signedIn) void this.#dialogs();
      this.#signedIn = true;
      if (this.#standing === "signed_out") this.#become("listening");
      this.#tabs.send({ type: "session", session });
      this.#connect(session);
    } else if (this.#signedIn) {
      // A tab that was told by another needn't tell the others, nor Auth.js.
      this.#over(notice ?? hint ?? undefined, hint === undefined);
    }
    this.#tell();
  }

  /** Has the leader's conn be that of the session that the browser has. */
  #connect(session: string | undefined): void {
    const link = this.#link;
    const known = (link?.state === "over" && link.session) || this.#session;
    const another = session && known && session !== known;
    this.#session = session ?? this.#session;
    if (!link || this.#standing !== "listening") return;
    if (link.state === "over") {
      if (another || (!(session && link.session) && performance.now() - this.#overAt > OVER_MS)) link.connect();
    } else if (another && link.state === "ready") {
      link.renew();
    } else if (link.state === "idle") {
      link.connect();
    }
  }

  /** Asks the application what there is to a notice, and resolves to what became of it. One that comes again isn't decided again. */
  #decide(notice: Logout): Promise<Ack["outcome"]> {
    let outcome = this.#decided.get(notice.id);
    if (!outcome) {
      if (this.#decided.size >= NOTICES) this.#decided.clear();
      outcome = this.#judge(notice);
      this.#decided.set(notice.id, outcome);
    }
    return outcome;
  }

  async #judge(notice: Logout): Promise<Ack["outcome"]> {
    if (this.#standing === "signed_out") return "already";
    let verdict = await this.#application.verdict();
    if (verdict.signedIn) {
      await new Promise<void>((resolve) => this.#doubts.push(setTimeout(resolve, DOUBT_MS)));
      verdict = await this.#application.verdict();
    }
    if (verdict.signedIn) {
      // The conn may be changed for another by what was learnt, but not before the notice is acknowledged on it.
      const known = verdict;
      const again = async () => this.#learn(await this.#application.verdict(), notice);
      this.#doubts.push(setTimeout(() => this.#learn(known)), ...DOUBTS_MS.map((ms) => setTimeout(again, ms)));
      return "ignored";
    }
    const own = performance.now() - this.#browserEcho < ECHO_MS;
    this.#over(notice, true);
    return own ? "already" : "signed_out";
  }

  /** The session is over, says the application. The tab that has learnt it first, which is the leader if a notice came, tells the others. */
  #over(notice: Logout | undefined, origin: boolean): void {
    if (this.#standing !== "listening") return;
    if (origin) {
      this.#tabs.send({ type: "ended", notice });
      nudge();
    }
    this.#expiry.clear();
    const leaves = this.#signedIn && performance.now() - this.#echo >= ECHO_MS;
    this.#signedIn = false;
    this.#become("signed_out");
    // The gateway closes a conn whose notice is acknowledged.
    if (!notice) this.#link?.pause();
    if (leaves) void this.#departure.leave({ reason: notice?.reason, message: notice?.message, notice });
  }
}
