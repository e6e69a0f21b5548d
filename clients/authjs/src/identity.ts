/** A login session as Curfew knows it: what is checked and revoked. */
export interface SessionIdentity {
  /** The session id (`sid`). Not a secret, and never a token. */
  session: string;
  /** The user's immutable id. */
  user?: string | undefined;
  /** When the user signed in, in milliseconds since 1970. It doesn't move when a cookie is signed again. */
  authTimeMs?: number | undefined;
  /** The device, if the application names devices. */
  device?: string | undefined;
  /** The OAuth client or app that the session belongs to, if there is more than one. */
  client?: string | undefined;
}

/** The names of the claims that hold a session's parts. A Curfew server that reads the same cookies is told the same names. */
export interface ClaimNames {
  /** Defaults to `sid`. */
  session: string;
  /** Defaults to `sub`. */
  user: string;
  /** Defaults to `device_id`. */
  device: string;
  /** Defaults to `client_id`. */
  client: string;
}

/** Claims of a token, as Auth.js hands them to callbacks. */
export type Claims = Record<string, unknown>;

const authTimeMsClaim = "auth_time_ms";
const authTimeClaim = "auth_time";

const longestIdBytes = 256;
/** The last instant that has four digits for its year. */
const latestMs = 253402300799999;
const encoder = new TextEncoder();

/** Reports whether the API takes a text as an id: 1 to 256 bytes, no control characters. */
export function isId(value: unknown): value is string {
  return typeof value === "string" && value !== "" && !/[\u0000-\u001f\u007f-\u009f]/.test(value) && encoder.encode(value).length <= longestIdBytes;
}

function idOf(value: unknown): string | undefined {
  const text = typeof value === "number" && Number.isSafeInteger(value) ? String(value) : value;
  return isId(text) ? text : undefined;
}

function millisOf(value: unknown, unit: number): number | undefined {
  if (typeof value !== "number" || !Number.isFinite(value)) return undefined;
  const ms = Math.floor(value * unit);
  return ms >= 0 && ms <= latestMs ? ms : undefined;
}

/** Reads what the claims say of their session. The auth time is `auth_time_ms`, then `auth_time` in seconds; never `iat`. */
export function identityOf(claims: Claims, names: ClaimNames): Partial<SessionIdentity> {
  return {
    session: idOf(claims[names.session]),
    user: idOf(claims[names.user]),
    authTimeMs: millisOf(claims[authTimeMsClaim], 1) ?? millisOf(claims[authTimeClaim], 1000),
    device: idOf(claims[names.device]),
    client: idOf(claims[names.client]),
  } as Partial<SessionIdentity>;
}

/** Returns the claims that Curfew mints for a session. */
export function mintedClaims(session: string, authTimeMs: number, names: ClaimNames): Claims {
  return { [names.session]: session, [authTimeMsClaim]: authTimeMs, [authTimeClaim]: Math.floor(authTimeMs / 1000) };
}

/**
 * Returns the identity of a token from before Curfew was installed, which has no session id. It is a function of the cookie, so that each copy of
 * the cookie is the same session, and its auth time is that of the cookie's last signature: never before the sign-in, and no later than the
 * cookie, so that everything after it ends the session.
 */
export async function adoptedIdentity(claims: Claims, names: ClaimNames): Promise<Partial<SessionIdentity>> {
  const read = identityOf(claims, names);
  const authTimeMs = read.authTimeMs ?? millisOf(claims["iat"], 1000);
  // An encoder of the application's own may write no jti.
  const cookie = JSON.stringify([claims["jti"] ?? null, claims["iat"] ?? null, claims["exp"] ?? null, read.user ?? null]);
  const session = read.session ?? `adopted-${(await sha256Hex(cookie)).slice(0, 32)}`;
  return { ...read, session, authTimeMs };
}

/** Returns the SHA-256 of a text in hexadecimal digits: how a database session is called, whose token is a secret. */
export async function sha256Hex(text: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", encoder.encode(text));
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Returns a key under which an identity is cached. It is JSON, so that no two identities share one, whatever is in their ids. */
export function identityKey(s: SessionIdentity): string {
  return JSON.stringify([s.session, s.user ?? null, s.authTimeMs ?? null, s.device ?? null, s.client ?? null]);
}
