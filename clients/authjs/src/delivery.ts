import type { Api } from "./api.js";
import { ApiError } from "./errors.js";
import type { Outbox, OutboxEntry } from "./outbox.js";

/** What becomes of an entry. */
export interface DeliveryHooks {
  /** The API has stored it. */
  stored(): void;
  /** The API refuses it for good, so it was removed. */
  refused(error: unknown): void;
  /** The outbox itself failed; what is in it is tried again later. */
  failed(error: unknown): void;
}

const callMs = 5000;
/** After so many failures in a row the API is away, and the rest isn't tried now. */
const refusedInARow = 3;
const pauseMs = 500;
const longestPauseMs = 30000;

/** Publishes what lies in an outbox, one entry after the other, and comes back with a growing pause while the API doesn't take them. */
export class Delivery {
  readonly #api: Api;
  readonly #outbox: Outbox;
  readonly #hooks: DeliveryHooks;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #running: Promise<void> | undefined;
  #again = false;
  #failures = 0;
  #closed = false;
  #waiting: (() => void)[] = [];

  constructor(api: Api, outbox: Outbox, hooks: DeliveryHooks) {
    this.#api = api;
    this.#outbox = outbox;
    this.#hooks = hooks;
  }

  /** Keeps an entry and begins to deliver it. It rejects if the outbox doesn't take it. */
  async add(entry: OutboxEntry): Promise<void> {
    await this.#outbox.add(entry);
    this.#schedule(pauseMs);
  }

  /** Delivers what is there, now. */
  async drain(): Promise<void> {
    if (this.#closed) return;
    if (this.#running) {
      this.#again = true;
      return this.#running;
    }
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#running = this.#pass().finally(() => (this.#running = undefined));
    return this.#running;
  }

  /** Resolves once the outbox was found empty, or after a time: what a platform's waitUntil is given. */
  async emptied(timeoutMs: number): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    await new Promise<void>((resolve) => {
      this.#waiting.push(resolve);
      timer = setTimeout(resolve, timeoutMs);
      void this.drain();
    });
    clearTimeout(timer);
  }

  /** Stops; what is in the outbox stays there. It resolves once no call is under way any more. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    for (const resolve of this.#waiting.splice(0)) resolve();
    await this.#running;
  }

  async #pass(): Promise<void> {
    let left = 0;
    try {
      do {
        this.#again = false;
        const entries = await this.#outbox.list();
        left = entries.length;
        // Each pass begins with another one, so that no entry stands in the way of all behind it.
        const first = entries.length > 0 ? this.#failures % entries.length : 0;
        let refused = 0;
        for (const entry of [...entries.slice(first), ...entries.slice(0, first)]) {
          if (this.#closed || refused >= refusedInARow) break;
          const done = await this.#deliver(entry);
          refused = done ? 0 : refused + 1;
          if (done) left--;
        }
      } while (this.#again && left === 0);
      this.#failures = left > 0 ? this.#failures + 1 : 0;
    } catch (error) {
      left++;
      this.#failures++;
      this.#hooks.failed(error);
    }
    if (left === 0) for (const resolve of this.#waiting.splice(0)) resolve();
    else this.#schedule(Math.min(longestPauseMs, pauseMs * 2 ** this.#failures) * (0.5 + Math.random() / 2));
  }

  /** Reports whether the entry needn't be tried again. */
  async #deliver(entry: OutboxEntry): Promise<boolean> {
    try {
      await this.#api.call({ method: "POST", path: entry.path, body: entry.body, idempotencyKey: entry.idempotencyKey, timeoutMs: callMs });
      this.#hooks.stored();
    } catch (error) {
      if (!isFinal(error)) return false;
      this.#hooks.refused(error);
    }
    await this.#outbox.remove(entry.id);
    return true;
  }

  #schedule(ms: number): void {
    if (this.#closed || this.#timer) return;
    this.#timer = setTimeout(() => void this.drain(), ms);
    // Node's timers keep a process alive; a script that has finished needn't stay for this. Where timers are numbers there is nothing to do.
    (this.#timer as { unref?: () => void }).unref?.();
  }
}

/** Malformed, under another call's key, too long, invalid. */
const finalStatuses: readonly number[] = [400, 409, 413, 415, 422];

/** Reports whether the API will never take this call. A key that is refused may be mended: the revocation waits for that. */
export function isFinal(error: unknown): boolean {
  return error instanceof ApiError && finalStatuses.includes(error.status);
}
