import { Backoff } from "./backoff.js";
import { meaning } from "./closecode.js";
import { ABNORMAL, type Conn, type ConnEvents } from "./conn.js";
import type { Past } from "./frames.js";
import type { Ack, ServerFrame } from "./protocol.generated.js";

/** What a link is doing. */
export type LinkState =
  /** Nothing, until connect. */
  | "idle"
  /** It asks the application for a ticket. */
  | "ticket"
  /** It has opened a conn, and waits for ready. */
  | "opening"
  /** Every end of the session will be told. */
  | "ready"
  /** It waits before the next attempt. */
  | "waiting"
  /** The gateway ended the conn for good, or the application gave no ticket. It doesn't come back by itself. */
  | "over"
  | "closed";

/** What a link shares with the links of other tabs, which may follow it. */
export interface Memory extends Past {
  /** WebSockets have failed on this network, and streams haven't. */
  streams?: boolean | undefined;
}

/** What a link needs, and whom it tells. */
export interface LinkConfig {
  /** Asks the application for a ticket; undefined says that nobody is signed in. */
  ticket: () => Promise<string | undefined>;
  /** Opens a conn: a stream, or a WebSocket. */
  open: (streams: boolean, ticket: string, past: Past, events: ConnEvents) => Conn;
  /** What is known of the past, which the link brings up to date. */
  memory: Memory;
  /** A frame came that isn't the link's own business alone, which heartbeat and drain are. */
  frame: (frame: ServerFrame) => void;
  state: (state: LinkState) => void;
  error: (error: unknown) => void;
  random?: () => number;
}

/** After how long an attempt that hasn't led to ready is given up. */
const OPEN_MS = 15_000;
/** How long a conn has to be ready before the next attempt waits little again. */
const STEADY_MS = 5_000;
/** After how many heartbeats of silence a conn is given up. */
const SILENT_HEARTBEATS = 2.5;
/** What a timer can wait for, about. */
const MOST_TIMER_MS = 2e9;

/** The conn of a browser, again and again: it gets tickets, opens conns, and does what their ends ask for. */
export class Link {
  readonly #config: LinkConfig;
  readonly #backoff: Backoff;
  #state: LinkState = "idle";
  #conn: Conn | undefined;
  /** How many WebSockets in a row weren't ready: after two, streams have their turn. */
  #failed: number;
  #drainMs: number | undefined;
  #session: string | undefined;
  #heartbeatMs = 0;
  /** Counts what has been begun, so that what an earlier attempt still tells is known to be late. */
  #attempt = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #steady: ReturnType<typeof setTimeout> | undefined;

  constructor(config: LinkConfig) {
    this.#config = config;
    this.#backoff = new Backoff(config.random);
    this.#failed = config.memory.streams ? 2 : 0;
  }

  get state(): LinkState {
    return this.#state;
  }

  /** The session of the conn, once ready has named it; that of the last one while there is none. */
  get session(): string | undefined {
    return this.#session;
  }

  /** Connects, unless it has begun to. */
  connect(): void {
    if (this.#state === "idle") void this.#begin();
    // What ended for good, and is tried again all the same, mustn't be tried again at once each time.
    else if (this.#state === "over") this.#wait(this.#backoff.next());
  }

  /** Connects at once and over a WebSocket, in place of a conn that may be another network's or another session's. */
  renew(): void {
    if (/idle|over|closed/.test(this.#state)) return;
    this.#failed = 0;
    this.#backoff.reset();
    void this.#begin();
  }

  /** Acknowledges a notice, if the conn is still there. */
  ack(id: string, outcome: Ack["outcome"]): void {
    this.#conn?.ack(id, outcome);
  }

  /** Ends the conn and whatever waits, until connect. */
  pause(): void {
    this.#rest("idle");
  }

  /** Ends the conn and whatever waits. */
  close(): void {
    this.#rest("closed");
  }

  async #begin(): Promise<void> {
    this.#drop();
    const attempt = this.#attempt;
    this.#session = this.#drainMs = undefined;
    this.#become("ticket");
    this.#timer = setTimeout(() => this.#closed(ABNORMAL), OPEN_MS);
    let ticket: string | undefined;
    try {
      ticket = await this.#config.ticket();
    } catch (error) {
      if (attempt === this.#attempt) this.#wait(this.#backoff.next(), error);
      return;
    }
    if (attempt !== this.#attempt) return;
    if (!ticket) return this.#rest("over");
    this.#become("opening");
    // What an earlier conn tells late, as it may from a turn that was under way, is nobody's.
    const now = (act: () => void) => attempt === this.#attempt && act();
    try {
      this.#conn = this.#config.open(this.#failed >= 2, ticket, this.#config.memory, {
        heard: () => now(() => this.#heard()),
        frame: (frame) => now(() => this.#frame(frame)),
        away: () => now(() => this.#away()),
        closed: (code, reason) => now(() => this.#closed(code, reason)),
      });
    } catch {
      // The browser's own words would quote the ticket.
      this.#closed(ABNORMAL, "", new Error("no WebSocket can be opened: is the gateway's url https?"));
    }
  }

  #frame(frame: ServerFrame): void {
    const { memory } = this.#config;
    const known = memory.position ?? Infinity;
    if ("position" in frame) memory.position = Math.max(memory.position ?? 0, frame.position);
    if (frame.type === "logout") memory.after = frame.id;
    if (frame.type === "ready") {
      this.#session = frame.session;
      this.#heartbeatMs = frame.heartbeat_ms;
      memory.streams = this.#failed >= 2;
      this.#failed = memory.streams ? 2 : 0;
      this.#steady = setTimeout(() => this.#backoff.reset(), STEADY_MS);
      this.#become("ready");
      this.#heard();
    } else if (frame.type === "drain") {
      this.#drainMs = frame.reconnect_after_ms;
    }
    // That a heartbeat was heard is all there is to it.
    if (frame.type !== "drain" && frame.type !== "heartbeat") this.#config.frame(frame);
    // A stream that is opened anew can't say what was heard before, so nobody tells whether something has changed since.
    if (frame.type === "ready" && memory.streams && frame.position > known) this.#config.frame({ type: "sessions_changed", position: frame.position });
  }

  /** Any sign of life puts off the moment at which silence has lasted for too long. */
  #heard(): void {
    if (this.#state !== "ready") return;
    clearTimeout(this.#timer);
    if (this.#heartbeatMs) this.#timer = setTimeout(() => this.#closed(ABNORMAL), Math.min(this.#heartbeatMs * SILENT_HEARTBEATS, MOST_TIMER_MS));
  }

  #away(): void {
    clearTimeout(this.#timer);
    clearTimeout(this.#steady);
    this.#timer = setTimeout(() => this.#closed(ABNORMAL), 2 * OPEN_MS);
    this.#become("opening");
  }

  #closed(code: number, reason?: string, error?: unknown): void {
    // A gateway that says why has been reached, so nothing stands in the way of this transport.
    if (this.#state === "opening" && code === ABNORMAL && globalThis.navigator?.onLine !== false) {
      // A stream that failed too gives a WebSocket the next turn, and has the one after that.
      this.#failed = this.#failed >= 2 ? 1 : this.#failed + 1;
    }
    const { then, ...told } = meaning(code, reason);
    if (then === "over") return this.#rest("over");
    this.#wait("afterMs" in told ? told.afterMs : this.#drainMs ?? this.#backoff.next(), error);
  }

  #wait(ms: number, error?: unknown): void {
    this.#drop();
    if (error) this.#config.error(error);
    this.#become("waiting");
    this.#timer = setTimeout(() => void this.#begin(), ms);
  }

  #rest(state: LinkState): void {
    this.#drop();
    this.#become(state);
  }

  /** Lets go of the conn and of every timer. */
  #drop(): void {
    this.#attempt++;
    clearTimeout(this.#timer);
    clearTimeout(this.#steady);
    this.#conn?.close();
    this.#conn = undefined;
  }

  #become(state: LinkState): void {
    if (this.#state === state) return;
    this.#state = state;
    this.#config.state(state);
  }
}
