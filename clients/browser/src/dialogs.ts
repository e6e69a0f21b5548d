/** The package's own dialogs, which are loaded once somebody is signed in. */
import { Dialog } from "./dialog.js";
import { ENGLISH, type Messages } from "./messages.js";
import type { Ended, LogoutListenerOptions } from "./options.js";
import type { SessionExpiring } from "./protocol.generated.js";
import { WarningDialog } from "./warningdialog.js";

/** Warns of the end of the session. stay keeps it, if anything can, and dismiss puts the dialog away. */
export function warn(options: LogoutListenerOptions, { reason }: SessionExpiring, leftMs: () => number, dismiss: () => void, stay: (() => Promise<boolean>) | undefined): WarningDialog {
  const { signInUrl, redirectTo } = options;
  const to = signInUrl ?? (typeof redirectTo === "string" ? redirectTo : "/api/auth/signin");
  return new WarningDialog({ messages: words(options), idle: reason === "idle_timeout", leftMs, stay, signIn: () => location.assign(to), dismiss });
}

/**
 * Hides the page behind a dialog that says why it is over, and calls done each time that somebody goes on. The dialog stays. Returns after how long the tab goes by itself, in milliseconds:
 * later where many are signed out at once, so that they don't all sign in at once.
 */
export function tell(options: LogoutListenerOptions, { reason = "other", message = "", notice }: Ended, done: () => void): number {
  const { endedTitle, reasons, signIn } = words(options);
  const why = (Object.hasOwn(reasons, reason) && reasons[reason]) || reasons["other"] || "";
  new Dialog({ title: endedTitle, text: `${why}\n${message}`.trim(), buttons: [{ label: signIn, act: done }], escape: done, cover: true });
  return (options.leaveAfterMs ?? 10_000) + (notice?.login_after_ms ?? 0);
}

/** Returns all words, of which an application may have its own. */
function words({ messages }: LogoutListenerOptions): Messages {
  return { ...ENGLISH, ...messages, reasons: { ...ENGLISH.reasons, ...messages?.reasons } };
}
