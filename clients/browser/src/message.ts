import { checked } from "./frames.js";
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

const instant = (value: unknown) => Number.isSafeInteger(value) && (value as number) >= 0;
const text = (value: unknown) => value === undefined || typeof value === "string";
const isA = (value: unknown, type: ServerFrame["type"]) => value === undefined || checked(value)?.type === type;

/** Returns what came over the channel as a message, or undefined if it is none. Pages of the same origin are trusted, but versions of this package may differ. */
export function message(value: unknown): Message | undefined {
  const m = (value ?? {}) as Record<string, unknown>;
  const memory = (m["memory"] ?? {}) as Record<string, unknown>;
  switch (m["type"]) {
    case "ask":
    case "signing_out":
      break;
    case "here":
      if (!instant(m["touched"]) || !instant(memory["position"] ?? 0) || !text(memory["after"]) || !isA(m["expiring"], "session_expiring")) return undefined;
      return { ...(m as Message & { type: "here" }), memory };
    case "ended":
      if (!isA(m["notice"], "logout")) return undefined;
      break;
    case "frame":
      if (!checked(m["frame"])) return undefined;
      break;
    case "session":
      if (!text(m["session"])) return undefined;
      break;
    case "input":
      if (!instant(m["at"])) return undefined;
      break;
    default:
      return undefined;
  }
  return m as Message;
}
