const CSS = `dialog{box-sizing:border-box;max-width:min(26rem,100vw - 2rem);border:1px solid #8888;border-radius:.75rem;padding:1.5rem;background:#fff;color:#1a1a1a;font:1rem/1.5 system-ui,sans-serif;overflow-wrap:anywhere;color-scheme:light dark}
dialog::backdrop{background:#0009}
.cover::backdrop{background:#f2f2f4}
h2{margin:0 0 .5rem;font-size:1.25rem;line-height:1.3}
p{margin:0 0 1rem;white-space:pre-line}
div{display:flex;flex-wrap:wrap;gap:.75rem;justify-content:flex-end}
button{min-height:2.75rem;padding:0 1.25rem;border:1px solid #767676;border-radius:.5rem;background:0 0;color:inherit;font:inherit;cursor:pointer}
button:first-child{border-color:#1d4ed8;background:#1d4ed8;color:#fff}
button:focus-visible{outline:3px solid #1d4ed8;outline-offset:2px}
[role=status]{position:absolute;width:1px;height:1px;margin:0;overflow:hidden;clip-path:inset(50%)}
@media(prefers-color-scheme:dark){dialog{background:#1c1d21;color:#f2f2f2}.cover::backdrop{background:#0c0c0e}button:focus-visible{outline-color:#93b4ff}}
@media(prefers-reduced-motion:no-preference){dialog[open]{animation:a .15s}@keyframes a{from{opacity:0}}}`;

/** What a dialog shows. */
export interface DialogContent {
  title: string;
  text: string;
  /** The first has the focus. */
  buttons: { label: string; act: () => void }[];
  /** What the Escape key does, and whatever else a browser takes for it. */
  escape: () => void;
  /** Whether it hides the page. */
  cover?: boolean;
}

/**
 * A modal alert dialog, which keeps the focus within itself and gives it back. It lives in a shadow root, so that the page's styles and its own don't meet, and has
 * no inline style that a strict content security policy would refuse.
 */
export class Dialog {
  readonly #host = document.createElement("curfew-dialog");
  readonly #dialog = document.createElement("dialog");
  readonly #text: HTMLElement;
  readonly #status: HTMLElement;
  #open = true;

  constructor({ title, text, buttons, escape, cover }: DialogContent) {
    const root = this.#host.attachShadow({ mode: "open" });
    try {
      const sheet = new CSSStyleSheet();
      sheet.replaceSync(CSS);
      root.adoptedStyleSheets = [sheet];
    } catch {
      // An old browser: plain, but all there.
    }
    const dialog = this.#dialog;
    const add = (tag: string, content: string, attributes: Record<string, string>, parent: Element = dialog): HTMLElement => {
      const element = document.createElement(tag);
      element.textContent = content;
      for (const name in attributes) element.setAttribute(name, attributes[name]!);
      return parent.appendChild(element);
    };
    for (const [name, value] of Object.entries({ role: "alertdialog", "aria-modal": "true", "aria-labelledby": "t", "aria-describedby": "d", class: cover ? "cover" : "" })) {
      dialog.setAttribute(name, value);
    }
    add("h2", title, { id: "t" });
    this.#text = add("p", text, { id: "d" });
    this.#status = add("p", "", { role: "status" });
    const row = add("div", "", {});
    for (const { label, act } of buttons) add("button", label, { type: "button" }, row).onclick = act;
    dialog.oncancel = (event) => {
      event.preventDefault();
      escape();
    };
    // A browser may close it all the same, at a second Escape.
    dialog.onclose = () => this.#open && escape();
    dialog.onkeydown = (event) => this.#keep(event, row.children);
    root.append(dialog);
    document.documentElement.append(this.#host);
    dialog.showModal?.();
    (row.firstElementChild as HTMLElement).focus();
  }

  /** Changes the text, and doesn't announce it. */
  set text(text: string) {
    this.#text.textContent = text;
  }

  /** Has a screen reader say something when it has nothing else to say. */
  set status(text: string) {
    this.#status.textContent = text;
  }

  /** Takes the dialog away; the browser gives the focus back. */
  close(): void {
    this.#open = false;
    this.#dialog.close?.();
    this.#host.remove();
  }

  /** Keeps the Tab key within the dialog, and every key from the page's own shortcuts. */
  #keep(event: KeyboardEvent, buttons: HTMLCollection): void {
    event.stopPropagation();
    if (event.key !== "Tab") return;
    event.preventDefault();
    const at = [...buttons].indexOf(this.#host.shadowRoot!.activeElement!);
    (buttons[(at + (event.shiftKey ? buttons.length - 1 : 1)) % buttons.length] as HTMLElement).focus();
  }
}
