import type { Api } from "./api.js";
import { Delivery, isFinal } from "./delivery.js";
import { CurfewError, RevocationLostError, RevocationPendingError } from "./errors.js";
import type { RevocationFailedEvent, Settings } from "./options.js";
import { MemoryOutbox } from "./outbox.js";
import type { Shared } from "./shared.js";

/** The API's answer to a revocation: it is stored. */
export interface Receipt {
  id: string;
  position: number;
  time: string;
  cutoff?: string;
  expires_at: string;
  /** Whether an earlier try had stored it. */
  duplicate: boolean;
}

/** A revocation to publish. */
export interface Publication {
  /** The call that is tried first. */
  path: string;
  body: Record<string, unknown>;
  /** What the outbox repeats, where that must differ: a cutoff that wasn't given means "now", and later that would be another now. */
  later?: { path: string; body: Record<string, unknown> };
}

const tries = 3;
const pauseMs = 25;
const waitUntilMs = 25000;

/** Publishes revocations: three tries in a bounded time, then the outbox. Nothing is lost without being told and counted. */
export class Publisher {
  readonly #api: Api;
  readonly #settings: Settings;
  readonly #shared: Shared;
  readonly #delivery: Delivery;
  readonly #told: (event: RevocationFailedEvent) => void;

  constructor(api: Api, settings: Settings, shared: Shared, told: (event: RevocationFailedEvent) => void) {
    this.#api = api;
    this.#settings = settings;
    this.#shared = shared;
    this.#told = told;
    const known = shared.deliveries.get(settings.outbox);
    this.#delivery = known ?? new Delivery(api, settings.outbox ?? new MemoryOutbox(), {
      stored: () => void shared.counters.revocationsStored++,
      refused: (error) => this.#lost(error),
      failed: (error) => this.#told({ error, keptIn: "outbox" }),
    });
    if (known) return;
    shared.deliveries.set(settings.outbox, this.#delivery);
    // What an earlier process has left.
    if (settings.outbox) void this.#delivery.drain();
  }

  /** Returns the receipt, or throws RevocationPendingError if the outbox has it now, or RevocationLostError if nobody has. */
  async publish(publication: Publication): Promise<Receipt> {
    const idempotencyKey = crypto.randomUUID();
    try {
      const receipt = await this.#try(publication, idempotencyKey);
      this.#shared.counters.revocationsStored++;
      this.#shared.stored(receipt.position);
      return receipt;
    } catch (error) {
      // A mistake in the call itself: whoever made it must hear of it, and repeating it helps nobody.
      if (isFinal(error)) {
        this.#lost(error);
        throw error;
      }
      await this.#keep(publication, idempotencyKey, error);
      throw new RevocationPendingError(error);
    }
  }

  /** Delivers what lies in the outbox, now. */
  drain(): Promise<void> {
    return this.#delivery.drain();
  }

  async #try({ path, body }: Publication, idempotencyKey: string): Promise<Receipt> {
    const end = performance.now() + this.#settings.publishTimeoutMs;
    let last: unknown = new CurfewError("timeout", "there was no time to publish the revocation", true);
    for (let left = tries; left > 0; left--) {
      const timeoutMs = (end - performance.now()) / left;
      if (timeoutMs < 1) break;
      try {
        return await this.#api.call<Receipt>({ method: "POST", path, body, idempotencyKey, timeoutMs });
      } catch (error) {
        last = error;
        if (!(error instanceof CurfewError && error.retry)) break;
        const pause = Math.min(pauseMs, end - performance.now());
        if (left > 1 && pause > 0) await new Promise((resolve) => setTimeout(resolve, pause));
      }
    }
    throw last;
  }

  async #keep(publication: Publication, idempotencyKey: string, error: unknown): Promise<void> {
    const later = publication.later;
    try {
      await this.#delivery.add({
        id: crypto.randomUUID(), path: later?.path ?? publication.path, body: later?.body ?? publication.body,
        // Under its first key a call that differs would be refused.
        idempotencyKey: later ? crypto.randomUUID() : idempotencyKey, at: Date.now(),
      });
    } catch (cause) {
      this.#lost(cause);
      throw new RevocationLostError(cause);
    }
    this.#shared.counters.revocationsDeferred++;
    try {
      this.#settings.waitUntil?.(this.#delivery.emptied(waitUntilMs));
    } catch {
      // Outside of a request there is nothing to wait with. The outbox goes on by itself.
    }
    this.#told({ error, keptIn: "outbox" });
  }

  #lost(error: unknown): void {
    this.#shared.counters.revocationsLost++;
    this.#told({ error, keptIn: "nobody" });
  }
}
