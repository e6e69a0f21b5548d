import { useState } from "preact/hooks";

import { Problem, type Who, initiators, post, reasons, scopes } from "./api";
import { words } from "./event";
import { Field, Panel, Trouble } from "./parts";
import { type Plan, type ReplayFilter, type ReplayRequest, type TargetKind, targetKinds } from "./replay";

const kinds: Record<TargetKind, string> = {
  file: "A file on the server", topic: "A NATS topic", webhook: "A webhook", redis: "A Redis stream", tabs: "Open tabs", replicas: "Replicas, which read anew",
};

/** ReplayForm asks for a plan. */
export function ReplayForm({ who, onPlan }: { who: Who; onPlan: (plan: Plan, request: ReplayRequest) => void }) {
  const [kind, setKind] = useState<TargetKind>("file");
  const [problem, setProblem] = useState<Problem>();
  const [busy, setBusy] = useState(false);
  const submit = async (e: SubmitEvent) => {
    e.preventDefault();
    const request = read(new FormData(e.currentTarget as HTMLFormElement), kind);
    setBusy(true);
    setProblem(undefined);
    try {
      onPlan(await post<Plan>("/api/v1/replays", request), request);
    } catch (e) {
      setProblem(e as Problem);
    } finally {
      setBusy(false);
    }
  };
  const text = (name: string, label: string, hint?: string, extra: Record<string, unknown> = {}) => (
    <Field id={`r-${name}`} label={label} hint={hint}>
      <input id={`r-${name}`} name={name} type="text" autocomplete="off" spellcheck={false} aria-describedby={hint && `r-${name}-hint`} {...extra} />
    </Field>
  );
  const choice = (name: string, label: string, options: readonly string[]) => (
    <Field id={`r-${name}`} label={label}><select id={`r-${name}`} name={name}><option value="">any</option>{options.map((o) => <option key={o} value={o}>{words(o)}</option>)}</select></Field>
  );
  return (
    <Panel title="Plan a replay">
      <form onSubmit={submit} class="replay-form">
        <div class="filters">
          <Field id="r-kind" label="To">
            <select id="r-kind" value={kind} onChange={(e) => setKind(e.currentTarget.value as TargetKind)} data-search>{targetKinds.map((k) => <option key={k} value={k}>{kinds[k]}</option>)}</select>
          </Field>
          {kind === "file" && text("name", "File name", "Left empty, the replay's id.", { pattern: "[A-Za-z0-9][A-Za-z0-9._\\-]{0,99}" })}
          {kind === "topic" && text("topic", "Topic", undefined, { required: true })}
          {kind === "webhook" && text("url", "URL", "Begins with https://.", { required: true })}
          {kind === "replicas" && text("group", "Group", "Left empty, Curfew's own.")}
          {kind !== "replicas" && (
            <Field id="r-rate" label="Events a second, at most" hint="Left empty, the usual."><input id="r-rate" name="rate" type="number" min="1" max="1000000" aria-describedby="r-rate-hint" /></Field>
          )}
        </div>
        {kind !== "replicas" && (
          <fieldset>
            <legend>Which events</legend>
            <div class="filters filters-four">
              {text("tenant", "Tenant", `Left empty, ${who.tenant}; * for all.`)}
              {text("since", "Since", "Such as 2h, or a time.")}
              {text("until", "Until", "Left empty, now.")}
              {text("user", "User")}
              {text("session", "Session")}
              {choice("scope", "Ends", scopes)}
              {choice("reason", "Reason", reasons)}
              {choice("initiator", "By", initiators)}
            </div>
          </fieldset>
        )}
        {kind === "tabs" && <p><label class="check"><input type="checkbox" name="notify_tabs" required /> Tabs of sessions that are over are told again. People see it.</label></p>}
        <Trouble problem={problem} />
        <p class="row"><button type="submit" class="primary" disabled={busy}>{busy ? "Counting…" : "Plan"}</button> <span class="muted">A plan counts, and sends nothing.</span></p>
      </form>
    </Panel>
  );
}

const filterNames = ["tenant", "since", "until", "user", "session", "scope", "reason", "initiator"] as const;

function read(form: FormData, kind: TargetKind): ReplayRequest {
  const text = (name: string) => String(form.get(name) ?? "").trim();
  const request: ReplayRequest = { target: { kind } };
  for (const name of ["topic", "url", "name", "group"] as const) if (text(name)) request.target[name] = text(name);
  if (text("rate")) request.rate = Number(text("rate"));
  if (form.get("notify_tabs")) request.notify_tabs = true;
  const filter: ReplayFilter = {};
  for (const name of filterNames) if (text(name)) filter[name] = text(name);
  if (Object.keys(filter).length) request.filter = filter;
  return request;
}
