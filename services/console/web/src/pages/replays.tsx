import { useState } from "preact/hooks";

import { Problem, type Who, get, post } from "../api";
import { words } from "../event";
import { Badge, Dialog, Empty, Heading, Id, Panel, type Tone, Trouble } from "../parts";
import { type Polled, usePolled } from "../poll";
import { type Plan, type Replay, type ReplayRequest, filterWords, targetWords } from "../replay";
import { ReplayForm } from "../replayform";
import { When } from "../when";

/** ReplaysPage plans replays, runs them, and shows how far they are. Nothing is sent before its plan was seen. */
export function ReplaysPage({ who }: { who: Who }) {
  const list = usePolled("replays", 1_500, (signal) => get<{ replays: Replay[] }>("/api/v1/replays", { limit: 50 }, signal));
  const [planned, setPlanned] = useState<{ plan: Plan; request: ReplayRequest }>();
  return (
    <>
      <Heading title="Replays" detail="Send past events again: to a topic, a webhook, a file, Redis, open tabs, or have replicas read the ledger anew." />
      <ReplayForm who={who} onPlan={(plan, request) => setPlanned({ plan, request })} />
      {planned && <PlanPanel {...planned} onClose={() => setPlanned(undefined)} onBegun={() => { setPlanned(undefined); list.again(); }} />}
      <Panel title="Replays of the last 90 days" tight>
        <Trouble problem={list.problem} again={list.again} />
        {list.data?.replays.length === 0 && <Empty>There was none. Plan one above; a plan sends nothing.</Empty>}
        {list.data && list.data.replays.length > 0 && <List list={list} />}
      </Panel>
    </>
  );
}

/** PlanPanel says what a replay would do, and lets it be done. */
function PlanPanel({ plan, request, onClose, onBegun }: { plan: Plan; request: ReplayRequest; onClose: () => void; onBegun: () => void }) {
  const [problem, setProblem] = useState<Problem>();
  const [busy, setBusy] = useState(false);
  const run = async () => {
    setBusy(true);
    try {
      await post<Replay>("/api/v1/replays", { ...request, execute: true });
      onBegun();
    } catch (e) {
      setProblem(e as Problem);
      setBusy(false);
    }
  };
  const count = (n: number) => (plan.estimated ? "about " : "") + n.toLocaleString("en");
  return (
    <Panel title="Plan" tools={<button type="button" class="quiet icon" aria-label="Close the plan" onClick={onClose}>✕</button>}>
      <p class="notice notice-flush" role="status"><b>Dry run: nothing was sent.</b> This is what would be.</p>
      <dl class="figures">
        <div class="figure"><dt>Events</dt><dd>{plan.events.toLocaleString("en")}</dd></div>
        <div class="figure"><dt>Users</dt><dd>{count(plan.users)}</dd></div>
        <div class="figure"><dt>Sessions</dt><dd>{count(plan.sessions)}</dd></div>
        <div class="figure"><dt>Open tabs</dt><dd>{plan.open_tabs_exact ? "" : "≤ "}{plan.open_tabs.toLocaleString("en")}</dd></div>
        <div class="figure"><dt>Takes</dt><dd>{duration(plan.expected_seconds)}<span class="figure-note">at {plan.rate.toLocaleString("en")}/s</span></dd></div>
      </dl>
      <dl class="pairs">
        <div><dt>To</dt><dd>{targetWords(plan.target)}</dd></div>
        <div><dt>Which</dt><dd>{filterWords(plan.filter)}</dd></div>
        {plan.first !== undefined && <div><dt>Positions</dt><dd class="num">{plan.first.toLocaleString("en")} to {plan.last?.toLocaleString("en")}</dd></div>}
        {plan.unreadable > 0 && <div><dt>Left out</dt><dd>{plan.unreadable.toLocaleString("en")} that hold no event that this version knows</dd></div>}
        {plan.notes.map((note, i) => <div key={note}><dt>{i === 0 ? "Note" : ""}</dt><dd>{note}</dd></div>)}
      </dl>
      {plan.webhook_secret && <details><summary>What the webhook's events are signed with</summary><p><Id>{plan.webhook_secret}</Id></p></details>}
      <Trouble problem={problem} />
      <p class="row"><button type="button" class="danger" disabled={busy || plan.events === 0 && plan.target.kind !== "replicas"} onClick={run}>Run it: {plan.target.kind === "replicas" ? "have replicas read anew" : `send ${plan.events.toLocaleString("en")} events`}</button></p>
    </Panel>
  );
}

const tones: Record<Replay["state"], Tone> = { waiting: "plain", running: "accent", done: "ok", cancelled: "warn", failed: "bad" };

function List({ list }: { list: Polled<{ replays: Replay[] }> }) {
  const [problem, setProblem] = useState<Problem>();
  const [open, setOpen] = useState<string>();
  const order = async (r: Replay, what: "cancel" | "resume") => {
    setProblem(undefined);
    try {
      await post<Replay>(`/api/v1/replays/${r.id}/${what}`, {});
    } catch (e) {
      setProblem(e as Problem);
    }
    list.again();
  };
  const replays = list.data!.replays;
  const shown = replays.find((r) => r.id === open);
  return (
    <>
      <Trouble problem={problem} />
      <table class="cards">
        <thead><tr><th scope="col">Asked for</th><th scope="col">To</th><th scope="col">Which</th><th scope="col">State</th><th scope="col">Progress</th><th scope="col"><span class="visually-hidden">Actions</span></th></tr></thead>
        <tbody>
          {replays.map((r) => (
            <tr key={r.id}>
              <th scope="row"><When at={r.created_at} /></th>
              <td data-label="To" class="words">{targetWords(r.target)}</td>
              <td data-label="Which" class="words">{filterWords(r.filter)}</td>
              <td data-label="State"><Badge tone={tones[r.state]}>{r.state}</Badge></td>
              <td data-label="Progress"><Progress replay={r} /></td>
              <td class="actions">
                {(r.state === "running" || r.state === "waiting") && <button type="button" class="small" aria-label={`Cancel the replay ${r.id}`} onClick={() => order(r, "cancel")}>Cancel</button>}
                {(r.state === "cancelled" || r.state === "failed") && <button type="button" class="small" aria-label={`Resume the replay ${r.id}`} onClick={() => order(r, "resume")}>Resume</button>}
                <button type="button" class="small quiet" aria-label={`Details of the replay ${r.id}`} onClick={() => setOpen(r.id)}>Details</button>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {shown && <ReplayDialog replay={shown} onClose={() => setOpen(undefined)} />}
    </>
  );
}

function Progress({ replay: r }: { replay: Replay }) {
  const all = Math.max(0, r.to - r.from);
  const part = r.state === "done" ? all : Math.min(all, Math.max(0, r.position - r.from));
  const percent = all === 0 ? (r.state === "done" ? 100 : 0) : Math.floor((part / all) * 100);
  return (
    <div class="progress">
      <progress value={percent} max={100} aria-label={`${percent} % of the range`} />
      <span class="sub num">{percent} %{r.target.kind !== "replicas" && `, ${r.sent.toLocaleString("en")} sent`}</span>
      {r.error && <span class="sub">{r.error}</span>}
    </div>
  );
}

function ReplayDialog({ replay: r, onClose }: { replay: Replay; onClose: () => void }) {
  const pairs: [string, preact.ComponentChildren][] = [
    ["State", <Badge tone={tones[r.state]}>{r.state}</Badge>],
    ["To", targetWords(r.target)],
    ["Which", filterWords(r.filter)],
    ["Range", `${r.from.toLocaleString("en")} to ${r.to.toLocaleString("en")}, arrived up to ${r.position.toLocaleString("en")}`],
    ["Sent", r.sent.toLocaleString("en")],
    ["Rate", `${r.rate.toLocaleString("en")} a second at most`],
    ["Asked for by", `key ${r.key_id} of ${r.key_tenant}`],
    ["Cancelled by", r.cancelled_by && `key ${r.cancelled_by}`],
    ["Resumed by", r.resumed_by && `key ${r.resumed_by}`],
    ["Asked for", <When at={r.created_at} />],
    ["Begun", r.started_at && <When at={r.started_at} />],
    ["Ended", r.ended_at && <When at={r.ended_at} />],
    ["Runs", r.runs > 1 ? `${r.runs}: it was begun anew where it had been left` : r.runs],
    ["Process", r.process],
    ["Why", r.error],
    ["Next command", r.next && <code>{r.next}</code>],
    ["Id", <Id>{r.id}</Id>],
  ];
  return (
    <Dialog title="Replay" onClose={onClose} wide>
      <dl class="pairs">
        {pairs.filter(([, v]) => v !== undefined && v !== "" && v !== 0).map(([name, v]) => <div key={name}><dt>{name}</dt><dd>{v}</dd></div>)}
        {Object.entries(r.result).filter(([, v]) => typeof v !== "object").map(([name, v]) => <div key={name}><dt>{sentence(words(name))}</dt><dd><Id>{String(v)}</Id></dd></div>)}
      </dl>
      {r.result.replicas && (
        <table>
          <thead><tr><th scope="col">Replica</th><th scope="col">State</th><th scope="col">Held the same</th></tr></thead>
          <tbody>{r.result.replicas.map((one) => <tr key={one.name}><th scope="row">{one.name}{one.error && <span class="sub">{one.error}</span>}</th><td>{one.state}</td><td>{one.state === "done" ? (one.same ? "yes" : "no") : "–"}</td></tr>)}</tbody>
        </table>
      )}
    </Dialog>
  );
}

const sentence = (text: string) => text.charAt(0).toUpperCase() + text.slice(1);

function duration(s: number): string {
  if (s < 1) return "< 1 s";
  if (s < 120) return `${Math.round(s)} s`;
  return s < 7200 ? `${Math.round(s / 60)} min` : `${(s / 3600).toFixed(1)} h`;
}
