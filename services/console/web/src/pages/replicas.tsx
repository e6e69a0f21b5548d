import { useRef } from "preact/hooks";

import { type ReplicaEntry, get } from "../api";
import { Badge, Empty, Figure, Heading, Trouble } from "../parts";
import { usePolled } from "../poll";
import { ago, useNow } from "../when";

interface Seen extends ReplicaEntry {
  /** heard is when it answered last, and history how stale it was each time, the newest last. */
  heard: number;
  history: number[];
}

const keptLooks = 60;

/** ReplicasPage shows the fleet: who knows how much, and how sure it may be. */
export function ReplicasPage() {
  const seen = useRef(new Map<string, Seen>());
  const polled = usePolled("replicas", 1_000, async (signal) => {
    const { replicas } = await get<{ replicas: ReplicaEntry[] }>("/api/v1/replicas", { timeout: "500ms" }, signal);
    const now = Date.now();
    for (const r of replicas) {
      const history = [...(seen.current.get(r.name)?.history ?? []), r.staleness_ms].slice(-keptLooks);
      seen.current.set(r.name, { ...r, heard: now, history });
    }
    return [...seen.current.values()].sort((a, b) => a.name.localeCompare(b.name, "en", { numeric: true }));
  });
  const now = useNow(1_000);
  const fleet = polled.data ?? [];
  const head = Math.max(0, ...fleet.map((r) => r.position));
  const silent = fleet.filter((r) => now - r.heard > 3_000);
  const fresh = fleet.filter((r) => r.fresh && !silent.includes(r));
  const oldest = Math.max(0, ...fleet.filter((r) => !silent.includes(r)).map((r) => r.staleness_ms));
  return (
    <>
      <Heading title="Replicas" detail="The replicas of Curfew's own processes, asked each second. One that doesn't answer stays here as silent until the page is left." />
      <Trouble problem={polled.problem} again={polled.again} />
      <dl class="figures">
        <Figure name="Fresh" tone={fleet.length > 0 && fresh.length === fleet.length ? "ok" : fleet.length ? "bad" : "plain"} value={`${fresh.length} of ${fleet.length}`} />
        <Figure name="Furthest position" value={head.toLocaleString("en")} />
        <Figure name="Oldest proof" value={fleet.length ? seconds(oldest) : "–"} />
        <Figure name="Silent" tone={silent.length ? "bad" : "plain"} value={silent.length} />
      </dl>
      {polled.data && fleet.length === 0 && <Empty>No replica has answered in time.</Empty>}
      <ul class="fleet">
        {fleet.map((r) => <Replica key={r.name} replica={r} head={head} silent={silent.includes(r)} now={now} />)}
      </ul>
    </>
  );
}

function Replica({ replica: r, head, silent, now }: { replica: Seen; head: number; silent: boolean; now: number }) {
  const state = silent ? "silent" : r.fresh ? "fresh" : r.staleness_ms < 0 ? "not synced" : "stale";
  const behind = head - r.position;
  return (
    <li class={`panel replica replica-${r.fresh && !silent ? "ok" : "bad"}`}>
      <div class="panel-head">
        <h2>{r.name}</h2>
        <Badge tone={state === "fresh" ? "ok" : "bad"}>{state}</Badge>
      </div>
      <dl class="pairs">
        <div><dt>Position</dt><dd class="num">{r.position.toLocaleString("en")}{behind > 0 && <span class="muted"> ({behind.toLocaleString("en")} behind)</span>}</dd></div>
        <div><dt>Proof</dt><dd class="num">{r.staleness_ms < 0 ? "none yet" : `${seconds(r.staleness_ms)} old`}</dd></div>
        {silent && <div><dt>Heard</dt><dd>{ago(r.heard, now)}</dd></div>}
      </dl>
      <Staleness history={r.history} />
      {silent ? <p class="hint">It answers nobody: is the process there, and does it reach NATS?</p>
        : !r.fresh && <p class="hint">Until it is fresh again it answers undetermined, and services refuse. Is NATS up, and does a process with the role publisher write beats?</p>}
    </li>
  );
}

/** Staleness draws how old the proof was at each look; its scale ends at two seconds, or at the worst. */
function Staleness({ history }: { history: number[] }) {
  const top = Math.max(2_000, ...history);
  const points = history.map((ms, i) => `${((i + keptLooks - history.length) / (keptLooks - 1)) * 100},${28 - (Math.max(0, ms) / top) * 26}`).join(" ");
  const worst = Math.max(0, ...history);
  return (
    <svg class="sparkline" viewBox="0 0 100 30" preserveAspectRatio="none" role="img" aria-label={`Age of the proof over the last ${history.length} looks: ${seconds(worst)} at worst`}>
      <line x1="0" x2="100" y1="29" y2="29" class="grid" vector-effect="non-scaling-stroke" />
      <polyline points={points} class="line line-0" vector-effect="non-scaling-stroke" />
    </svg>
  );
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)} s`;
}
