/**
 * Signs a page out the moment its session is revoked, in every tab of the browser. A notice of the gateway is a hint: the page's own application is asked before
 * anything is cleared.
 */
import { Listener } from "./listener.js";
import type { LogoutListenerHandle, LogoutListenerOptions } from "./options.js";

export type { Messages } from "./messages.js";
export type { Ended, ListenerState, LogoutListenerHandle, LogoutListenerOptions, TicketAnswer, Verdict } from "./options.js";
export type { Logout, Reason, SessionExpiring } from "./protocol.generated.js";

/**
 * Listens for the end of the page's session until close() is called. Call it once per page, in a browser.
 *
 * ```ts
 * const listener = startLogoutListener({ url: "https://curfew.example.com", ticket: "/api/logout-ticket", redirectTo: "/signin" });
 * ```
 */
export function startLogoutListener(options: LogoutListenerOptions): LogoutListenerHandle {
  return new Listener(options);
}
