import { MEMBERS, type Ack, type Hello, type ServerFrame } from "./protocol.generated.js";

/** The WebSocket subprotocol. */
export const SUBPROTOCOL = "curfew.v1";

/** Reads a frame of the server. One of a type that this version doesn't know, or that isn't a frame, is undefined; members that it doesn't know are ignored. */
export function decode(text: unknown): ServerFrame | undefined {
  try {
    return checked(JSON.parse(text as string));
  } catch {
    return undefined;
  }
}

/** Returns a value that is a frame of the server as one. */
export function checked(value: unknown): ServerFrame | undefined {
  const type = (value as { type?: unknown } | null)?.type;
  if (typeof type !== "string" || !Object.hasOwn(MEMBERS, type)) return undefined;
  const members = Object.entries<string>(MEMBERS[type as ServerFrame["type"]]);
  return members.every(([name, kind]) => fits((value as Record<string, unknown>)[name], kind)) ? (value as ServerFrame) : undefined;
}

/** Whether a value is of one of the kinds that MEMBERS has. */
export function fits(value: unknown, kind: string): boolean {
  if (value === undefined) return kind.endsWith("?");
  return kind.startsWith("string") ? typeof value === "string" : Number.isSafeInteger(value) && (value as number) >= 0;
}

/** Writes an acknowledgement. */
export function encodeAck({ id, outcome }: Omit<Ack, "type">): string {
  return JSON.stringify({ type: "ack", id, outcome });
}

/** Writes a tab's first frame, which it needs only where it doesn't offer the ticket as a subprotocol. */
export function encodeHello({ ticket, after, position }: Omit<Hello, "type">): string {
  return JSON.stringify({ type: "hello", ticket, after, position });
}

/** What a tab knows of the past, and tells when it connects. */
export interface Past {
  /** The id of the last notice. */
  after?: string | undefined;
  /** The greatest position. */
  position?: number | undefined;
}

/** Returns the subprotocols that say what hello would, so that the first request says it. A ticket never stands in a URL, which others log. */
export function offers(ticket: string, past: Past): string[] {
  const all = [SUBPROTOCOL, "ticket." + ticket];
  // It is the id of an event. What can't be a subprotocol would have the constructor of WebSocket throw.
  if (/^[\w-]{1,64}$/.test(past.after ?? "")) all.push("after." + past.after);
  if (past.position) all.push("position." + past.position);
  return all;
}
