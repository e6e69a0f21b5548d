/**
 * Session revocation with Curfew: what the packages for Auth.js, NextAuth.js and Better Auth are made of. It runs on the edge: it needs fetch, Web Crypto and
 * timers, and nothing else.
 */
export { Curfew, curfew } from "./curfew.js";
export type { SignedIn, Ticket } from "./curfew.js";
export type { ListedSession, SessionList } from "./sessionlist.js";
export type { Reason, RevokeOptions } from "./revoke.js";
export type { Verdict } from "./checker.js";
export * from "./errors.js";
export type { ClaimNames, SessionIdentity } from "./identity.js";
export { failClosed } from "./failclosed.js";
export { ticketHandler, touchHandler } from "./handlers.js";
export type { HandlerOptions, PageHandler } from "./handlers.js";
export { isUnavailable } from "./marks.js";
export type { CurfewOptions, RequestInfo, RevocationFailedEvent, UnavailableEvent } from "./options.js";
export { MemoryOutbox } from "./outbox.js";
export type { Outbox, OutboxEntry } from "./outbox.js";
export type { Receipt } from "./publisher.js";
export { requestInfo } from "./request.js";
export type { Counters } from "./shared.js";
