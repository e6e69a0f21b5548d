/** How long to wait before the next attempt: full jitter, up to half a second at first, then twice as long each time, up to thirty. */
export class Backoff {
  #attempts = 0;
  readonly #random: () => number;

  /** random returns numbers from 0 to below 1. */
  constructor(random: () => number = Math.random) {
    this.#random = random;
  }

  /** Returns the milliseconds to wait, and counts the attempt. */
  next(): number {
    return this.#random() * Math.min(30_000, 500 * 2 ** this.#attempts++);
  }

  /** Begins anew, after an attempt that went well. */
  reset(): void {
    this.#attempts = 0;
  }
}
