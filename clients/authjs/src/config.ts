import { databaseIdentity, type SessionAdapter, wrapAdapter } from "./adapter.js";
import type { Curfew } from "./curfew.js";
import type { Claims } from "./identity.js";
import { identityOf } from "./identity.js";
import { isUnavailable, markOf } from "./marks.js";
import type { RequestInfo } from "./options.js";
import { type Decode, type Encode, type JwtParams, type OnNull, routeDecode, routeEncode, type SessionParams, signedOutIdentity, unavailableSession, wrapJwt } from "./tokens.js";

// The frameworks' types differ in their details between versions; what is wrapped is typed as far as it is looked at.
type Callback = (this: unknown, params: never) => unknown;

/** What both versions' configurations have in common. */
export interface AnyConfig {
  jwt?: { decode?: Decode; encode?: Encode };
  session?: { maxAge?: number };
  adapter?: SessionAdapter;
  callbacks?: { jwt?: Callback; session?: Callback; authorized?: Callback };
  events?: { signOut?: Callback };
}

/** How a version differs. */
export interface Version {
  decode: Decode;
  encode: Encode;
  /** What the decoder returns for a revoked session. */
  revoked: () => Claims | null;
  onNull: OnNull;
  /** What the version shows of a session when the application has no session callback. `own` says that the application's server asks, not a browser. */
  present: (params: SessionParams, own: boolean) => Record<string, unknown>;
}

const defaultMaxAge = 30 * 24 * 3600;

/** Wraps a configuration of Auth.js. The one that is given isn't changed. */
export function wrapConfig(config: AnyConfig, curfew: Curfew, version: Version, request?: RequestInfo): AnyConfig {
  const where = async () => {
    try {
      return (await curfew.settings.request?.()) ?? request;
    } catch {
      return request; // outside of a request, headers() of Next.js throws
    }
  };
  const own = config.callbacks ?? {};
  const callbacks: NonNullable<AnyConfig["callbacks"]> = {
    ...own,
    jwt: wrapJwt(curfew, own.jwt as (params: JwtParams) => unknown, version.onNull, where),
    session: wrapSession(curfew, own.session, version, () => callbacks),
  };
  const authorized = own.authorized;
  if (authorized) {
    callbacks.authorized = (params: { auth?: unknown }) => authorized.call(own, { ...params, auth: isUnavailable(params.auth) ? null : params.auth } as never);
  }
  const wrapped: AnyConfig = {
    ...config,
    jwt: {
      ...config.jwt,
      decode: routeDecode(curfew, config.jwt?.decode ?? version.decode, version.revoked),
      encode: routeEncode(config.jwt?.encode ?? version.encode),
    },
    callbacks,
    events: { ...config.events, signOut: wrapSignOut(curfew, config.events?.signOut) },
  };
  if (config.adapter) wrapped.adapter = wrapAdapter(curfew, config.adapter, (config.session?.maxAge ?? defaultMaxAge) * 1000, where);
  return wrapped;
}

/** Puts the session's id into what the application shows of it. */
function wrapSession(curfew: Curfew, inner: Callback | undefined, version: Version, callbacks: () => unknown): Callback {
  return async function (this: unknown, params: SessionParams) {
    const mark = markOf(params.token);
    if (mark?.state === "unavailable") return unavailableSession(params, mark.claims, curfew.settings.claims);
    const session = inner ? await inner.call(this, params as never) : version.present(params, this === callbacks());
    const sid = params.token ? identityOf(params.token, curfew.settings.claims).session : databaseIdentity(params.user)?.session;
    return typeof session === "object" && session !== null && sid !== undefined ? { ...session, sid } : session;
  };
}

/** Ends the session that is signed out of. For sessions in a database the adapter does. */
function wrapSignOut(curfew: Curfew, inner: Callback | undefined): Callback {
  return async function (this: unknown, message: { token?: unknown }) {
    const identity = signedOutIdentity(curfew, message.token);
    // What fails is told and kept by the publisher. The sign-out goes on.
    if (identity) await curfew.revokeSession(identity).catch(() => {});
    if (!inner) return;
    const mark = markOf(message.token);
    const token = mark?.state === "revoked" ? null : mark?.state === "unavailable" ? mark.claims : message.token;
    await inner.call(this, ("token" in message ? { ...message, token } : message) as never);
  };
}
