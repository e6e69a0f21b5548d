import { useEffect, useState } from "preact/hooks";

import { type ReplicaEntry, type Stored, get } from "./api";
import { Badge, Id, Trouble } from "./parts";
import { usePolled } from "./poll";
import { When } from "./when";

interface Props {
  stored: Stored;
  tookMs: number;
  what: string;
  /** Open tabs that it concerns, now and when it was sent; undefined if nobody could tell. */
  tabs: number | undefined;
  tabsBefore: number;
  complete: boolean;
  askTabs: () => void;
  onClose: () => void;
}

/** Receipt fills up while replicas apply an event and tabs leave. It shows what was heard, and claims nothing of who is silent. */
export function Receipt({ stored, tookMs, what, tabs, tabsBefore, complete, askTabs, onClose }: Props) {
  const [over, setOver] = useState(false);
  const replicas = usePolled("receipt" + stored.id, over ? 0 : 300, (signal) => get<{ replicas: ReplicaEntry[] }>("/api/v1/replicas", { timeout: "200ms" }, signal));
  const fleet = replicas.data?.replicas ?? [];
  const applied = fleet.filter((r) => r.position >= stored.position);
  const late = fleet.filter((r) => r.position < stored.position);
  const all = fleet.length > 0 && late.length === 0;
  const gone = tabs === 0;
  useEffect(() => setOver(all && gone), [all, gone]);
  useEffect(() => {
    if (over) return;
    const timer = setInterval(askTabs, 700);
    return () => clearInterval(timer);
  }, [over, askTabs]);
  const left = Math.max(0, tabsBefore - (tabs ?? tabsBefore));
  const most = Math.max(tabsBefore, tabs ?? 0);
  return (
    <section class="panel receipt" aria-label="What has become of the logout">
      <div class="panel-head">
        <h2>{what}</h2>
        <button type="button" class="quiet icon" aria-label="Close" onClick={onClose}>✕</button>
      </div>
      <Trouble problem={replicas.problem} />
      <ol class="steps">
        <li class="step-done"><Badge tone="ok">stored</Badge> <span>on disk at position <b class="num">{stored.position.toLocaleString("en")}</b>, answered in {Math.round(tookMs)} ms, <When at={stored.time} parts="time" /></span></li>
        <li class={all ? "step-done" : ""}>
          <Badge tone={all ? "ok" : "warn"}>{all ? "applied" : "applying"}</Badge>
          <span>by {applied.length} of {fleet.length} replicas that answer{late.length > 0 && <>; not yet {late.map((r) => r.name).join(", ")}</>}</span>
          <progress value={applied.length} max={Math.max(1, fleet.length)} aria-label="Replicas that have applied it" />
        </li>
        <li class={gone ? "step-done" : ""}>
          <Badge tone={gone ? "ok" : "warn"}>{gone ? "no tab open" : "tabs leaving"}</Badge>
          <span>{most === 0 ? "none of its tabs was open" : `${left} of ${most} tabs have left`}{!complete && ", as far as gateways have answered"}</span>
          {most > 0 && <progress value={left} max={most} aria-label="Tabs that have left" />}
        </li>
      </ol>
      <p class="muted note">Event <Id>{stored.id}</Id></p>
      <p class="visually-hidden" role="status">{all && gone ? "Applied by all replicas that answer, and no tab of it is open." : ""}</p>
    </section>
  );
}
