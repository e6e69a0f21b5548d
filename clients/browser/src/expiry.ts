import type { WarningDialog } from "./warningdialog.js";
import type { SessionExpiring } from "./protocol.generated.js";

/** What Expiry needs. */
export interface ExpiryConfig {
  /** Shows the warning, or resolves to undefined where none is to be shown. */
  warn: (expiring: SessionExpiring, leftMs: () => number, dismiss: () => void) => Promise<WarningDialog | undefined>;
  /** The time is over, by this tab's clock, which proves nothing. */
  due: () => void;
}

/** The end that was announced for the session, as one tab knows it. */
export class Expiry {
  readonly #config: ExpiryConfig;
  #expiring: SessionExpiring | undefined;
  #deadline = 0;
  #dialog: Promise<WarningDialog | undefined> | undefined;
  /** The end of which somebody doesn't want to hear again. */
  #dismissed: string | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(config: ExpiryConfig) {
    this.#config = config;
  }

  /** What was announced, as it would be now; undefined if nothing was. */
  get expiring(): SessionExpiring | undefined {
    return this.#expiring && { ...this.#expiring, in_ms: this.#leftMs() };
  }

  /** Announces the end, or that it is at another time. */
  show(expiring: SessionExpiring): void {
    if (this.#expiring?.reason !== expiring.reason) this.clear();
    this.#expiring = expiring;
    this.#deadline = Date.now() + expiring.in_ms;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.clear();
      this.#config.due();
    }, expiring.in_ms);
    if (this.#dismissed === expiring.at) return;
    this.#dialog ??= this.#config.warn(expiring, () => this.#leftMs(), () => {
      this.#dismissed = expiring.at;
      this.#hide();
    });
  }

  /** Takes the announcement back. */
  clear(): void {
    clearTimeout(this.#timer);
    this.#expiring = undefined;
    this.#hide();
  }

  #leftMs(): number {
    return Math.max(0, this.#deadline - Date.now());
  }

  #hide(): void {
    // It may still be on its way.
    void this.#dialog?.then((dialog) => dialog?.close());
    this.#dialog = undefined;
  }
}
