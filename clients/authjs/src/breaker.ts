/** Keeps callers from waiting for an API that has just failed: after a failure one call in each pause tries it. */
export class Breaker {
  readonly #pauseMs: number;
  #openUntil = 0;
  #failing = false;

  constructor(pauseMs: number) {
    this.#pauseMs = pauseMs;
  }

  /** Reports whether a call may be made now, and takes the place of the one that tries. */
  enter(): boolean {
    if (!this.#failing) return true;
    const now = performance.now();
    if (now < this.#openUntil) return false;
    this.#openUntil = now + this.#pauseMs;
    return true;
  }

  /** Notes a call's outcome. */
  note(ok: boolean): void {
    this.#failing = !ok;
    if (!ok) this.#openUntil = performance.now() + this.#pauseMs;
  }
}
