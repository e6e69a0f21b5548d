import { Breaker } from "./breaker.js";
import type { Delivery } from "./delivery.js";
import type { Follower } from "./follower.js";
import type { SessionIdentity } from "./identity.js";
import { Lru } from "./lru.js";
import { ageMs, type Moment, now } from "./moment.js";
import type { Outbox } from "./outbox.js";
import { RevocationSet } from "./revocationset.js";

/** What came of asking the gate. */
export type Asked = { state: "active" } | { state: "revoked"; reason: string } | { state: "undetermined"; cause: string };

/** What has happened since the process began, for metrics. */
export interface Counters {
  /** Checks that the gate was asked. */
  asked: number;
  /** Checks that were answered from memory: by the stream, or by what was asked before. */
  remembered: number;
  /** Answers by their state. */
  active: number;
  revoked: number;
  undetermined: number;
  /** Checks that couldn't be done, where the last good answer stood in. */
  bridged: number;
  /** Sessions that passed unchecked because onError is "open". */
  passedOpen: number;
  /** Sessions that weren't shown because onError is "closed". */
  refusedClosed: number;
  /** Revocations that were stored, by the first calls or from the outbox. */
  revocationsStored: number;
  /** Revocations that the outbox had to take. */
  revocationsDeferred: number;
  /** Revocations that were given up. */
  revocationsLost: number;
  /** New sessions that couldn't be listed. */
  unregistered: number;
}

const rememberedSessions = 10000;
/** Longer than any staleness budget. */
const positionMs = 60000;

/** What all bundles of one process share about one server and key: Next.js loads this package once for its proxy and once for its routes. */
export class Shared {
  /** Sessions by their last active answer: key of the identity → when it was asked for. */
  readonly active = new Lru<Moment>(rememberedSessions);
  /** Sessions that the gate has called revoked: key of the identity → reason. That is for good. */
  readonly revoked = new Lru<string>(rememberedSessions);
  /** What this process has revoked itself, from before it was published. */
  readonly own = new RevocationSet(rememberedSessions);
  /** Sessions as they were last read: session id → identity. */
  readonly identities = new Lru<SessionIdentity>(rememberedSessions);
  /** Questions under way: key of the identity → answer. */
  readonly flights = new Map<string, Promise<Asked>>();
  /** Who delivers from which outbox; undefined is the one in memory. */
  readonly deliveries = new Map<Outbox | undefined, Delivery>();
  readonly breaker = new Breaker(1000);
  readonly counters: Counters = {
    asked: 0, remembered: 0, active: 0, revoked: 0, undetermined: 0, bridged: 0, passedOpen: 0, refusedClosed: 0, revocationsStored: 0,
    revocationsDeferred: 0, revocationsLost: 0, unregistered: 0,
  };
  /** What is unavailable now, so that each episode is told once. */
  readonly episodes = new Set<string>();
  /** Whether a lost revocation has been told on the console. */
  toldLost = false;
  follower: Follower | undefined;
  /** The latest position that a call of this process was answered with, and when. */
  #position = 0;
  #positionAt: Moment | undefined;

  /** Notes where something lies that this process has revoked. */
  stored(position: number): void {
    this.#position = Math.max(this.position ?? 0, position);
    this.#positionAt = now();
  }

  /**
   * The position that whoever answers must have applied, so that who has just revoked something isn't told otherwise; undefined for none. It isn't asked for for long: by then a gate
   * has it or says that it is stale, and a ledger that was made anew may never get there.
   */
  get position(): number | undefined {
    return this.#positionAt && ageMs(this.#positionAt) < positionMs ? this.#position : undefined;
  }
}

const registry = Symbol.for("curfew.authjs.shared.1");

/** Returns what is shared under a server and a key. */
export function sharedBy(url: string, apiKey: string): Shared {
  const root = globalThis as { [registry]?: Map<string, Shared> };
  const all = (root[registry] ??= new Map());
  const key = JSON.stringify([url, apiKey]);
  let shared = all.get(key);
  if (!shared) all.set(key, (shared = new Shared()));
  return shared;
}

/** Forgets what is shared under a server and a key. */
export function forgetShared(url: string, apiKey: string): void {
  (globalThis as { [registry]?: Map<string, Shared> })[registry]?.delete(JSON.stringify([url, apiKey]));
}
