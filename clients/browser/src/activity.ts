const INPUT = ["pointerdown", "keydown", "wheel", "touchstart"] as const;
/** How often a tab tells the others of input. */
const SHARE_MS = 1_000;

/** What Activity needs. */
export interface ActivityConfig {
  /** Tells the application that somebody is there. */
  touch: () => unknown;
  /** Tells other tabs of input. */
  share: (at: number) => void;
  intervalMs: number;
}

/**
 * What people do in the tabs of a browser, and never what pages do by themselves. Each tab notices input, and the leader tells the application, once in an interval
 * at most and only if there was some since.
 */
export class Activity {
  readonly #config: ActivityConfig;
  readonly #listening = new AbortController();
  #leading = false;
  #input = 0;
  #shared = 0;
  /** When the application was told last, by whichever tab. */
  #touched = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(config: ActivityConfig) {
    this.#config = config;
    const noticed = (event: Event) => event.isTrusted && this.#noticed();
    for (const type of INPUT) addEventListener(type, noticed, { passive: true, capture: true, signal: this.#listening.signal });
  }

  /** When the application was told last, in milliseconds since 1970. */
  get touched(): number {
    return this.#touched;
  }

  /** Another tab has told the application, or noticed input. Its word counts as far as its clock can be right. */
  told({ touched = 0, input = 0 }: { touched?: number; input?: number }): void {
    const now = Date.now();
    this.#touched = Math.max(this.#touched, Math.min(touched, now));
    this.#input = Math.max(this.#input, Math.min(input, now));
    this.#plan();
  }

  /** Says whether this tab is the one that tells the application. */
  lead(leading: boolean): void {
    this.#leading = leading;
    this.#plan();
  }

  /** Stops listening and telling. */
  close(): void {
    this.#listening.abort();
    this.lead(false);
  }

  #noticed(): void {
    const now = Date.now();
    this.#input = now;
    // A clock that was set back mustn't silence anybody.
    if (now - this.#shared >= SHARE_MS || now < this.#shared) {
      this.#shared = now;
      this.#config.share(now);
    }
    this.#plan();
  }

  #plan(): void {
    if (!this.#leading) {
      clearTimeout(this.#timer);
      return void (this.#timer = undefined);
    }
    const now = Date.now();
    if (this.#touched > now) this.#touched = 0;
    if (this.#timer || this.#input <= this.#touched) return;
    this.#timer = setTimeout(() => this.#tell(), Math.max(0, this.#touched + this.#config.intervalMs - now));
  }

  #tell(): void {
    // One that fails isn't tried again before the next input: the person may have left by then.
    this.#touched = Date.now();
    this.#timer = undefined;
    this.#config.touch();
  }
}
