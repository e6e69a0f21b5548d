import { report } from "./report.js";
import type { Ended, LogoutListenerOptions } from "./options.js";

/** How a tab leaves, once the application has confirmed that its session is over. What has begun isn't called off, for nothing of the page may stay. */
export class Departure {
  readonly #options: LogoutListenerOptions;
  #went = false;
  readonly #tell: (ended: Ended, done: () => void) => Promise<number | undefined>;

  /** tell hides the page behind a dialog, which calls done when somebody goes on; it resolves to for how long the dialog stays, in milliseconds, or to nothing if there is none. */
  constructor(options: LogoutListenerOptions, tell: (ended: Ended, done: () => void) => Promise<number | undefined>) {
    this.#options = options;
    this.#tell = tell;
  }

  /** Leaves, unless the application takes over. */
  async leave(ended: Ended): Promise<void> {
    const { onNotice, beforeLogout, beforeLogoutMs = 3_000 } = this.#options;
    if ((await this.#within(beforeLogoutMs, () => onNotice?.(ended))) === false) return;
    await Promise.all([this.#within(beforeLogoutMs, () => beforeLogout?.(ended)), this.#told(ended, beforeLogoutMs)]);
    this.#go(ended);
  }

  /** Calls the application, and resolves to its answer, or to undefined if that throws or takes too long. */
  async #within(ms: number, call: () => unknown): Promise<unknown> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    try {
      return await Promise.race([call(), new Promise((resolve) => (timer = setTimeout(resolve, ms)))]);
    } catch (error) {
      report(this.#options, error);
    } finally {
      clearTimeout(timer);
    }
    return undefined;
  }

  /** Resolves once somebody goes on from the dialog, or has had the time to read it, or at once if there is none. */
  async #told(ended: Ended, ms: number): Promise<void> {
    let done = () => {};
    const read = new Promise<void>((resolve) => {
      // A page that asks whether to leave, and is told not to, stays behind the dialog, and goes when that is answered again.
      done = () => (this.#went ? this.#go(ended) : resolve());
    });
    const stays = await this.#within(ms, () => this.#tell(ended, () => done()));
    if (stays) await this.#within(stays as number, () => read);
  }

  #go(ended: Ended): void {
    const { redirectTo, reasonParam } = this.#options;
    this.#went = true;
    try {
      const url = new URL((typeof redirectTo === "function" ? redirectTo(ended) : redirectTo) ?? location.href, location.href);
      if (reasonParam && ended.reason) url.searchParams.set(reasonParam, ended.reason);
      // A page of the same address would be shown from the browser's cache, or not at all.
      if (/^https?:$/.test(url.protocol) && url.href.split("#")[0] !== location.href.split("#")[0]) return location.replace(url);
    } catch (error) {
      report(this.#options, error);
    }
    location.reload();
  }
}
