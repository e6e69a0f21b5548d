import type { Api } from "./api.js";
import { ApiError, CurfewError, UnavailableError } from "./errors.js";
import { identityKey, type SessionIdentity } from "./identity.js";
import { ageMs, now } from "./moment.js";
import type { Settings } from "./options.js";
import type { Asked, Shared } from "./shared.js";

/**
 * Whether a session is over. "undetermined" is neither yes nor no: the session mustn't pass as if it were "active", unless the policy says so.
 */
export type Verdict =
  | { state: "active"; from: "memory" | "gate" | "last_good" }
  | { state: "revoked"; reason: string }
  | { state: "undetermined"; cause: string };

/** The gate's answer, as far as it matters. */
interface GateAnswer {
  state?: unknown;
  reason?: unknown;
  cause?: unknown;
}

/** Answers whether sessions are over: from memory where that can be, else by asking the gate, once for all who want to know at the same time. */
export class Checker {
  readonly #api: Api;
  readonly #settings: Settings;
  readonly #shared: Shared;
  readonly #outage: (unavailable: boolean, error?: CurfewError) => void;

  constructor(api: Api, settings: Settings, shared: Shared, outage: (unavailable: boolean, error?: CurfewError) => void) {
    this.#api = api;
    this.#settings = settings;
    this.#shared = shared;
    this.#outage = outage;
  }

  /** Answers about a session. It never throws and takes no longer than the timeout. With `anew`, what was asked before doesn't count unless it was "revoked". */
  async check(s: SessionIdentity, { anew = false } = {}): Promise<Verdict> {
    const verdict = await this.#decide(s, anew);
    this.#shared.counters[verdict.state]++;
    return verdict;
  }

  async #decide(s: SessionIdentity, anew: boolean): Promise<Verdict> {
    const shared = this.#shared;
    const key = identityKey(s);
    const known = this.#known(s, key);
    if (known) return this.#remembered(known);
    const follows = shared.follower?.check(s, shared.position);
    if (follows?.state === "revoked") return this.#remembered({ state: "revoked", reason: follows.reason });
    if (follows?.state === "active") return this.#remembered({ state: "active", from: "memory" });
    const lastGood = shared.active.get(key);
    if (!anew && lastGood !== undefined && ageMs(lastGood) < this.#settings.cacheMs) return this.#remembered({ state: "active", from: "memory" });
    const asked = await this.#ask(s, key);
    // What this process revoked while the question was under way.
    const since = this.#known(s, key);
    if (since) return since;
    if (asked.state === "active") return { state: "active", from: "gate" };
    if (asked.state === "revoked") return asked;
    const good = shared.active.get(key);
    if (!anew && good !== undefined && ageMs(good) <= this.#settings.maxStaleMs) {
      shared.counters.bridged++;
      return { state: "active", from: "last_good" };
    }
    return asked;
  }

  /** Returns what ends a session for certain, whatever is down. */
  #known(s: SessionIdentity, key: string): Verdict | undefined {
    const reason = this.#shared.own.ending(s)?.reason ?? this.#shared.revoked.get(key);
    if (reason !== undefined) return { state: "revoked", reason };
    if (s.authTimeMs !== undefined && Date.now() >= s.authTimeMs + this.#settings.absoluteMaxAgeMs) return { state: "revoked", reason: "max_age" };
    return undefined;
  }

  #remembered(verdict: Verdict): Verdict {
    this.#shared.counters.remembered++;
    return verdict;
  }

  /** Joins the question that is under way about the very same session, or asks. Nobody waits for longer than the timeout, whoever asked. */
  async #ask(s: SessionIdentity, key: string): Promise<Asked> {
    const flights = this.#shared.flights;
    let flight = flights.get(key);
    if (!flight) {
      if (!this.#shared.breaker.enter()) return { state: "undetermined", cause: "the gate has just failed and isn't asked for a moment" };
      flight = this.#question(s, key).finally(() => flights.delete(key));
      flights.set(key, flight);
      return flight;
    }
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<Asked>((resolve) => {
      timer = setTimeout(() => resolve({ state: "undetermined", cause: "the gate gave no answer in time" }), this.#settings.timeoutMs);
    });
    return Promise.race([flight, late]).finally(() => clearTimeout(timer));
  }

  async #call(s: SessionIdentity, timeoutMs = this.#settings.timeoutMs): Promise<Asked> {
    return read(await this.#api.call<GateAnswer>({ method: "POST", path: "/v1/check", body: questionOf(s), timeoutMs, position: this.#shared.position }));
  }

  async #question(s: SessionIdentity, key: string): Promise<Asked> {
    const shared = this.#shared;
    const begun = now();
    shared.counters.asked++;
    let answer: Asked;
    try {
      answer = await this.#call(s).catch((error: unknown) => {
        // A connection that was kept and has been closed at the other end fails at once, and says nothing about the gate.
        const leftMs = this.#settings.timeoutMs - ageMs(begun);
        if (!(error instanceof UnavailableError && error.code === "network") || leftMs < 1) throw error;
        return this.#call(s, leftMs);
      });
      shared.breaker.note(true);
      // A gate that can't tell of a session whose claims are all there can't tell of any.
      if (answer.state === "undetermined" && complete(s)) this.#outage(true, new CurfewError("undetermined", `the gate can't tell: ${answer.cause}`, true));
      else this.#outage(false);
    } catch (cause) {
      const error = cause instanceof CurfewError ? cause : new UnavailableError("network", "the Curfew API can't be reached", { cause });
      // A question that the gate refuses says something about this token alone.
      if (!(error instanceof ApiError && error.status === 422)) {
        shared.breaker.note(false);
        this.#outage(true, error);
      }
      return { state: "undetermined", cause: error.code };
    }
    if (answer.state === "revoked") {
      shared.revoked.set(key, answer.reason);
      shared.active.delete(key);
    }
    // The answer is as old as its question.
    if (answer.state === "active") shared.active.set(key, begun);
    return answer;
  }
}

/** How far ahead an auth time may lie for a gate to believe it. */
const leewayMs = 300000;

function complete(s: SessionIdentity): boolean {
  return s.user !== undefined && s.authTimeMs !== undefined && s.authTimeMs <= Date.now() + leewayMs;
}

function questionOf(s: SessionIdentity): Record<string, string> {
  const question: Record<string, string> = { session: s.session };
  if (s.user !== undefined) question["user"] = s.user;
  if (s.device !== undefined) question["device"] = s.device;
  if (s.client !== undefined) question["client"] = s.client;
  if (s.authTimeMs !== undefined) question["auth_time"] = new Date(s.authTimeMs).toISOString();
  return question;
}

/** Only the three words count as answers. */
function read(answer: GateAnswer): Asked {
  switch (answer.state) {
    case "active":
      return { state: "active" };
    case "revoked":
      return { state: "revoked", reason: typeof answer.reason === "string" ? answer.reason : "" };
    case "undetermined":
      return { state: "undetermined", cause: typeof answer.cause === "string" ? answer.cause : "undetermined" };
  }
  throw new UnavailableError("unreadable_answer", "the Curfew API's answer has no state that is known: is the URL that of the API?");
}
