import { Dialog, type DialogContent } from "./dialog.js";
import type { Messages } from "./messages.js";

/** At how many seconds before the end a screen reader says the time that is left. */
const SPOKEN = [10, 30, 60, 120, 300];

/** What WarningDialog needs. */
export interface WarningDialogConfig {
  messages: Messages;
  /** Whether the session ends because nothing was done. */
  idle: boolean;
  leftMs: () => number;
  /** Keeps the session, and resolves to whether that worked; undefined where nothing can. */
  stay: (() => Promise<boolean>) | undefined;
  signIn: () => void;
  /** Puts the dialog away. */
  dismiss: () => void;
}

/** The dialog before the end of a session, with the time that is left. */
export class WarningDialog {
  readonly #dialog: Dialog;
  readonly #config: WarningDialogConfig;
  readonly #timer: ReturnType<typeof setInterval>;
  #spoken: number | undefined;

  constructor(config: WarningDialogConfig) {
    this.#config = config;
    this.#spoken = this.#milestone();
    this.#dialog = new Dialog(this.#content());
    this.#timer = setInterval(() => this.#tick(), 1_000);
  }

  /** Takes it away. */
  close(): void {
    clearInterval(this.#timer);
    this.#dialog.close();
  }

  #content(): DialogContent {
    const { messages, idle, stay, signIn, dismiss } = this.#config;
    const title = idle ? messages.idleTitle : messages.maxAgeTitle;
    if (!idle || !stay) {
      const buttons = [{ label: messages.signIn, act: signIn }, { label: messages.later, act: dismiss }];
      return { title, text: this.#text(), buttons, escape: dismiss };
    }
    const act = async () => {
      if (!(await stay())) this.#dialog.status = messages.stayFailed;
    };
    return { title, text: this.#text(), buttons: [{ label: messages.stay, act }], escape: act };
  }

  /** The time that is left in words. */
  #text(): string {
    const { messages, idle } = this.#config;
    return (idle ? messages.idleText : messages.maxAgeText).replace("{time}", () => messages.seconds(this.#seconds()));
  }

  #seconds(): number {
    return Math.ceil(this.#config.leftMs() / 1_000);
  }

  #milestone(): number | undefined {
    const seconds = this.#seconds();
    return SPOKEN.find((at) => seconds <= at);
  }

  #tick(): void {
    this.#dialog.text = this.#text();
    const milestone = this.#milestone();
    // What is shown at first is read out by the dialog itself.
    if (milestone !== this.#spoken && milestone) this.#dialog.status = this.#config.messages.seconds(this.#seconds());
    this.#spoken = milestone;
  }
}
