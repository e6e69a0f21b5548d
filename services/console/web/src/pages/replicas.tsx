import { useRef } from "preact/hooks";

import { type Fleet, type Member, get } from "../api";
import { Badge, Empty, Figure, Heading, Panel, type Tone, Trouble } from "../parts";
import { usePolled } from "../poll";
import { When, ago } from "../when";

/** How many replicas are shown in full; the others are squares in the picture alone. */
const most = 24;
const keptLooks = 60;

type State = "fresh" | "stale" | "not synced" | "silent" | "lease ended";

/** ReplicasPage shows the fleet: who knows how much, and for how long what it says of itself holds. */
export function ReplicasPage() {
  // history: a replica's id → how stale it was at each look, the newest last.
  const history = useRef(new Map<string, number[]>());
  const polled = usePolled("fleet", 1_000, async (signal) => {
    const fleet = await get<Fleet>("/fleet", {}, signal);
    const now = Date.parse(fleet.now);
    const kept = new Map<string, number[]>();
    for (const m of fleet.members) kept.set(m.id, [...(history.current.get(m.id) ?? []), age(m, now)].slice(-keptLooks));
    history.current = kept;
    return fleet;
  });
  const members = polled.data?.members ?? [];
  const now = Date.parse(polled.data?.now ?? "");
  const states = new Map(members.map((m) => [m.id, stateOf(m, now)]));
  const head = Math.max(0, ...members.map((m) => m.position));
  const count = (...of: State[]) => members.filter((m) => of.includes(states.get(m.id)!)).length;
  const shown = [...members].sort((a, b) => order.indexOf(states.get(a.id)!) - order.indexOf(states.get(b.id)!)).slice(0, most);
  return (
    <>
      <Heading title="Replicas" detail="Every replica that reports itself, of whatever service. Once its lease has run out, it refuses whatever it can't know." />
      <Trouble problem={polled.problem} again={polled.again} />
      <dl class="figures">
        <Figure name="Fresh" tone={members.length === 0 ? "plain" : count("fresh") === members.length ? "ok" : "bad"} value={`${count("fresh")} of ${members.length}`} />
        <Figure name="Furthest position" value={head.toLocaleString("en")} />
        <Figure name="Oldest proof" value={members.length ? seconds(Math.max(0, ...members.filter((m) => !m.ended).map((m) => age(m, now)))) : "–"} />
        <Figure name="Silent" tone={count("silent") ? "warn" : "plain"} value={count("silent")} />
        <Figure name="Lease ended" tone={count("lease ended") ? "bad" : "plain"} value={count("lease ended")} note="in the last hour" />
      </dl>
      {polled.data && members.length === 0 && <Empty>No replica was heard yet. They report each second.</Empty>}
      {members.length > 0 && <Picture members={members} states={states} />}
      <ul class="fleet">
        {shown.map((m) => <Replica key={m.id} member={m} state={states.get(m.id)!} head={head} now={now} history={history.current.get(m.id) ?? []} />)}
      </ul>
      {members.length > most && <p class="muted">The {most} that need a look first, of {members.length.toLocaleString("en")}.</p>}
    </>
  );
}

const order: State[] = ["lease ended", "silent", "not synced", "stale", "fresh"];
const tones: Record<State, Tone> = { fresh: "ok", stale: "bad", "not synced": "warn", silent: "warn", "lease ended": "bad" };

function stateOf(m: Member, now: number): State {
  if (m.ended) return "lease ended";
  if (now - Date.parse(m.heard_at) > 3_500) return "silent";
  return m.fresh ? "fresh" : m.staleness_ms < 0 ? "not synced" : "stale";
}

/** age is how old its proof is by now, if nothing has come since the report. */
function age(m: Member, now: number): number {
  return m.staleness_ms < 0 ? m.budget_ms : m.staleness_ms + Math.max(0, now - Date.parse(m.heard_at));
}

/** Picture is a square for each replica, by group. */
function Picture({ members, states }: { members: Member[]; states: Map<string, State> }) {
  const groups = [...new Set(members.map((m) => m.group))];
  return (
    <Panel title="The fleet" tools={<ul class="legend">{order.map((s) => <li key={s}><span class={`square square-${tones[s]}${s === "lease ended" ? " square-crossed" : ""}`} />{s}</li>)}</ul>}>
      <dl class="groups">
        {groups.map((g) => {
          const of = members.filter((m) => m.group === g);
          const bad = of.filter((m) => states.get(m.id) !== "fresh").length;
          return (
            <div key={g}>
              <dt>{g || "all"} <span class="muted">{of.length}{bad > 0 && `, ${bad} not fresh`}</span></dt>
              <dd class="squares" aria-hidden="true">{of.map((m) => <span key={m.id} title={`${m.name}: ${states.get(m.id)}`} class={`square square-${tones[states.get(m.id)!]}${m.ended ? " square-crossed" : ""}`} />)}</dd>
            </div>
          );
        })}
      </dl>
    </Panel>
  );
}

function Replica({ member: m, state, head, now, history }: { member: Member; state: State; head: number; now: number; history: number[] }) {
  const behind = head - m.position;
  const left = Date.parse(m.fails_closed_at) - now;
  return (
    <li class={`panel replica replica-${tones[state]}`}>
      <div class="panel-head">
        <h2>{m.name}<span class="sub">{[m.group, m.version].filter(Boolean).join(" · ")}</span></h2>
        <Badge tone={tones[state]}>{state}</Badge>
      </div>
      <dl class="pairs">
        <div><dt>Position</dt><dd class="num">{m.position.toLocaleString("en")}{behind > 0 && <span class="muted"> ({behind.toLocaleString("en")} behind)</span>}</dd></div>
        <div><dt>Proof</dt><dd class="num">{m.staleness_ms < 0 ? "none yet" : `${seconds(age(m, now))} old`} <span class="muted">of {seconds(m.budget_ms)}</span></dd></div>
        <div><dt>Lease</dt><dd class="num">{m.ended ? <>ended, fails closed since <When at={m.fails_closed_at} parts="time" /></> : `${seconds(Math.max(0, left))} left`}</dd></div>
        {state !== "fresh" && <div><dt>Heard</dt><dd>{ago(Date.parse(m.heard_at), now)}</dd></div>}
      </dl>
      <Staleness history={history} budget={m.budget_ms} />
      {hints[state] && <p class="hint">{hints[state]}</p>}
    </li>
  );
}

const hints: Partial<Record<State, string>> = {
  silent: "It reports nothing: is the process there, and does it reach NATS?",
  "lease ended": "It answers undetermined to whatever it doesn't know to be over, if it is there at all.",
  stale: "Until it is fresh again its service refuses. Is NATS up, and does a process with the role publisher write beats?",
};

/** Staleness draws how old the proof was at each look, of what is allowed. */
function Staleness({ history, budget }: { history: number[]; budget: number }) {
  const top = Math.max(Math.min(budget, 2_000), ...history);
  const points = history.map((ms, i) => `${((i + keptLooks - history.length) / (keptLooks - 1)) * 100},${28 - (Math.max(0, ms) / top) * 26}`).join(" ");
  return (
    <svg class="sparkline" viewBox="0 0 100 30" preserveAspectRatio="none" role="img" aria-label={`Age of the proof over the last ${history.length} looks: ${seconds(Math.max(0, ...history))} at worst`}>
      <line x1="0" x2="100" y1="29" y2="29" class="grid" vector-effect="non-scaling-stroke" />
      <polyline points={points} class="line line-0" vector-effect="non-scaling-stroke" />
    </svg>
  );
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(ms < 10_000 && ms % 1000 !== 0 ? 1 : 0)} s`;
}
