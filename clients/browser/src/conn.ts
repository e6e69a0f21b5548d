import type { Ack, ServerFrame } from "./protocol.generated.js";

/** One conn of a tab, over whichever transport. It is open or opening from its constructor on. */
export interface Conn {
  /** Acknowledges a notice, once. */
  ack(id: string, outcome: Ack["outcome"]): void;
  /** Ends the conn. Nothing is told afterwards. */
  close(): void;
}

/** What a conn tells whoever has opened it. */
export interface ConnEvents {
  /** Something came, whatever it is. */
  heard(): void;
  /** A frame came. */
  frame(frame: ServerFrame): void;
  /** The browser opens the same conn again by itself: it isn't ready until the next ready. */
  away(): void;
  /** The conn is over, with the code of a close frame or 1006. It is told once, and last. */
  closed(code: number, reason: string): void;
}

/** The close code for a conn that ended without a close frame (RFC 6455 section 7.4.1). */
export const ABNORMAL = 1006;
