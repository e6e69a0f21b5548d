/**
 * NextAuth.js 4.
 *
 * ```ts
 * export const authOptions = withRevocation(options, { url, apiKey });
 * export default withAuth({ jwt: { decode: checkedDecode({ url, apiKey }) } }); // in middleware.ts
 * ```
 */
import type { AuthOptions } from "next-auth";
import { decode, encode, getToken, type GetTokenParams, type JWT, type JWTDecodeParams } from "next-auth/jwt";

import { type AnyConfig, type Version, wrapConfig } from "./config.js";
import { type Curfew, curfew } from "./curfew.js";
import { CurfewError } from "./errors.js";
import type { CurfewOptions } from "./options.js";
import { requestInfo, type RequestSource } from "./request.js";
import { type Decode, type Encode, readerDecode } from "./tokens.js";

export { failClosed } from "./failclosed.js";
export { ticketHandler, touchHandler } from "./handlers.js";
export { isUnavailable } from "./marks.js";
export { requestInfo } from "./request.js";

const version4: Version = {
  decode: decode as unknown as Decode,
  encode: encode as unknown as Encode,
  // This version's routes take null for a cookie that can't be read: they delete it and log "JWT invalid".
  revoked: () => null,
  // It would serve the session, and only then fail to sign the null.
  onNull: () => {
    throw new CurfewError("session_refused", "the application's jwt callback has returned null, which ends the session", false);
  },
  present: ({ session }) => session,
};

/** Wraps the options of NextAuth.js 4, the object or a function of a request that returns it. It belongs outermost. */
export function withRevocation<C extends AuthOptions>(config: C, options: CurfewOptions | Curfew): C;
export function withRevocation<R, C extends AuthOptions>(config: (request: R) => C | Promise<C>, options: CurfewOptions | Curfew): (request: R) => Promise<C>;
export function withRevocation(config: unknown, options: CurfewOptions | Curfew): unknown {
  const server = curfew(options);
  if (typeof config !== "function") return wrapConfig(config as AnyConfig, server, version4);
  return async (request: unknown) => wrapConfig((await config(request)) as AnyConfig, server, version4, requestInfo(request as RequestSource | undefined));
}

/** Returns what `withAuth` and `getToken` need as `decode`: neither runs a callback. Not for the options of NextAuth.js itself, which withRevocation wraps. */
export function checkedDecode(options: CurfewOptions | Curfew, inner: (params: JWTDecodeParams) => JWT | null | PromiseLike<JWT | null> = decode): (params: JWTDecodeParams) => Promise<JWT | null> {
  return readerDecode(curfew(options), inner as unknown as Decode) as unknown as (params: JWTDecodeParams) => Promise<JWT | null>;
}

/** Is getToken of NextAuth.js, for tokens whose session is checked: null unless it is active, or passes because onError is "open". */
export async function getTokenChecked<R extends boolean = false>(params: GetTokenParams<R>, options: CurfewOptions | Curfew): Promise<(R extends true ? string : JWT) | null> {
  const checked = { ...params, raw: false, decode: checkedDecode(options, params.decode ?? decode) } as unknown as GetTokenParams<false>;
  const token = await getToken(checked);
  if (!token || !params.raw) return token as (R extends true ? string : JWT) | null;
  return getToken(params) as Promise<(R extends true ? string : JWT) | null>;
}
