import { checked, fits } from "./frames.js";
import type { Memory } from "./link.js";
import type { Logout, ServerFrame, SessionExpiring } from "./protocol.generated.js";

/** What tabs of one browser tell each other. */
export type Message =
  /** Is the leader there? */
  | { type: "ask" }
  /** The leader is, and passes on what it knows, so that whoever follows it goes on from there. */
  | { type: "here"; memory: Memory; expiring?: SessionExpiring | undefined; touched: number }
  /** The session may be over: look. */
  | { type: "ended"; notice?: Logout | undefined }
  /** The leader was told this, which concerns all tabs. */
  | { type: "frame"; frame: ServerFrame }
  /** The application says that this session is signed in. */
  | { type: "session"; session?: string | undefined }
  /** Somebody did something in a tab, at that time. */
  | { type: "input"; at: number }
  /** A tab of the browser is signing out by itself. */
  | { type: "signing_out" };

const instant = (value: unknown) => fits(value, "integer");
const text = (value: unknown) => fits(value, "string?");
const isA = (value: unknown, type: ServerFrame["type"]) => value === undefined || checked(value)?.type === type;

/** What each message must have. */
const SHAPES: { [Type in Message["type"]]: (m: Record<string, unknown>, memory: Memory | undefined) => unknown } = {
  ask: () => true,
  here: (m, memory) => memory && instant(memory.position ?? 0) && text(memory.after) && instant(m["touched"]) && isA(m["expiring"], "session_expiring"),
  ended: (m) => isA(m["notice"], "logout"),
  frame: (m) => checked(m["frame"]),
  session: (m) => text(m["session"]),
  input: (m) => instant(m["at"]),
  signing_out: () => true,
};

/** Returns what came over the channel as a message, or undefined if it is none. Pages of the same origin are trusted, but versions of this package may differ. */
export function message(value: unknown): Message | undefined {
  const m = value as (Message & { memory?: Memory }) | null | undefined;
  return typeof m?.type === "string" && Object.hasOwn(SHAPES, m.type) && SHAPES[m.type](m, m.memory) ? m : undefined;
}
