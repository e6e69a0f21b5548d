import { CurfewError } from "./errors.js";
import type { Publication } from "./publisher.js";

/** Why sessions end; the words of the API. */
export type Reason =
  | "user_logout" | "admin" | "password_changed" | "credential_changed" | "account_disabled" | "account_deleted" | "compromised" | "idle_timeout"
  | "max_age" | "policy" | "idp_logout" | "superseded";

/** What is told with a revocation. */
export interface RevokeOptions {
  reason?: Reason;
  /** Shown to the person, in their other tabs. */
  reasonUser?: string;
  /** For operators; never reaches a browser. */
  reasonAdmin?: string;
  /** Who did it. */
  initiator?: { type: "user" | "admin" | "policy" | "system"; id?: string };
}

/** Returns the members of a call that tell why and by whom. */
export function told(options: RevokeOptions, reason: Reason): Record<string, unknown> {
  return { reason, reason_user: options.reasonUser, reason_admin: options.reasonAdmin, initiator: options.initiator ?? (reason === "user_logout" ? { type: "user" } : undefined) };
}

/** Returns the call that signs a user out everywhere, or everywhere but in one session. */
export function logout(user: string, body: Record<string, unknown>): Publication {
  // These two can't stand in a path.
  if (user === "." || user === "..") {
    const { scope, current_session, ...rest } = body;
    return { path: "/v1/revocations", body: definedOf({ scope: "user", user, except: scope === "others" ? [current_session] : undefined, ...rest }) };
  }
  return { path: `/v1/users/${segment(user)}/logout`, body: definedOf(body) };
}

/** Returns an id as a segment of a path. */
export function segment(id: string): string {
  if (id === "." || id === "..") throw new CurfewError("invalid_request", "an id that is . or .. can't stand in a path", false);
  return encodeURIComponent(id);
}

/** Returns the members that are there. */
export function definedOf(members: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined));
}
