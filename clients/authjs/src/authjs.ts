/**
 * Auth.js 5 (`next-auth@5`, `@auth/core`, `@auth/express` and others of its frameworks).
 *
 * ```ts
 * export const { handlers, auth: rawAuth, signIn, signOut } = NextAuth(withRevocation(config, { url, apiKey }));
 * export const auth = failClosed(rawAuth);
 * ```
 */
import type { AuthConfig } from "@auth/core";
import { decode, encode, getToken, type GetTokenParams, type JWT } from "@auth/core/jwt";
import type { Session } from "@auth/core/types";

import { type AnyConfig, type Version, wrapConfig } from "./config.js";
import { type Curfew, curfew } from "./curfew.js";
import type { CurfewOptions } from "./options.js";
import { requestInfo, type RequestSource } from "./request.js";
import { type Decode, type Encode, readerDecode, revokedToken, type SessionParams } from "./tokens.js";

export { failClosed } from "./failclosed.js";
export { ticketHandler, touchHandler } from "./handlers.js";
export { isUnavailable } from "./marks.js";
export { requestInfo } from "./request.js";

const version5: Version = {
  decode: decode as unknown as Decode,
  encode: encode as unknown as Encode,
  revoked: revokedToken,
  onNull: () => null,
  present,
};

/** What Auth.js shows of a session without a callback: to a browser a name, an e-mail address and a picture; to the application's own server all. */
function present({ session }: SessionParams, own: boolean): Record<string, unknown> {
  const expires = session.expires instanceof Date ? session.expires.toISOString() : session.expires;
  if (own) return { ...session, expires };
  const user = session["user"] as { name?: unknown; email?: unknown; image?: unknown } | undefined;
  return { user: { name: user?.name, email: user?.email, image: user?.image }, expires };
}

/** A configuration of Auth.js 5, with the callback that next-auth adds to it. */
export type Config = Omit<AuthConfig, "callbacks"> & {
  callbacks?: AuthConfig["callbacks"] & { authorized?: (params: { request: any; auth: Session | null }) => any };
};

/**
 * Wraps the configuration of Auth.js 5, the object or the function of a request that returns it, so that sessions are minted, checked and ended with Curfew. It
 * belongs outermost: what another wrapper does to its callbacks afterwards, Curfew can't see.
 */
export function withRevocation<C extends Config>(config: C, options: CurfewOptions | Curfew): C;
export function withRevocation<R, C extends Config>(config: (request: R) => C | Promise<C>, options: CurfewOptions | Curfew): (request: R) => Promise<C>;
export function withRevocation(config: unknown, options: CurfewOptions | Curfew): unknown {
  const server = curfew(options);
  if (typeof config !== "function") return wrapConfig(config as AnyConfig, server, version5);
  return async (request: unknown) => wrapConfig((await config(request)) as AnyConfig, server, version5, requestInfo(request as RequestSource | undefined));
}

/** Is getToken of Auth.js, for tokens whose session is checked: null unless it is active, or passes because onError is "open". */
export async function getTokenChecked<R extends boolean = false>(params: GetTokenParams<R>, options: CurfewOptions | Curfew): Promise<(R extends true ? string : JWT) | null> {
  const inner = (params.decode ?? decode) as unknown as Decode;
  const checked = { ...params, raw: false, decode: readerDecode(curfew(options), inner) } as unknown as GetTokenParams<false>;
  const token = await getToken(checked);
  if (!token || !params.raw) return token as (R extends true ? string : JWT) | null;
  return getToken(params) as Promise<(R extends true ? string : JWT) | null>;
}
