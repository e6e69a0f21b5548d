import { Dialog } from "./dialog.js";
import type { Messages } from "./messages.js";
import type { Ended, LogoutListenerOptions } from "./options.js";

/** How a tab leaves, once the application has confirmed that its session is over. What has begun isn't called off, for nothing of the page may stay. */
export class Departure {
  readonly #options: LogoutListenerOptions;
  readonly #messages: Messages;

  constructor(options: LogoutListenerOptions, messages: Messages) {
    this.#options = options;
    this.#messages = messages;
  }

  /** Leaves, and resolves to false if the application takes over from here. */
  async leave(ended: Ended): Promise<boolean> {
    const { onNotice, beforeLogout, beforeLogoutMs = 3_000, dialog = true } = this.#options;
    if ((await this.#within(beforeLogoutMs, () => onNotice?.(ended))) === false) return false;
    await Promise.all([this.#within(beforeLogoutMs, () => beforeLogout?.(ended)), dialog && this.#tell(ended)]);
    this.#go(ended);
    return true;
  }

  /** Calls the application, and resolves to its answer, or to undefined if that throws or takes too long. */
  async #within(ms: number, call: () => unknown): Promise<unknown> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    try {
      return await Promise.race([call(), new Promise((resolve) => (timer = setTimeout(resolve, ms)))]);
    } catch (error) {
      this.#options.onError?.(error instanceof Error ? error : new Error(String(error)));
    } finally {
      clearTimeout(timer);
    }
    return undefined;
  }

  /** Hides the page behind a dialog that says why, until somebody goes on or has had the time to read it. */
  #tell({ reason = "other", message }: Ended): Promise<void> {
    const { leaveAfterMs = 10_000 } = this.#options;
    const { endedTitle, reasons, signIn } = this.#messages;
    const why = (Object.hasOwn(reasons, reason) && reasons[reason]) || reasons["other"] || "";
    return new Promise((resolve) => {
      const act = () => resolve();
      new Dialog({ title: endedTitle, text: message ? `${why}\n${message}` : why, buttons: [{ label: signIn, act }], escape: act, cover: true });
      setTimeout(act, leaveAfterMs);
    });
  }

  #go(ended: Ended): void {
    const { redirectTo, reasonParam } = this.#options;
    // "Unsaved changes" had its time in beforeLogout: nobody may stay here.
    addEventListener("beforeunload", (event) => event.stopImmediatePropagation(), { capture: true });
    const url = new URL((typeof redirectTo === "function" ? redirectTo(ended) : redirectTo) ?? location.href, location.href);
    if (reasonParam && ended.reason) url.searchParams.set(reasonParam, ended.reason);
    const same = url.href.split("#")[0] === location.href.split("#")[0];
    // A page of the same address would be shown from the browser's cache, or not at all.
    if (same || !/^https?:$/.test(url.protocol)) location.reload();
    else location.replace(url);
  }
}
