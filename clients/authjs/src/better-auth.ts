/**
 * Better Auth 1.7: the sessions that it deletes are ended everywhere, and those that were ended elsewhere, or live on in its cookie cache, are refused.
 *
 * ```ts
 * export const auth = betterAuth({ plugins: [revocation({ url, apiKey })] });
 * ```
 */
import type { BetterAuthPlugin } from "better-auth";
import { APIError } from "better-auth/api";

import { type Curfew, curfew } from "./curfew.js";
import type { SessionIdentity } from "./identity.js";
import type { CurfewOptions } from "./options.js";

/** A row of a session, as far as it is looked at. Its id is no secret; its token is, and stays here. */
interface Row {
  id: string;
  userId: string;
  createdAt: Date | string;
  expiresAt: Date | string;
  userAgent?: string | null;
  ipAddress?: string | null;
}

type Found = { session: Row } | null;

type CacheVersion = string | ((session: Row, user: unknown) => string | Promise<string>);

/** What Better Auth hands to a plugin, as far as it is changed. */
interface Context {
  internalAdapter: { findSession(token: string): Promise<Found> };
  options: { session?: { cookieCache?: { enabled?: boolean; version?: CacheVersion } } };
}

/** Returns the plugin. Sessions are called by their row's id and dated by its createdAt. */
export function revocation(options: CurfewOptions | Curfew): BetterAuthPlugin {
  const server = curfew(options);

  /** Reports whether a session may be served; throws where that can't be told, for an answer of null would have the cookie deleted. */
  const serves = async (row: Row): Promise<boolean> => {
    const identity = identityOf(row);
    const verdict = await server.check(identity);
    if (verdict.state === "undetermined" && !server.passes()) {
      throw new APIError("SERVICE_UNAVAILABLE", { code: "REVOCATION_UNAVAILABLE", message: "Whether the session was revoked can't be told at the moment." });
    }
    if (verdict.state !== "revoked") server.remember(identity);
    return verdict.state !== "revoked";
  };

  /** A cached session counts only under the version that it was cached with. One that isn't certainly active has a version of its own each time. */
  const versioned = (own: CacheVersion | undefined) => async (session: Row, user: unknown): Promise<string> => {
    const verdict = await server.check(identityOf(session));
    if (verdict.state === "revoked" || (verdict.state === "undetermined" && !server.passes())) return crypto.randomUUID();
    return typeof own === "function" ? own(session, user) : (own ?? "1");
  };

  const guarded = (adapter: Context["internalAdapter"]): Context["internalAdapter"] => ({
    ...adapter,
    async findSession(token) {
      const found = await adapter.findSession(token);
      return found && (await serves(found.session)) ? found : null;
    },
  });

  const init = (context: Context) => {
    const cache = context.options.session?.cookieCache;
    if (cache) cache.version = versioned(cache.version);
    // It is made once all plugins have been asked.
    let current = guarded(context.internalAdapter);
    Object.defineProperty(context, "internalAdapter", { configurable: true, enumerable: true, get: () => current, set: (made: Context["internalAdapter"]) => (current = guarded(made)) });
    return { options: { databaseHooks: { session: { create: { after: created }, delete: { after: deleted } } } } };
  };

  const created = async (row: Row): Promise<void> => {
    await server.register(identityOf(row), { userAgent: row.userAgent ?? undefined, ip: row.ipAddress ?? undefined });
  };

  const deleted = async (row: Row): Promise<void> => {
    const expired = new Date(row.expiresAt).getTime() < Date.now();
    // What fails is told and kept by the publisher. The sign-out goes on.
    await server.revokeSession(identityOf(row), { reason: expired ? "idle_timeout" : "user_logout" }).catch(() => {});
  };

  return { id: "curfew", init } as unknown as BetterAuthPlugin;
}

function identityOf(row: Row): SessionIdentity {
  return { session: String(row.id), user: String(row.userId), authTimeMs: new Date(row.createdAt).getTime() };
}
