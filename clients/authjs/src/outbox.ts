/** A revocation that couldn't be published yet: a call of the API, to be repeated until it is answered. */
export interface OutboxEntry {
  /** Unique, and fit for a file's name: letters, digits and hyphens. */
  id: string;
  /** The call, from /v1 on. */
  path: string;
  /** What is sent. */
  body: unknown;
  /** Makes the repeated call one event. */
  idempotencyKey: string;
  /** When the revocation was asked for, in milliseconds since 1970. */
  at: number;
}

/**
 * Keeps revocations until they are published. `add` resolves once the entry is as safe as this outbox makes it, and rejects if it can't be
 * kept, for example because the outbox is full. Entries may be published twice and in any order: that is harmless.
 */
export interface Outbox {
  /** Keeps an entry. */
  add(entry: OutboxEntry): Promise<void>;
  /** Returns what is kept. */
  list(): Promise<OutboxEntry[]>;
  /** Forgets an entry that was published; one that isn't there is none to forget. */
  remove(id: string): Promise<void>;
}

/** An outbox in memory, for servers that live long. What is in it ends with the process; FileOutbox of `@curfew/authjs/node` survives that. */
export class MemoryOutbox implements Outbox {
  readonly #limit: number;
  readonly #entries = new Map<string, OutboxEntry>();

  /** Takes at most limit entries. */
  constructor(limit = 10000) {
    this.#limit = limit;
  }

  async add(entry: OutboxEntry): Promise<void> {
    if (this.#entries.size >= this.#limit) throw new Error(`the outbox is full with ${this.#limit} revocations: end what keeps the API from taking them, or give it a higher limit`);
    this.#entries.set(entry.id, entry);
  }

  async list(): Promise<OutboxEntry[]> {
    return [...this.#entries.values()];
  }

  async remove(id: string): Promise<void> {
    this.#entries.delete(id);
  }
}
