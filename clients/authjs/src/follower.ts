import type { Api } from "./api.js";
import { ApiError, CurfewError } from "./errors.js";
import { readEvents } from "./eventstream.js";
import { Freshness } from "./freshness.js";
import type { SessionIdentity } from "./identity.js";
import { type Ending, type Revocation, RevocationSet } from "./revocationset.js";

/** What a follower knows of a session. Undetermined means: ask the gate. */
export type FollowerAnswer = { state: "active" } | ({ state: "revoked" } & Omit<Ending, "scope"> & { scope: Ending["scope"] | "max_age" }) | { state: "undetermined"; cause: string };

/** What a follower is told and tells. */
export interface FollowerConfig {
  api: Api;
  /** How old the proof may be; the server's own budget if that is shorter. */
  stalenessBudgetMs: number;
  /** Is told when the stream is lost and when it is followed again. */
  onState?: (following: boolean, error?: CurfewError) => void;
}

const silenceMs = 5000;
const sweepMs = 60000;
const pauseMs = 500;
const longestPauseMs = 30000;

interface Frame {
  position?: number;
  scope?: Revocation["scope"];
  session?: string;
  user?: string;
  device?: string;
  client?: string;
  cutoff_ms?: number;
  except?: string[];
  known_sessions?: string[];
  reason?: string;
  at?: string;
  expires_at?: string;
  max_age_ms?: number;
  staleness_budget_ms?: number;
  leeway_ms?: number;
}

/**
 * Holds all live revocations of a tenant in memory and follows the stream of them. It is synced once it has applied everything up to the head that the server saw
 * when it connected; before that, and when the proof is older than the budget, it answers undetermined. What it knows to be revoked stays revoked, whatever
 * becomes of the stream.
 */
export class Follower {
  readonly #config: FollowerConfig;
  readonly #set = new RevocationSet();
  readonly #freshness = new Freshness();
  #synced = false;
  #position = 0;
  #maxAgeMs = Infinity;
  #leewayMs = 300000;
  #budgetMs: number;
  #sweptAt = 0;
  #abort = new AbortController();
  #running: Promise<void> | undefined;
  #waiting: (() => void)[] = [];

  constructor(config: FollowerConfig) {
    this.#config = config;
    this.#budgetMs = config.stalenessBudgetMs;
  }

  /** Begins to follow; further calls change nothing. */
  start(): void {
    this.#running ??= this.#run();
  }

  /** Ends the connection and returns once nothing runs any more. */
  async close(): Promise<void> {
    this.#abort.abort();
    this.#wake();
    await this.#running;
  }

  /** The position up to which everything has been applied. */
  get position(): number {
    return this.#position;
  }

  /** Whether an answer can be believed now. */
  get fresh(): boolean {
    return this.#synced && this.#freshness.stalenessMs() <= this.#budgetMs;
  }

  /** Resolves once the follower is synced and fresh; rejects when the signal ends the wait, or the follower is closed. */
  async ready(signal?: AbortSignal): Promise<void> {
    while (!this.fresh) {
      signal?.throwIfAborted();
      if (this.#abort.signal.aborted) throw new CurfewError("closed", "the stream of revocations isn't followed any more", false);
      await new Promise<void>((resolve) => {
        const done = () => {
          signal?.removeEventListener("abort", done);
          resolve();
        };
        this.#waiting.push(done);
        signal?.addEventListener("abort", done, { once: true });
      });
    }
  }

  /** Returns the latest cutoff that reaches a user's new sessions. */
  latestCutoffMs(user: string): number {
    return this.#set.latestCutoffMs(user);
  }

  /** Answers from memory. A position that isn't reached yet makes the answer undetermined. */
  check(s: SessionIdentity, position = 0): FollowerAnswer {
    const by = this.#set.ending(s);
    if (by) return { state: "revoked", ...by };
    const now = Date.now();
    if (s.authTimeMs !== undefined && now >= s.authTimeMs + this.#maxAgeMs) return { state: "revoked", scope: "max_age", reason: "max_age" };
    if (!this.#synced) return { state: "undetermined", cause: "not synced" };
    if (!this.fresh) return { state: "undetermined", cause: "stale" };
    if (position > this.#position) return { state: "undetermined", cause: "position not reached" };
    if (s.user === undefined) return { state: "undetermined", cause: "user is missing" };
    if (s.authTimeMs === undefined) return { state: "undetermined", cause: "auth time is missing" };
    if (s.authTimeMs > now + this.#leewayMs) return { state: "undetermined", cause: "auth time lies in the future" };
    return { state: "active" };
  }

  async #run(): Promise<void> {
    for (let failures = 0; !this.#abort.signal.aborted; ) {
      try {
        await this.#follow(() => (failures = 0));
        throw new CurfewError("stream_ended", "the stream of revocations ended", true);
      } catch (error) {
        if (this.#abort.signal.aborted) return;
        this.#config.onState?.(false, error instanceof CurfewError ? error : new CurfewError("stream_lost", "the stream of revocations broke off", true, { cause: error }));
        // A key that isn't let in stays so for a while.
        failures = error instanceof ApiError && error.status < 500 ? Math.max(failures + 1, 5) : failures + 1;
        await this.#pause(Math.random() * Math.min(longestPauseMs, pauseMs * 2 ** failures));
      }
    }
  }

  /** Follows one connection until it breaks off, falls silent or goes stale. */
  async #follow(onSynced: () => void): Promise<void> {
    const ending = new AbortController();
    const end = () => ending.abort();
    this.#abort.signal.addEventListener("abort", end, { once: true });
    const connectedAt = performance.now();
    let heardAt = connectedAt;
    const watch = setInterval(() => {
      const stalled = this.#synced && this.#freshness.stalenessMs() > this.#budgetMs && performance.now() - connectedAt > this.#budgetMs;
      if (performance.now() - heardAt > silenceMs || stalled) end();
    }, 1000);
    try {
      this.#freshness.reconnect();
      const body = await this.#config.api.open(this.#position ? `/v1/revocations/stream?since=${this.#position}` : "/v1/revocations/stream", ending.signal);
      for await (const { event, data } of readEvents(body)) {
        heardAt = performance.now();
        if (!isKnown(event)) continue; // of a later version, and no revocation
        this.#take(event, JSON.parse(data) as Frame);
        if (event === "synced") onSynced();
        if (event === "reset") return;
      }
    } finally {
      clearInterval(watch);
      end();
      this.#abort.signal.removeEventListener("abort", end);
    }
  }

  #take(event: FrameKind, frame: Frame): void {
    // Read before anything is taken: a frame counts whole or not at all.
    const provedAt = event === "synced" || event === "beat" ? instant("at", frame.at) : undefined;
    switch (event) {
      case "revocation":
        this.#set.apply(revocationOf(frame));
        break;
      case "synced":
        this.#maxAgeMs = frame.max_age_ms ?? this.#maxAgeMs;
        this.#leewayMs = frame.leeway_ms ?? this.#leewayMs;
        this.#budgetMs = Math.min(this.#config.stalenessBudgetMs, frame.staleness_budget_ms ?? Infinity);
        this.#synced = true;
        break;
      case "reset":
        // Positions count anew. What is known to be revoked stays so, and until it is synced with the new ledger nobody is known to be active.
        this.#position = 0;
        this.#synced = false;
        return;
      case "beat":
    }
    // While the snapshot is read, positions aren't in order: a break there must begin anew.
    if (this.#synced) this.#position = Math.max(this.#position, whole("position", frame.position));
    // Before synced, a beat proves nothing.
    if (provedAt === undefined || !this.#synced) return;
    this.#freshness.prove(provedAt);
    if (event === "synced") this.#config.onState?.(true);
    this.#sweep();
    this.#wake();
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  #sweep(): void {
    const now = performance.now();
    if (now - this.#sweptAt < sweepMs) return;
    this.#sweptAt = now;
    // By a minute later than this clock says, for it may be ahead.
    this.#set.expire(Date.now() - sweepMs);
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(done, ms);
      const signal = this.#abort.signal;
      function done() {
        clearTimeout(timer);
        signal.removeEventListener("abort", done);
        resolve();
      }
      signal.addEventListener("abort", done, { once: true });
    });
  }
}

const kinds = ["revocation", "synced", "beat", "reset"] as const;
type FrameKind = (typeof kinds)[number];

function isKnown(event: string): event is FrameKind {
  return (kinds as readonly string[]).includes(event);
}

const targets = { session: "session", user: "user", device: "device", client: "client", tenant: undefined } as const;

/** Reads a revocation, whole or not at all: one that was passed over in part would let a session live that is over. */
function revocationOf(f: Frame): Revocation {
  const scope = f.scope;
  if (scope === undefined || !Object.hasOwn(targets, scope)) throw unreadable("its scope isn't known");
  const target = targets[scope];
  if (target !== undefined && (typeof f[target] !== "string" || f[target] === "")) throw unreadable(`it has no ${target}`);
  return {
    scope, session: f.session, user: f.user, device: f.device, client: f.client, cutoffMs: scope === "session" ? undefined : whole("cutoff_ms", f.cutoff_ms),
    except: f.except, knownSessions: f.known_sessions, reason: f.reason ?? "", expiresAtMs: instant("expires_at", f.expires_at),
  };
}

function whole(member: string, value: unknown): number {
  if (typeof value !== "number" || !Number.isSafeInteger(value)) throw unreadable(`its ${member} isn't a whole number`);
  return value;
}

function instant(member: string, value: unknown): number {
  const ms = typeof value === "string" ? Date.parse(value) : NaN;
  if (Number.isNaN(ms)) throw unreadable(`its ${member} isn't a time`);
  return ms;
}

function unreadable(why: string): CurfewError {
  return new CurfewError("unreadable_frame", `a frame of the stream of revocations can't be read: ${why}`, true);
}
