import { ageMs, type Moment, now } from "./moment.js";

/**
 * Tells how old the proof is that everything has been applied. A beat says when it was written by the server's clock, which may be off by any amount; but it can't
 * arrive before it is written. So the beat that took the least time sets how far the clocks are apart, and what takes longer than that was held up on its way, and
 * counts as that much older: beats that a stalled connection delivers in one go prove nothing of now.
 */
export class Freshness {
  #apartMs = Infinity;
  #proof: Moment | undefined;

  /** Notes a proof that was written at an instant of the server's clock and has just arrived. */
  prove(writtenAtMs: number, at = now()): void {
    this.#apartMs = Math.min(this.#apartMs, at.steadyMs - writtenAtMs);
    const heldUpMs = at.steadyMs - (writtenAtMs + this.#apartMs);
    const proof = { steadyMs: at.steadyMs - heldUpMs, wallMs: at.wallMs - heldUpMs };
    if (!this.#proof || proof.steadyMs > this.#proof.steadyMs) this.#proof = proof;
  }

  /** Returns how old the proof is in milliseconds; Infinity without one. */
  stalenessMs(at = now()): number {
    return this.#proof ? ageMs(this.#proof, at) : Infinity;
  }

  /** Begins to compare clocks anew, on a new connection. What was proved stays proved. */
  reconnect(): void {
    this.#apartMs = Infinity;
  }
}
