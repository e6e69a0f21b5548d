import type { Curfew } from "./curfew.js";
import { CurfewError } from "./errors.js";
import { adoptedIdentity, type ClaimNames, type Claims, identityOf, mintedClaims, type SessionIdentity } from "./identity.js";
import { markOf, marked, unavailableError } from "./marks.js";
import type { RequestInfo } from "./options.js";

/** Decodes a cookie, as Auth.js's jwt.decode. */
export type Decode = (params: { token?: string }) => Promise<Claims | null>;

/** Encodes a cookie, as Auth.js's jwt.encode. */
export type Encode = (params: { token?: Claims }) => Promise<string>;

/** What a jwt callback is called with, as far as it matters here. */
export interface JwtParams {
  token: Claims;
  user?: unknown;
  trigger?: string;
}

/** What a session callback is called with, as far as it matters here. */
export interface SessionParams {
  session: Record<string, unknown> & { expires: unknown };
  token?: Claims;
  user?: Record<string, unknown>;
}

/** What becomes of a token that was decoded. */
type Judged = { is: "active"; claims: Claims } | { is: "revoked" } | { is: "unavailable"; claims: Claims };

/** Checks the session that a decoded token speaks of. */
async function judge(curfew: Curfew, decoded: Claims): Promise<Judged> {
  const { claims: names, legacyTokens } = curfew.settings;
  let claims = decoded;
  let identity = identityOf(claims, names);
  if (identity.session === undefined || identity.authTimeMs === undefined) {
    if (legacyTokens === "deny") return { is: "revoked" };
    identity = await adoptedIdentity(claims, names);
    // Without any date: Auth.js writes one, so this is none of its cookies.
    if (identity.session === undefined || identity.authTimeMs === undefined) return { is: "revoked" };
    claims = { ...claims, ...mintedClaims(identity.session, identity.authTimeMs, names) };
  }
  if (identity.user === undefined) tellUserMissing(curfew);
  const verdict = await curfew.check(identity as SessionIdentity);
  if (verdict.state === "revoked") return { is: "revoked" };
  if (verdict.state === "undetermined" && !curfew.passes()) return { is: "unavailable", claims };
  curfew.remember(identity as SessionIdentity);
  return { is: "active", claims };
}

function tellUserMissing(curfew: Curfew): void {
  const error = new CurfewError("claims_missing", `a token has no user in ${curfew.settings.claims.user}, so its session can't be checked: name the claim that has it as claims.user`, false);
  curfew.episode({ what: "claims", unavailable: true, error });
}

/**
 * Returns a decoder for whoever only reads: getToken, and NextAuth.js 4's withAuth. What isn't certainly active is null, unless it passes because onError is
 * "open".
 */
export function readerDecode(curfew: Curfew, inner: Decode): Decode {
  return async (params) => {
    const decoded = await inner(params);
    if (!decoded) return decoded;
    if (markOf(decoded)) return null; // by the decoder of a wrapped configuration
    const judged = await judge(curfew, decoded);
    return judged.is === "active" ? judged.claims : null;
  };
}

/**
 * Returns the decoder for Auth.js's own routes. All of them decode the cookie with it: reading the session, signing out, linking accounts, WebAuthn. For a
 * session that is over the token names nobody, so that no route takes it for somebody's. A session that couldn't be checked likewise; but the mark on the token
 * lets the jwt callback keep the cookie.
 */
export function routeDecode(curfew: Curfew, inner: Decode, revoked: () => Claims | null): Decode {
  return async (params) => {
    const decoded = await inner(params);
    // One that was wrapped twice has been judged.
    if (!decoded || markOf(decoded)) return decoded;
    const judged = await judge(curfew, decoded);
    if (judged.is === "active") return judged.claims;
    return judged.is === "revoked" ? revoked() : marked({}, { state: "unavailable", claims: judged.claims, cookie: params.token ?? "" });
  };
}

/** Returns the encoder for Auth.js's own routes: a session that couldn't be checked keeps the cookie that it has, and isn't renewed. */
export function routeEncode(inner: Encode): Encode {
  return async (params) => {
    const mark = markOf(params.token);
    return mark?.state === "unavailable" ? mark.cookie : inner(params);
  };
}

/** Returns the token of a revoked session for Auth.js 5: nobody's, and the jwt callback turns it into a quiet null. */
export function revokedToken(): Claims {
  return marked({}, { state: "revoked" });
}

/** What a jwt callback does about a null of the application's own; version 4 would serve the session all the same. */
export type OnNull = () => null;

/** Wraps the application's jwt callback: mints the session's claims at sign-in, and keeps them ever after. */
export function wrapJwt<P extends JwtParams>(
  curfew: Curfew, inner: ((params: P) => unknown) | undefined, onNull: OnNull, request: () => Promise<RequestInfo | undefined>,
): (params: P) => Promise<Claims | null> {
  const names = curfew.settings.claims;
  const call = async (params: P) => (inner ? ((await inner(params)) as Claims | null) : params.token);
  return async (params) => {
    const mark = markOf(params.token);
    if (mark?.state === "revoked") return null;
    // The application isn't asked: it would work for somebody who may be signed out.
    if (mark?.state === "unavailable") return marked({ ...mark.claims }, mark);
    if (params.user || params.trigger === "signIn" || params.trigger === "signUp") {
      const session = crypto.randomUUID();
      // The application may look at the claims, and at this point only it knows which user it will be.
      const token = await call({ ...params, token: { ...params.token, ...mintedClaims(session, Date.now(), names) } });
      if (!token) return token;
      const { user, device, client } = identityOf(token, names);
      if (user === undefined) tellUserMissing(curfew);
      const listed = await curfew.register({ session, user, device, client }, await request());
      return { ...token, ...mintedClaims(listed.session, listed.authTimeMs, names) };
    }
    const { session, authTimeMs } = identityOf(params.token, names);
    const token = await call(params);
    if (!token) return onNull();
    // Whatever the application returned, and whatever a browser sent with update().
    return session === undefined || authTimeMs === undefined ? token : { ...token, ...mintedClaims(session, authTimeMs, names) };
  };
}

/** Returns what stands for the session that couldn't be checked. Its sid tells a page that it is still the same one, and opens nothing. */
export function unavailableSession(params: SessionParams, claims: Claims, names: ClaimNames): Record<string, unknown> {
  return { user: undefined, expires: params.session.expires, error: unavailableError, sid: identityOf(claims, names).session };
}

/** Returns the identity that a token of the signOut event speaks of; undefined if it is over already, or none of ours. */
export function signedOutIdentity(curfew: Curfew, token: unknown): SessionIdentity | undefined {
  const mark = markOf(token);
  if (mark?.state === "revoked" || typeof token !== "object" || token === null) return undefined;
  const identity = identityOf(mark?.state === "unavailable" ? mark.claims : (token as Claims), curfew.settings.claims);
  return identity.session === undefined ? undefined : (identity as SessionIdentity);
}
