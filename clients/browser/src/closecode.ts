import { CLOSE_DRAIN, CLOSE_TICKET_REFUSED } from "./protocol.generated.js";

/** What a close code asks of a tab. */
export type Meaning =
  /** Come back after a random while. */
  | { then: "retry" }
  /** Come back after that many milliseconds. */
  | { then: "return"; afterMs: number }
  /** Come back with a new ticket, if the application gives one; not at once each time. */
  | { then: "ticket" }
  /** Don't come back by itself: ask the application. */
  | { then: "over" };

/** A server that says when to come back is believed for this long. */
const MOST_RETURN_MS = 300_000;

/** Returns what a close code and its reason ask of a tab. */
export function meaning(code: number, reason = ""): Meaning {
  if (code === CLOSE_TICKET_REFUSED) return { then: "ticket" };
  if (code >= 4500 && code <= 4999) return { then: "over" };
  const afterMs = code === CLOSE_DRAIN ? retryMs(reason) : undefined;
  return afterMs === undefined ? { then: "retry" } : { then: "return", afterMs };
}

function retryMs(reason: string): number | undefined {
  try {
    const ms = (JSON.parse(reason) as { retry_ms?: unknown } | null)?.retry_ms;
    return typeof ms === "number" && ms >= 0 ? Math.min(ms, MOST_RETURN_MS) : undefined;
  } catch {
    return undefined;
  }
}
