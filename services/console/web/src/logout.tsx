import { useRef, useState } from "preact/hooks";

import { Problem, type SessionEntry, type Stored, type Who, post, reasons } from "./api";
import { words } from "./event";
import { Dialog, Field, Id } from "./parts";

/** Target is what a logout ends: one session, all others of the user, or all. */
export type Target = { kind: "one"; session: SessionEntry } | { kind: "others"; session: SessionEntry } | { kind: "everywhere" };

interface Props {
  user: string;
  who: Who;
  target: Target;
  /** How many sessions go on, and how many open tabs it concerns, as far as is known. */
  sessions: number;
  tabs: number;
  onDone: (stored: Stored, tookMs: number) => void;
  onClose: () => void;
}

const titles = { one: "Log out this session", others: "Log out the other sessions", everywhere: "Log out everywhere" };

/** The reasons that an operator may have. The others are causes that the system names itself. */
const offered = reasons.filter((r) => !["idle_timeout", "max_age", "superseded", "idp_logout"].includes(r));

/** LogoutDialog asks for a reason and a confirmation. However often it is sent, it is one event. */
export function LogoutDialog({ user, who, target, sessions, tabs, onDone, onClose }: Props) {
  const [fault, setFault] = useState("");
  const [busy, setBusy] = useState(false);
  const once = useRef(crypto.randomUUID());
  const submit = async (e: SubmitEvent) => {
    e.preventDefault();
    const form = new FormData(e.currentTarget as HTMLFormElement);
    const text = (name: string) => String(form.get(name) ?? "").trim();
    if (target.kind === "everywhere" && text("confirm") !== user) {
      setFault("What you typed isn't the user's id.");
      return;
    }
    setBusy(true);
    setFault("");
    const began = performance.now();
    try {
      const stored = await send(user, target, { reason: text("reason"), reason_admin: text("note"), reason_user: text("message"), initiator: { type: "admin", id: who.id } }, once.current);
      onDone(stored, performance.now() - began);
    } catch (e) {
      setFault(e instanceof Problem ? e.message : String(e));
      setBusy(false);
    }
  };
  return (
    <Dialog title={titles[target.kind]} onClose={onClose}>
      <form onSubmit={submit} onInput={() => setFault("")}>
        <p>{effect(target, sessions)} {tabs > 0 && <>{tabs === 1 ? "1 open tab is" : `${tabs} open tabs are`} told at once. </>}Signing in again works.</p>
        <dl class="pairs">
          <div><dt>User</dt><dd><Id>{user}</Id></dd></div>
          {target.kind !== "everywhere" && <div><dt>{target.kind === "one" ? "Ends" : "Keeps"}</dt><dd>{target.session.name} <Id>{target.session.session}</Id></dd></div>}
        </dl>
        <Field id="reason" label="Reason">
          <select id="reason" name="reason" required>
            <option value="" selected disabled>Choose one</option>
            {offered.map((r) => <option key={r} value={r}>{words(r)}</option>)}
          </select>
        </Field>
        <Field id="note" label="Note for operators (optional)" hint="Kept in the ledger; no browser ever gets it.">
          <input id="note" name="note" type="text" maxLength={500} aria-describedby="note-hint" />
        </Field>
        <Field id="message" label="Message to the person (optional)" hint="Shown in the tabs that are told.">
          <input id="message" name="message" type="text" maxLength={500} aria-describedby="message-hint" />
        </Field>
        {target.kind === "everywhere" && (
          <Field id="confirm" label="Type the user's id to confirm">
            <input id="confirm" name="confirm" type="text" required autocomplete="off" spellcheck={false} />
          </Field>
        )}
        <div role="alert">{fault && <p class="trouble">{fault}</p>}</div>
        <div class="dialog-foot">
          <button type="button" onClick={onClose}>Cancel</button>
          <button type="submit" class="danger" disabled={busy}>{titles[target.kind]}</button>
        </div>
      </form>
    </Dialog>
  );
}

/** The first answer comes once all have been reached, or after a second; the receipt then goes on filling up. */
const patience = "?wait=shown&timeout=1s";

function effect(target: Target, sessions: number): string {
  switch (target.kind) {
    case "one": return "Every service refuses this session from now on.";
    case "others": return `Every service refuses all sessions of the user but the one that is kept${sessions > 1 ? `: ${sessions - 1} that are registered, and any that aren't` : ""}.`;
    case "everywhere": return `Every service refuses all sessions of the user that have begun until now${sessions > 0 ? `: ${sessions} that ${sessions === 1 ? "is" : "are"} registered, and any that aren't` : ""}.`;
  }
}

function send(user: string, target: Target, why: object, once: string): Promise<Stored> {
  const headers = { "Idempotency-Key": once };
  if (target.kind === "one") return post<Stored>(`/api/v1/sessions/${encodeURIComponent(target.session.session)}${patience}`, why, headers, "DELETE");
  const body = target.kind === "others" ? { scope: "others", current_session: target.session.session, ...why } : { scope: "everywhere", ...why };
  return post<Stored>(`/api/v1/users/${encodeURIComponent(user)}/logout${patience}`, body, headers);
}
