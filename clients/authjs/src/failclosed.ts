import { isUnavailable } from "./marks.js";

type AnyFunction = (...args: any[]) => any;

/** Leads from what failClosed returned to what it was given. */
const rawKey = Symbol.for("curfew.authjs.raw");

/**
 * Wraps `auth` (or getSession, or getServerSession) so that a session that couldn't be checked is null, for code that only asks whether there is one: in all forms of
 * Auth.js 5's `auth`: without arguments, around a proxy, a middleware or a route's handler, and with (req, res). It changes nothing while `onError` is "open".
 */
export function failClosed<A extends AnyFunction>(auth: A): A {
  const wrapped = (...args: unknown[]) => settled(auth(...args.map((arg, i) => (i === 0 && typeof arg === "function" ? around(arg as AnyFunction) : arg))));
  return Object.defineProperty(wrapped, rawKey, { value: auth }) as unknown as A;
}

/** Returns what failClosed was given, for code that tells an outage from a sign-out. */
export function rawAuth<A extends AnyFunction>(auth: A): A {
  return (auth as A & { [rawKey]?: A })[rawKey] ?? auth;
}

/** Wraps the application's own handler, which finds its session in the request. */
function around(handler: AnyFunction): AnyFunction {
  return (request: { auth?: unknown } | undefined, ...rest: unknown[]) => {
    if (request && isUnavailable(request.auth)) request.auth = null;
    return handler(request, ...rest);
  };
}

function settled(result: unknown): unknown {
  // Not every promise is of this realm's class.
  if (typeof (result as PromiseLike<unknown> | null)?.then === "function") return (result as PromiseLike<unknown>).then(settled);
  return isUnavailable(result) ? null : result;
}
