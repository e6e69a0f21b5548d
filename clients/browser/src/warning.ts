import { Dialog } from "./dialog.js";
import type { Messages } from "./messages.js";
import type { SessionExpiring } from "./protocol.generated.js";

/** At how many seconds before the end a screen reader says the time that is left. */
const SPOKEN = [10, 30, 60, 120, 300];

/** What Warning needs. */
export interface WarningConfig {
  messages: Messages;
  /** Whether it shows a dialog, or only keeps the time. */
  dialog: boolean;
  /** Keeps the session, and resolves to whether that worked; undefined where nothing can. */
  stay: (() => Promise<boolean>) | undefined;
  /** Leads to signing in. */
  signIn: () => void;
  /** The time is over, by this tab's clock, which proves nothing. */
  due: () => void;
}

/** The warning before the end of a session, in one tab. */
export class Warning {
  readonly #config: WarningConfig;
  #dialog: Dialog | undefined;
  #expiring: SessionExpiring | undefined;
  /** The end that somebody doesn't want to hear of again. */
  #dismissed: string | undefined;
  #deadline = 0;
  #spoken = Infinity;
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(config: WarningConfig) {
    this.#config = config;
  }

  /** What was announced, as it would be now, or undefined. */
  get expiring(): SessionExpiring | undefined {
    return this.#expiring && { ...this.#expiring, in_ms: Math.max(0, this.#deadline - Date.now()) };
  }

  /** Announces the end, or the same end again. */
  show(expiring: SessionExpiring): void {
    if (this.#expiring && this.#expiring.reason !== expiring.reason) this.clear();
    this.#expiring = expiring;
    this.#deadline = Date.now() + expiring.in_ms;
    this.#timer ??= setInterval(() => this.#tick(), 1_000);
    if (this.#config.dialog && !this.#dialog && this.#dismissed !== expiring.at) this.#dialog = this.#ask(expiring);
    this.#tick();
  }

  /** Takes the warning back. */
  clear(): void {
    clearInterval(this.#timer);
    this.#timer = this.#expiring = undefined;
    this.#spoken = Infinity;
    this.#dismiss();
  }

  #dismiss(): void {
    this.#dialog?.close();
    this.#dialog = undefined;
  }

  #ask({ reason, at }: SessionExpiring): Dialog {
    const { messages, stay, signIn } = this.#config;
    const idle = reason === "idle_timeout";
    if (idle && stay) {
      const act = async () => {
        if (!(await stay()) && this.#dialog) this.#dialog.status = messages.stayFailed;
      };
      return new Dialog({ title: messages.idleTitle, text: this.#text(), buttons: [{ label: messages.stay, act }], escape: act });
    }
    const later = () => {
      this.#dismissed = at;
      this.#dismiss();
    };
    return new Dialog({
      title: idle ? messages.idleTitle : messages.maxAgeTitle,
      text: this.#text(),
      buttons: [
        { label: messages.signIn, act: signIn },
        { label: messages.later, act: later },
      ],
      escape: later,
    });
  }

  #seconds(): number {
    return Math.max(0, Math.ceil((this.#deadline - Date.now()) / 1_000));
  }

  #text(): string {
    const { messages } = this.#config;
    const text = this.#expiring!.reason === "idle_timeout" ? messages.idleText : messages.maxAgeText;
    return text.replace("{time}", () => messages.seconds(this.#seconds()));
  }

  #tick(): void {
    const seconds = this.#seconds();
    if (!seconds) {
      this.clear();
      return this.#config.due();
    }
    const spoken = SPOKEN.find((at) => seconds <= at) ?? Infinity;
    const dialog = this.#dialog;
    if (dialog) {
      dialog.text = this.#text();
      // What is shown at first is read out by the dialog itself.
      if (spoken < this.#spoken && this.#spoken < Infinity) dialog.status = this.#config.messages.seconds(seconds);
    }
    this.#spoken = spoken;
  }
}
