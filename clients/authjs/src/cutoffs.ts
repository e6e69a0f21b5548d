/** One scope-wide revocation: sessions with an auth time up to `atMs` are over. */
export interface Cutoff {
  atMs: number;
  reason: string;
}

/**
 * All that the cutoffs of one user, device, client or tenant say, however many there were: for each session the latest cutoff that doesn't except it. For
 * nearly all sessions that is the latest of all, and for the few that this one excepts it is noted apart. So it stays small, and says the same as all
 * (cutoff, except) pairs that no other dominates.
 */
export interface Cutoffs {
  readonly top: Cutoff;
  /** The sessions that top excepts, sorted. */
  readonly except: readonly string[];
  /** For each of except, the best other cutoff that doesn't except it. */
  readonly spared: readonly (Cutoff | undefined)[];
  /** When all of it may be forgotten. */
  readonly expiresAtMs: number;
}

/** Returns the cutoffs that one event sets. */
export function cutoffsOf(atMs: number, reason: string, except: readonly string[], expiresAtMs: number): Cutoffs {
  const sorted = [...new Set(except)].sort(compareText);
  return { top: { atMs, reason }, except: sorted, spared: sorted.map(() => undefined), expiresAtMs };
}

/** Returns the cutoff that decides about a session. */
export function answerOf(cutoffs: Cutoffs, session: string): Cutoff | undefined {
  const i = cutoffs.except.indexOf(session);
  return i < 0 ? cutoffs.top : cutoffs.spared[i];
}

/** Returns what both say together. It is associative, commutative and idempotent: order and repetition don't matter. */
export function joinCutoffs(a: Cutoffs, b: Cutoffs): Cutoffs {
  const [first, second] = compareTops(a, b) <= 0 ? [a, b] : [b, a];
  return {
    top: first.top,
    except: first.except,
    spared: first.except.map((session, i) => better(first.spared[i], answerOf(second, session))),
    expiresAtMs: Math.max(a.expiresAtMs, b.expiresAtMs),
  };
}

/** Puts the later cutoff first, and of two that end the same always the same one. */
function compareCutoffs(a: Cutoff, b: Cutoff): number {
  return b.atMs - a.atMs || compareText(a.reason, b.reason);
}

function compareTops(a: Cutoffs, b: Cutoffs): number {
  return compareCutoffs(a.top, b.top) || compareText(JSON.stringify(a.except), JSON.stringify(b.except));
}

function better(a: Cutoff | undefined, b: Cutoff | undefined): Cutoff | undefined {
  if (!a || !b) return a ?? b;
  return compareCutoffs(a, b) <= 0 ? a : b;
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
