import { ApiError, UnavailableError } from "./errors.js";

/** How the API is reached. */
export interface ApiConfig {
  /** The base URL without a slash at its end. */
  url: string;
  /** The API key, `cfw_…`. */
  apiKey: string;
  /** What to call it with. */
  fetch: typeof globalThis.fetch;
}

/** One call. */
export interface ApiCall {
  method: "GET" | "POST" | "DELETE";
  /** The path with its query, from /v1 on. */
  path: string;
  body?: unknown;
  /** Bounds the call, the reading of its answer included. */
  timeoutMs: number;
  idempotencyKey?: string | undefined;
  /** A position that must have been applied (`Curfew-Position`). */
  position?: number | undefined;
}

const longestAnswer = 8 << 20;

/** Speaks HTTP to a Curfew server. It holds the key and lets nobody read it. */
export class Api {
  readonly #url: string;
  readonly #key: string;
  readonly #fetch: typeof globalThis.fetch;

  constructor(config: ApiConfig) {
    this.#url = config.url;
    this.#key = config.apiKey;
    this.#fetch = config.fetch;
  }

  /** Calls and returns the answer's JSON; throws ApiError for a problem and UnavailableError where there is no answer. */
  async call<T>(call: ApiCall): Promise<T> {
    const abort = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        abort.abort();
        reject(new UnavailableError("timeout", `the Curfew API gave no answer within ${Math.round(call.timeoutMs)} ms`));
      }, call.timeoutMs);
    });
    try {
      // A fetch that doesn't heed its signal mustn't hold up anybody either.
      return await Promise.race([this.#exchange<T>(call, abort.signal), late]);
    } finally {
      clearTimeout(timer);
    }
  }

  async #exchange<T>(call: ApiCall, signal: AbortSignal): Promise<T> {
    const response = await this.#send(call.method, call.path, this.#headers(call), call.body, signal);
    let text: string;
    try {
      text = await response.text();
    } catch (cause) {
      throw new UnavailableError("network", "the Curfew API's answer broke off", { cause });
    }
    if (text.length > longestAnswer) throw new UnavailableError("unreadable_answer", "the Curfew API's answer is longer than any of its answers: is the URL that of the API?");
    if (response.status >= 200 && response.status < 300) return parse<T>(text);
    throw problem(response.status, text);
  }

  /** Opens the stream of revocations; the caller reads the body and ends it by the signal. */
  async open(path: string, signal: AbortSignal): Promise<ReadableStream<Uint8Array>> {
    const response = await this.#send("GET", path, { Accept: "text/event-stream" }, undefined, signal);
    if (response.status !== 200 || !response.body) throw problem(response.status, await response.text().catch(() => ""));
    return response.body;
  }

  #headers(call: ApiCall): Record<string, string> {
    const headers: Record<string, string> = { Accept: "application/json" };
    if (call.body !== undefined) headers["Content-Type"] = "application/json";
    if (call.idempotencyKey) headers["Idempotency-Key"] = call.idempotencyKey;
    if (call.position) headers["Curfew-Position"] = String(call.position);
    return headers;
  }

  async #send(method: string, path: string, headers: Record<string, string>, body: unknown, signal: AbortSignal): Promise<Response> {
    const init: RequestInit = {
      method,
      headers: { ...headers, Authorization: `Bearer ${this.#key}` },
      // Next.js caches what isn't marked, and a cached "active" would outlive the session.
      cache: "no-store",
      // Whoever could redirect would choose who answers, and get the key.
      redirect: "manual",
      signal,
    };
    if (body !== undefined) init.body = JSON.stringify(body);
    const fetch = this.#fetch; // not called as a method, which browsers' and workers' refuse
    try {
      return await fetch(this.#url + path, init);
    } catch (cause) {
      throw new UnavailableError("network", "the Curfew API can't be reached: is the URL right, and does 'curfew serve' run?", { cause });
    }
  }
}

function parse<T>(text: string): T {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null) return value as T;
  } catch {
    // Told below.
  }
  throw new UnavailableError("unreadable_answer", "the Curfew API's answer isn't JSON: is the URL that of the API?");
}

function problem(status: number, text: string): ApiError | UnavailableError {
  const body = problemBody(text);
  if (typeof body?.code !== "string") {
    return new UnavailableError("unreadable_answer", `whoever answered ${status} isn't the Curfew API: is a proxy in between?`);
  }
  const faults = Array.isArray(body.errors) ? (body.errors as { field: string; detail: string }[]) : [];
  const detail = [String(body.detail ?? ""), ...faults.map((f) => `${f.field} ${f.detail}`)].join(" ");
  return new ApiError(status, body.code, detail, body.retry === true || status >= 500, faults);
}

interface ProblemBody {
  code?: unknown;
  detail?: unknown;
  retry?: unknown;
  errors?: unknown;
}

function problemBody(text: string): ProblemBody | null {
  try {
    return JSON.parse(text) as ProblemBody | null;
  } catch {
    return null; // a proxy's page
  }
}
