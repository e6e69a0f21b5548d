/** The package's own dialogs, which are loaded once somebody is signed in. */
import { Dialog } from "./dialog.js";
import { ENGLISH, type Messages } from "./messages.js";
import type { Ended } from "./options.js";

export { WarningDialog } from "./warningdialog.js";

/** Returns all words, of which an application may have its own. */
export function words(own: Partial<Messages> | undefined): Messages {
  return { ...ENGLISH, ...own, reasons: { ...ENGLISH.reasons, ...own?.reasons } };
}

/** Hides the page behind a dialog that says why it is over, and calls done when somebody goes on. The dialog stays. */
export function tell({ endedTitle, reasons, signIn }: Messages, { reason = "other", message }: Ended, done: () => void): void {
  const why = (Object.hasOwn(reasons, reason) && reasons[reason]) || reasons["other"] || "";
  new Dialog({ title: endedTitle, text: `${why}\n${message ?? ""}`.trim(), buttons: [{ label: signIn, act: done }], escape: done, cover: true });
}
