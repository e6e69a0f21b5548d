import type { ComponentChildren } from "preact";
import { useEffect, useId, useLayoutEffect, useRef } from "preact/hooks";

import type { Problem } from "./api";

/** Heading is a page's first one, which takes the focus when somebody has gone there. */
export function Heading({ title, children, detail }: { title: string; detail?: ComponentChildren; children?: ComponentChildren }) {
  const at = useRef<HTMLHeadingElement>(null);
  // At once: an effect after the paint would take the focus from where a fast hand has put it meanwhile.
  useLayoutEffect(() => {
    document.title = `${title} – Curfew`;
    at.current?.focus({ preventScroll: true });
    scrollTo(0, 0);
  }, [title]);
  return (
    <header class="heading">
      <div class="heading-words">
        <h1 ref={at} tabIndex={-1}>{title}</h1>
        {detail && <p class="muted">{detail}</p>}
      </div>
      {children && <div class="heading-tools">{children}</div>}
    </header>
  );
}

export type Tone = "ok" | "warn" | "bad" | "plain" | "accent";

/** Badge says a state in a word; its colour only repeats it. */
export function Badge({ tone, children }: { tone: Tone; children: ComponentChildren }) {
  return <span class={`badge badge-${tone}`}>{children}</span>;
}

/** Trouble shows what the server has refused, and what to do. */
export function Trouble({ problem, again }: { problem: Problem | undefined; again?: () => void }) {
  if (!problem) return null;
  return (
    <div class="trouble" role="alert">
      <p>{problem.message}</p>
      {again && problem.retry && <button type="button" class="small" onClick={again}>Try again</button>}
    </div>
  );
}

/** Empty stands where there is nothing, and says why. */
export function Empty({ children }: { children: ComponentChildren }) {
  return <p class="empty">{children}</p>;
}

/** Panel is a part of a page with a heading of its own. */
export function Panel({ title, tools, children, tight }: { title: string; tools?: ComponentChildren; children: ComponentChildren; tight?: boolean }) {
  const id = useId();
  return (
    <section class={`panel${tight ? " panel-tight" : ""}`} aria-labelledby={id}>
      <div class="panel-head">
        <h2 id={id}>{title}</h2>
        {tools}
      </div>
      <div class="panel-body">{children}</div>
    </section>
  );
}

/** Dialog is modal: the browser keeps the focus in it and gives it back. Escape closes it. */
export function Dialog({ title, onClose, children, wide }: { title: string; onClose: () => void; children: ComponentChildren; wide?: boolean }) {
  const at = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    const dialog = at.current!;
    const before = document.activeElement;
    if (!dialog.open) dialog.showModal();
    return () => {
      dialog.close();
      if (before instanceof HTMLElement && before.isConnected) before.focus();
    };
  }, []);
  return (
    <dialog ref={at} class={wide ? "wide" : ""} aria-labelledby={id} onCancel={(e) => { e.preventDefault(); onClose(); }}>
      <div class="dialog-head">
        <h2 id={id}>{title}</h2>
        <button type="button" class="quiet icon" aria-label="Close" onClick={onClose}>✕</button>
      </div>
      <div class="dialog-body">{children}</div>
    </dialog>
  );
}

/** Choice is a set of buttons of which one holds. */
export function Choice<T extends string>({ label, value, options, onChange }: { label: string; value: T; options: [T, string][]; onChange: (value: T) => void }) {
  return (
    <div class="choice" role="group" aria-label={label}>
      {options.map(([option, text]) => (
        <button type="button" key={option} aria-pressed={option === value} onClick={() => onChange(option)}>{text}</button>
      ))}
    </div>
  );
}

/** Field is a control with its label. */
export function Field({ label, hint, children, id }: { label: string; hint?: string | undefined; id: string; children: ComponentChildren }) {
  return (
    <div class="field">
      <label for={id}>{label}</label>
      {children}
      {hint && <p class="hint" id={id + "-hint"}>{hint}</p>}
    </div>
  );
}

/** Id shows an opaque id. It breaks anywhere, and is selected whole by a click. */
export function Id({ children }: { children: string }) {
  return <code class="id">{children}</code>;
}

/** Figure is one number with its name. */
export function Figure({ name, value, note, tone = "plain" }: { name: string; value: ComponentChildren; note?: ComponentChildren; tone?: Tone }) {
  return (
    <div class={`figure figure-${tone}`}>
      <dt>{name}</dt>
      <dd>{value}{note && <span class="figure-note">{note}</span>}</dd>
    </div>
  );
}
