import type { Curfew } from "./curfew.js";
import { RevocationUnavailableError } from "./errors.js";
import { type SessionIdentity, sha256Hex } from "./identity.js";
import { Lru } from "./lru.js";
import type { RequestInfo } from "./options.js";

interface AdapterSession {
  sessionToken: string;
  userId: string;
  expires: Date;
  createdAt?: unknown;
}

interface AdapterUser {
  id: string;
}

/** The methods of an adapter that are wrapped; others pass. */
export interface SessionAdapter {
  createSession?: (session: AdapterSession) => unknown;
  getSessionAndUser?: (sessionToken: string) => unknown;
  updateSession?: (session: Partial<AdapterSession> & { sessionToken: string }) => unknown;
  deleteSession?: (sessionToken: string) => unknown;
}

type Found = { session: AdapterSession; user: AdapterUser } | null | undefined;

/** Where the session callback finds the identity of a database session: on the user that the adapter returned. */
const readWith = Symbol.for("curfew.authjs.identity");

/** Returns the identity of the database session that a user was read with. */
export function databaseIdentity(user: unknown): SessionIdentity | undefined {
  return typeof user === "object" && user !== null ? (user as { [readWith]?: SessionIdentity })[readWith] : undefined;
}

/**
 * Wraps an adapter, for sessions in a database: a session that is over isn't found. The session is called by the hash of its token, which is a secret. A row tells
 * no sign-in; unless it has a createdAt, its last write stands for that: `expires` less `maxAge`. So a write is put off until a check says that nothing has
 * ended the session by then.
 */
export function wrapAdapter<A extends SessionAdapter>(curfew: Curfew, adapter: A, maxAgeMs: number, request: () => Promise<RequestInfo | undefined>): A {
  /** Sessions that were found expired: what deletes them next is the clean-up. */
  const expired = new Lru<true>(1000);
  const identify = async ({ session, user }: { session: AdapterSession; user: AdapterUser }): Promise<SessionIdentity> => ({
    session: await sha256Hex(session.sessionToken),
    user: String(user.id),
    authTimeMs: session.createdAt instanceof Date ? session.createdAt.getTime() : Math.max(0, new Date(session.expires).getTime() - maxAgeMs),
  });
  const getSessionAndUser = async (sessionToken: string): Promise<Found> => {
    const found = (await adapter.getSessionAndUser!(sessionToken)) as Found;
    if (!found) return found;
    const identity = await identify(found);
    if (new Date(found.session.expires).getTime() < Date.now()) {
      expired.set(identity.session, true);
      return found;
    }
    const verdict = await curfew.check(identity);
    if (verdict.state === "revoked") {
      // The row is dead. Without it the session stays so, whatever becomes of Curfew.
      await Promise.resolve(adapter.deleteSession?.(sessionToken)).catch(() => {});
      return null;
    }
    // Thrown, because null would have the cookie deleted, and anything else would be taken for the user where accounts are linked.
    if (verdict.state === "undetermined" && !curfew.passes()) throw new RevocationUnavailableError();
    curfew.remember(identity);
    return { ...found, user: Object.defineProperty({ ...found.user }, readWith, { value: identity, enumerable: false }) };
  };
  const createSession = async (session: AdapterSession) => {
    const sid = await sha256Hex(session.sessionToken);
    const { authTimeMs } = await curfew.register({ session: sid, user: String(session.userId) }, await request());
    return adapter.createSession!({ ...session, expires: new Date(authTimeMs + maxAgeMs) });
  };
  const updateSession = async (session: Partial<AdapterSession> & { sessionToken: string }) => {
    const found = (await adapter.getSessionAndUser!(session.sessionToken)) as Found;
    if (found && (await curfew.check(await identify(found), { anew: true })).state === "active") return adapter.updateSession!(session);
    return found?.session ?? null;
  };
  const deleteSession = async (sessionToken: string) => {
    const session = await sha256Hex(sessionToken);
    const known = curfew.known(session) ?? { session };
    // What fails is told and kept by the publisher. A sign-out goes on.
    const revoked = curfew.revokeSession(known, { reason: expired.get(session) ? "idle_timeout" : "user_logout" }).catch(() => {});
    try {
      return await adapter.deleteSession!(sessionToken);
    } finally {
      await revoked;
    }
  };
  const wrapped: SessionAdapter = {};
  if (adapter.getSessionAndUser) wrapped.getSessionAndUser = getSessionAndUser;
  if (adapter.createSession) wrapped.createSession = createSession;
  if (adapter.updateSession && adapter.getSessionAndUser) wrapped.updateSession = updateSession;
  if (adapter.deleteSession) wrapped.deleteSession = deleteSession;
  return { ...adapter, ...wrapped };
}
