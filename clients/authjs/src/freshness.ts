/**
 * Tells how old the proof is that everything has been applied, by the local clock that no one can set. A beat says when it was written by the
 * server's clock, which may be off by any amount; but it can't arrive before it is written. So the beat that took the least time sets how far
 * the clocks are apart, and what takes longer than that was held up on its way, and counts as that much older: beats that a stalled
 * connection delivers in one go prove nothing of now.
 */
export class Freshness {
  #apartMs = Infinity;
  #proofMs = -Infinity;

  /** Notes a proof that was written at an instant of the server's clock and has just arrived. */
  prove(writtenAtMs: number, nowMs = performance.now()): void {
    this.#apartMs = Math.min(this.#apartMs, nowMs - writtenAtMs);
    this.#proofMs = Math.max(this.#proofMs, Math.min(nowMs, writtenAtMs + this.#apartMs));
  }

  /** Returns how old the proof is in milliseconds; Infinity without one. */
  stalenessMs(nowMs = performance.now()): number {
    return nowMs - this.#proofMs;
  }

  /** Begins to compare clocks anew, on a new connection. What was proved stays proved. */
  reconnect(): void {
    this.#apartMs = Infinity;
  }
}
