/** An instant by both clocks: the one that nobody sets stands still while a machine sleeps, and the other one doesn't. */
export interface Moment {
  readonly steadyMs: number;
  readonly wallMs: number;
}

/** Returns now. */
export function now(): Moment {
  return { steadyMs: performance.now(), wallMs: Date.now() };
}

/** Returns how long ago an instant was, by the clock that says longer. A clock that was set makes what is remembered older, never younger. */
export function ageMs(of: Moment, at: Moment = now()): number {
  return Math.max(at.steadyMs - of.steadyMs, at.wallMs - of.wallMs);
}
