import { ConfigError, type CurfewError } from "./errors.js";
import type { ClaimNames } from "./identity.js";
import type { Outbox } from "./outbox.js";

/** Where a person signs in from, for the list of their sessions. */
export interface RequestInfo {
  userAgent?: string | undefined;
  /** An IP address. Curfew keeps its network only (/24 or /48). */
  ip?: string | undefined;
}

/** Tells that Curfew can't be asked, or doesn't list sessions. It holds no id. */
export interface UnavailableEvent {
  /** What couldn't be done: check sessions, list a new one, follow the stream; or a token lacks what a check needs. */
  what: "check" | "register" | "stream" | "claims";
  /** True when it begins, false when it is over. */
  unavailable: boolean;
  error?: CurfewError | undefined;
}

/** Tells that a revocation wasn't stored in the time that a sign-out may take. It holds no id. */
export interface RevocationFailedEvent {
  error: unknown;
  /** Who tries again: the outbox, or nobody. With "nobody" the session lives on elsewhere: act on it. */
  keptIn: "outbox" | "nobody";
}

/** What Curfew needs to know. `url` and `apiKey` are required. */
export interface CurfewOptions {
  /** The API of a Curfew server: https, or http to loopback. */
  url: string;
  /** An API key with the scopes `publish`, `check` and `sessions`. Keep it on the server. */
  apiKey: string;
  /**
   * What happens to a session that can't be checked. "closed": it isn't shown, and its cookie stays, so that it is back when Curfew is. "open": it
   * passes, and is counted. Revoked sessions that this process knows of are refused in both.
   * @defaultValue "closed"
   */
  onError?: "open" | "closed";
  /** How long one check may take, in milliseconds. @defaultValue 300 */
  timeoutMs?: number;
  /** How long an active answer is kept, in milliseconds, at most 2000: so long a session may live on after its end. Zero for not at all. @defaultValue 2000 */
  cacheMs?: number;
  /** How long the last active answer about a session stands in when Curfew can't be asked, in milliseconds. @defaultValue 15000 */
  maxStaleMs?: number;
  /** The age from sign-in at which every session is over, in seconds like Auth.js's `session.maxAge`, which each read moves. The server has one too (30 days). */
  absoluteMaxAge?: number;
  /**
   * What happens to cookies from before Curfew was installed. "adopt": they go on, with an id made of the cookie and dated by its last signature. "deny":
   * they are over.
   * @defaultValue "adopt"
   */
  legacyTokens?: "adopt" | "deny";
  /** "check" asks the server; "stream" follows it and checks in memory, for servers that live long. @defaultValue "check" */
  sync?: "check" | "stream";
  /** With "stream": how old the proof may be before the server is asked again, in milliseconds; the server's own budget if that is shorter. @defaultValue 15000 */
  stalenessBudgetMs?: number;
  /** Whether new sessions are listed, for `listSessions`. @defaultValue true */
  register?: boolean;
  /** How long a sign-in waits to be listed, in milliseconds. @defaultValue 1000 */
  registerTimeoutMs?: number;
  /** How long a sign-out waits for its revocation, for all three tries together, in milliseconds, at most 1500. @defaultValue 1000 */
  publishTimeoutMs?: number;
  /** Holds revocations that couldn't be published in that time. @defaultValue in memory */
  outbox?: Outbox;
  /** The platform's waitUntil: what is given to it goes on after the response (Vercel, Cloudflare; in Next.js `(p) => after(() => p)`). */
  waitUntil?: (promise: Promise<unknown>) => void;
  /** The names of claims, where they aren't the usual ones. */
  claims?: Partial<ClaimNames>;
  /** Where the request that signs in comes from. The lazy form of `withRevocation` knows by itself. In Next.js: `async () => requestInfo(await headers())`. */
  request?: () => RequestInfo | undefined | Promise<RequestInfo | undefined>;
  /** Is told when Curfew can't be asked, and when it can again. Without it, console.error is. */
  onUnavailable?: (event: UnavailableEvent) => void;
  /** Is told of each revocation that wasn't stored in time. Without it, console.error is, once. */
  onRevocationFailed?: (event: RevocationFailedEvent) => void;
  /** What to call the API with. @defaultValue the global fetch */
  fetch?: typeof globalThis.fetch;
  /** Allows plain http to other hosts than loopback. Whoever can read it on the way learns the key, and whoever can change it vouches for anybody. */
  dangerouslyAllowHTTP?: boolean;
}

/** The options with their defaults. */
export interface Settings extends Required<Omit<CurfewOptions, "absoluteMaxAge" | "outbox" | "waitUntil" | "request" | "onUnavailable" | "onRevocationFailed" | "claims">> {
  absoluteMaxAgeMs: number;
  claims: ClaimNames;
  outbox: Outbox | undefined;
  waitUntil: CurfewOptions["waitUntil"];
  request: CurfewOptions["request"];
  onUnavailable: CurfewOptions["onUnavailable"];
  onRevocationFailed: CurfewOptions["onRevocationFailed"];
}

const longestCacheMs = 2000;
const longestPublishMs = 1500;

/** Next.js loads an application's modules to build it, often where there are no secrets. Nothing is checked there. */
function building(): boolean {
  const { process } = globalThis as { process?: { env?: Record<string, string | undefined> } };
  return process?.env?.["NEXT_PHASE"] === "phase-production-build";
}

/** Returns the options with defaults, or throws a ConfigError that names all faults. */
export function settle(options: CurfewOptions): Settings {
  const faults: string[] = [];
  const number = (name: keyof CurfewOptions, fallback: number, most = Infinity): number => {
    const value = options[name] ?? fallback;
    if (typeof value !== "number" || Number.isNaN(value) || value < 0) faults.push(`${name} must be a number that isn't negative`);
    else if (value > most) faults.push(`${name} can be ${most} at most`);
    return Number(value);
  };
  const choice = <T extends string>(name: keyof CurfewOptions, values: readonly [T, ...T[]]): T => {
    const value = options[name] ?? values[0];
    if (!values.includes(value as T)) faults.push(`${name} must be ${values.map((v) => `"${v}"`).join(" or ")}`);
    return value as T;
  };
  const settings: Settings = {
    url: checkUrl(options, faults),
    apiKey: checkKey(options.apiKey, faults),
    onError: choice("onError", ["closed", "open"]),
    timeoutMs: number("timeoutMs", 300),
    cacheMs: number("cacheMs", longestCacheMs, longestCacheMs),
    maxStaleMs: number("maxStaleMs", 15000),
    absoluteMaxAgeMs: options.absoluteMaxAge === undefined ? Infinity : number("absoluteMaxAge", 0) * 1000,
    legacyTokens: choice("legacyTokens", ["adopt", "deny"]),
    sync: choice("sync", ["check", "stream"]),
    stalenessBudgetMs: number("stalenessBudgetMs", 15000),
    register: options.register ?? true,
    registerTimeoutMs: number("registerTimeoutMs", 1000),
    publishTimeoutMs: number("publishTimeoutMs", 1000, longestPublishMs),
    claims: { session: "sid", user: "sub", device: "device_id", client: "client_id", ...options.claims },
    outbox: options.outbox,
    waitUntil: options.waitUntil,
    request: options.request,
    onUnavailable: options.onUnavailable,
    onRevocationFailed: options.onRevocationFailed,
    fetch: options.fetch ?? ((...args) => globalThis.fetch(...args)),
    dangerouslyAllowHTTP: options.dangerouslyAllowHTTP ?? false,
  };
  if (faults.length > 0 && !building()) throw new ConfigError(faults);
  // Whoever logs the server doesn't log the key.
  return Object.defineProperty(settings, "apiKey", { enumerable: false });
}

function checkUrl(options: CurfewOptions, faults: string[]): string {
  let url: URL | undefined;
  try {
    url = new URL(options.url);
  } catch {
    // Told below. The parser's error would quote it.
  }
  if (!url || (url.protocol !== "https:" && url.protocol !== "http:") || url.username || url.password || url.search || url.hash) {
    faults.push("url must be an absolute https URL without credentials, query or fragment: the address of 'curfew serve', such as https://curfew.example.com");
    return "";
  }
  const loopback = url.hostname === "localhost" || url.hostname === "[::1]" || /^127(\.\d+){3}$/.test(url.hostname);
  if (url.protocol === "http:" && !loopback && !options.dangerouslyAllowHTTP) {
    faults.push("url must be https: http is for loopback only, unless dangerouslyAllowHTTP says so");
  }
  return url.href.replace(/\/+$/, "");
}

function checkKey(key: unknown, faults: string[]): string {
  if (typeof key !== "string" || !/^[!-~]+$/.test(key)) {
    faults.push("apiKey is required, alone and without spaces: make one with 'curfew keys create --scopes publish,check,sessions'");
    return "";
  }
  return key;
}
