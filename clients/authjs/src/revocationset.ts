import { answerOf, type Cutoffs, cutoffsOf, joinCutoffs } from "./cutoffs.js";
import type { SessionIdentity } from "./identity.js";

/** A revocation as it is applied: `scope` says which of the ids it is about. */
export interface Revocation {
  scope: "session" | "user" | "device" | "client" | "tenant";
  session?: string | undefined;
  user?: string | undefined;
  device?: string | undefined;
  client?: string | undefined;
  /** Sessions begun up to this instant are over. Of no meaning for scope session. */
  cutoffMs?: number | undefined;
  /** Sessions that the cutoff spares. */
  except?: readonly string[] | undefined;
  /** Sessions that are ended by name as well. */
  knownSessions?: readonly string[] | undefined;
  reason: string;
  /** When it may be forgotten. */
  expiresAtMs: number;
}

/** What ends a session. */
export interface Ending {
  scope: Revocation["scope"];
  reason: string;
}

interface Named {
  /** False if the session was only known to be the user's who logged out everywhere. */
  explicit: boolean;
  reason: string;
  expiresAtMs: number;
}

type WideScope = Exclude<Revocation["scope"], "session">;

/** The one key under which the cutoffs of the key's tenant lie. */
const tenantKey = "";

/**
 * A set of live revocations. It only grows, but for what has expired: applying events in any order, any number of times, gives the same
 * set, and one more event never brings a session back.
 */
export class RevocationSet {
  readonly #limit: number;
  readonly #sessions = new Map<string, Named>();
  readonly #scopes: Record<WideScope, Map<string, Cutoffs>> = { user: new Map(), device: new Map(), client: new Map(), tenant: new Map() };

  /** With a limit, the oldest entries of each kind go when there are more: for what the gate can be asked about again. */
  constructor(limit = Infinity) {
    this.#limit = limit;
  }

  /** How many sessions and scopes are in it. */
  get size(): number {
    return Object.values(this.#scopes).reduce((sum, map) => sum + map.size, this.#sessions.size);
  }

  /** Adds a revocation. */
  apply(r: Revocation): void {
    if (r.scope === "session") {
      if (r.session) this.#name(r.session, { explicit: true, reason: r.reason, expiresAtMs: r.expiresAtMs });
      return;
    }
    for (const session of r.knownSessions ?? []) this.#name(session, { explicit: false, reason: r.reason, expiresAtMs: r.expiresAtMs });
    const id = r.scope === "tenant" ? tenantKey : r[r.scope];
    if (id === undefined || r.cutoffMs === undefined) return;
    const own = cutoffsOf(r.cutoffMs, r.reason, r.scope === "user" ? (r.except ?? []) : [], r.expiresAtMs);
    const map = this.#scopes[r.scope];
    const before = map.get(id);
    this.#put(map, id, before ? joinCutoffs(before, own) : own);
  }

  #name(session: string, own: Named): void {
    const before = this.#sessions.get(session);
    this.#put(this.#sessions, session, before ? joinNamed(before, own) : own);
  }

  #put<V>(map: Map<string, V>, key: string, value: V): void {
    map.set(key, value);
    if (map.size <= this.#limit) return;
    for (const oldest of map.keys()) {
      map.delete(oldest);
      return;
    }
  }

  /** Returns what ends a session, in the order session, user, device, client, tenant; undefined if nothing here does. */
  ending(s: SessionIdentity): Ending | undefined {
    const named = this.#sessions.get(s.session);
    if (named) return { scope: named.explicit ? "session" : "user", reason: named.reason };
    return (
      this.#wide("user", s.user, s) ?? this.#wide("device", s.device, s) ?? this.#wide("client", s.client, s) ?? this.#wide("tenant", tenantKey, s)
    );
  }

  #wide(scope: WideScope, id: string | undefined, s: SessionIdentity): Ending | undefined {
    if (id === undefined || s.authTimeMs === undefined) return undefined;
    const cutoffs = this.#scopes[scope].get(id);
    const cutoff = cutoffs && answerOf(cutoffs, s.session);
    return cutoff && s.authTimeMs <= cutoff.atMs ? { scope, reason: cutoff.reason } : undefined;
  }

  /** Returns the latest cutoff that reaches a user's new sessions, so that a new login can be dated behind it. */
  latestCutoffMs(user: string): number {
    return Math.max(this.#scopes.user.get(user)?.top.atMs ?? 0, this.#scopes.tenant.get(tenantKey)?.top.atMs ?? 0);
  }

  /** Forgets what expired before an instant. */
  expire(nowMs: number): void {
    for (const map of [this.#sessions, ...Object.values(this.#scopes)]) {
      for (const [key, entry] of map) if (entry.expiresAtMs < nowMs) map.delete(key);
    }
  }

  /** Returns the whole state in one text, the same for the same state. */
  digest(): string {
    const sorted = (map: Map<string, unknown>) => [...map].sort(([a], [b]) => (a < b ? -1 : 1));
    return JSON.stringify([sorted(this.#sessions), ...Object.values(this.#scopes).map(sorted)]);
  }
}

/** The explicit one names the reason, then the one that sorts first, so that the order of events doesn't matter. */
function joinNamed(a: Named, b: Named): Named {
  const first = a.explicit !== b.explicit ? (a.explicit ? a : b) : a.reason <= b.reason ? a : b;
  return { explicit: first.explicit, reason: first.reason, expiresAtMs: Math.max(a.expiresAtMs, b.expiresAtMs) };
}
