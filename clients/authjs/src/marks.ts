import type { Claims } from "./identity.js";

/** What a token is marked with on its way from jwt.decode to the callbacks. */
export type Mark =
  | { state: "revoked" }
  /** It couldn't be checked, and onError is "closed". Its claims and the cookie that they are from, which stays as it is. */
  | { state: "unavailable"; claims: Claims; cookie: string };

/** Known to all bundles of a process, since one may decode what another's callback gets. */
const markKey = Symbol.for("curfew.authjs.mark");

/** What a session's error is when it couldn't be checked. */
export const unavailableError = "RevocationUnavailable";

/** Puts a mark onto a token where neither a spread, nor JSON, nor the encoder of a cookie sees it. */
export function marked(token: Claims, mark: Mark): Claims {
  return Object.defineProperty(token, markKey, { value: mark, enumerable: false });
}

/** Returns a token's mark. */
export function markOf(token: unknown): Mark | undefined {
  return typeof token === "object" && token !== null ? (token as { [markKey]?: Mark })[markKey] : undefined;
}

/** Reports whether a session stands for one that couldn't be checked: nobody is signed in by it, and its cookie is still there. */
export function isUnavailable(session: unknown): boolean {
  return typeof session === "object" && session !== null && (session as { error?: unknown }).error === unavailableError && !(session as { user?: unknown }).user;
}
