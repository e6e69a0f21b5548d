import { Backoff } from "./backoff.js";
import { report } from "./report.js";
import type { LogoutListenerOptions, Verdict } from "./options.js";

const ANSWER_MS = 10_000;

/** The page's own application: who is signed in, tickets, and touches. It alone decides whether somebody is signed out. */
export class Application {
  readonly #options: LogoutListenerOptions;
  readonly #closing = new AbortController();
  #asking: Promise<Verdict> | undefined;
  #next: Promise<Verdict> | undefined;

  constructor(options: LogoutListenerOptions) {
    this.#options = options;
  }

  /**
   * Asks who is signed in, again and again until the application has answered: an error of the network or of the server isn't "nobody". The question is put after
   * the call, since the answer to an earlier one may be older than what the caller has heard; callers that wait share one. It never resolves once closed.
   */
  async verdict(): Promise<Verdict> {
    const backoff = new Backoff();
    for (;;) {
      try {
        const verdict = await this.#ask();
        // The application's own verify may return anything.
        if (verdict.signedIn !== undefined && !this.#closing.signal.aborted) return verdict;
      } catch (error) {
        this.#failed(error);
      }
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, backoff.next());
        // The promise is forgotten along with whoever awaits it.
        const stop = () => clearTimeout(timer);
        if (this.#closing.signal.aborted) stop();
        else this.#closing.signal.addEventListener("abort", stop, { once: true });
      });
    }
  }

  /** Returns a ticket, or undefined if nobody is signed in. It throws if the application doesn't answer. */
  async ticket(): Promise<string | undefined> {
    const { ticket } = this.#options;
    let answer = typeof ticket === "string" ? await this.#post(ticket) : await ticket();
    if (answer instanceof Response) {
      if (answer.status === 401) return undefined;
      if (!answer.ok) throw new Error("no ticket in the application's answer: " + answer.status);
      answer = (await answer.json()) as { ticket?: string } | null;
    }
    return (typeof answer === "string" ? answer : answer?.ticket) || undefined;
  }

  /** Whether touches were asked for. */
  get touches(): boolean {
    return !!(this.#options.touch || this.#options.touchUrl);
  }

  /** Says that somebody is there, and resolves to whether the application took it. */
  async touch(): Promise<boolean> {
    const { touch, touchUrl } = this.#options;
    try {
      const answer = await (touch ? touch() : touchUrl && this.#post(touchUrl));
      return answer instanceof Response ? answer.ok : !!touch && answer !== false;
    } catch (error) {
      this.#failed(error);
      return false;
    }
  }

  /** Gives up whatever is under way. */
  close(): void {
    this.#closing.abort();
  }

  #ask(): Promise<Verdict> {
    if (!this.#asking) {
      const late = new Promise<never>((_, reject) => {
        AbortSignal.timeout(ANSWER_MS).onabort = () => reject(new Error("verify takes too long"));
      });
      this.#asking = Promise.race([this.#once(), late]).finally(() => (this.#asking = undefined));
      return this.#asking;
    }
    const again = () => {
      this.#next = undefined;
      return this.#ask();
    };
    return (this.#next ??= this.#asking.then(again, again));
  }

  async #once(): Promise<Verdict> {
    const { verify, sessionUrl = "/api/auth/session" } = this.#options;
    if (verify) return verify();
    const answer = await this.#fetch(sessionUrl);
    if (answer.status === 401) return { signedIn: false };
    const body = (answer.ok && (await answer.json())) as { sid?: unknown } | null | false;
    if (typeof body !== "object") throw new Error("no session in the application's answer: " + answer.status);
    if (!body || !Object.keys(body).length) return { signedIn: false };
    return { signedIn: true, session: typeof body.sid === "string" ? body.sid : undefined };
  }

  #post(url: string): Promise<Response> {
    return this.#fetch(url, { method: "POST" });
  }

  #fetch(url: string, init?: RequestInit): Promise<Response> {
    const signal = AbortSignal.timeout(ANSWER_MS);
    return fetch(url, { cache: "no-store", credentials: "same-origin", headers: { Accept: "application/json" }, signal, ...init });
  }

  #failed(error: unknown): void {
    if (!this.#closing.signal.aborted) report(this.#options, error);
  }
}
