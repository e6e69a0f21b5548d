import { useEffect, useMemo, useRef, useState } from "preact/hooks";

import { type Finding, type Fleet, Problem, type Sample, type Who, get } from "../api";
import { Badge, Choice, Figure, Heading, Panel, Trouble } from "../parts";
import { Plot } from "../plot";
import { type Polled, usePolled } from "../poll";
import { link } from "../route";

type Span = "5" | "15" | "60";

/** OverviewPage shows whether replicas are fresh, and what this process finds; to operators also what it measures, for that is of all tenants together. */
export function OverviewPage({ who }: { who: Who }) {
  const fleet = usePolled("fleet", 5_000, (signal) => get<Fleet>("/fleet", {}, signal));
  const findings = usePolled("findings", 15_000, (signal) => get<{ findings: Finding[] }>("/findings", {}, signal));
  return (
    <>
      {who.scopes.includes("operator") ? <Measured fleet={fleet} /> : (
        <>
          <Heading title="Overview" detail="What is measured is of all tenants together, and shown to operators." />
          <Trouble problem={fleet.problem} again={fleet.again} />
          <dl class="figures"><Fresh fleet={fleet.data} /></dl>
        </>
      )}
      <Findings findings={findings.data?.findings} problem={findings.problem} />
    </>
  );
}

function Measured({ fleet }: { fleet: Polled<Fleet> }) {
  const [span, setSpan] = useState<Span>("15");
  const { samples, problem } = useSamples();
  const shown = useMemo(() => samples.filter((s) => s.at > Date.now() - Number(span) * 60_000), [samples, span]);
  return (
    <>
      <Heading title="Overview" detail="What the process that serves this page measures, every five seconds, kept for an hour.">
        <Choice label="Time shown" value={span} options={[["5", "5 min"], ["15", "15 min"], ["60", "1 h"]]} onChange={setSpan} />
      </Heading>
      <Trouble problem={problem ?? fleet.problem} again={fleet.again} />
      <Figures samples={shown} fleet={fleet.data} span={span} />
      <div class="plots">
        <Plot title="Events" unit="per second" samples={shown} series={[{ name: "applied", value: (s) => s.applied / s.seconds }]} />
        <Plot title="Propagation" unit="ms from stored to applied" samples={shown} dots series={[{ name: "p50", value: (s) => s.p50 }, { name: "p99", value: (s) => s.p99 }]} />
        <Plot title="Checks" unit="per second" samples={shown} series={[
          { name: "active", value: (s) => s.active / s.seconds }, { name: "revoked", value: (s) => s.revoked / s.seconds }, { name: "undetermined", value: (s) => s.undetermined / s.seconds },
        ]} />
        <Plot title="Open tabs" unit="conns" samples={shown} series={[{ name: "WebSocket", value: (s) => s.websocket }, { name: "SSE", value: (s) => s.sse }]} />
      </div>
    </>
  );
}

/** useSamples asks for all samples once, and then for the new ones. */
function useSamples() {
  const kept = useRef<Sample[]>([]);
  const polled = usePolled("metrics", 5_000, async (signal) => {
    const { samples } = await get<{ samples: Sample[] }>("/metrics", { after: kept.current.at(-1)?.at }, signal);
    kept.current = [...kept.current, ...samples].slice(-720);
    return kept.current;
  });
  useEffect(() => () => void (kept.current = []), []);
  return { samples: polled.data ?? [], problem: polled.problem };
}

function Figures({ samples, fleet, span }: { samples: Sample[]; fleet: Fleet | undefined; span: Span }) {
  const sum = (of: (s: Sample) => number) => samples.reduce((n, s) => n + of(s), 0);
  const last = samples.at(-1);
  const worst = samples.reduce((n, s) => Math.max(n, s.p99 ?? 0), 0);
  const undetermined = sum((s) => s.undetermined);
  const note = `in ${span} min`;
  return (
    <dl class="figures">
      <Fresh fleet={fleet} />
      <Figure name="Events applied" value={sum((s) => s.applied).toLocaleString("en")} note={note} />
      <Figure name="Slowest p99" value={worst ? `${number(worst)} ms` : "–"} note={worst ? note : "no events"} />
      <Figure name="Undetermined checks" tone={undetermined > 0 ? "warn" : "plain"} value={undetermined.toLocaleString("en")} note={note} />
      <Figure name="Open tabs here" value={last ? (last.websocket + last.sse).toLocaleString("en") : "–"} note="now" />
    </dl>
  );
}

function Fresh({ fleet }: { fleet: Fleet | undefined }) {
  const fresh = fleet?.members.filter((m) => m.fresh && !m.ended).length ?? 0;
  return <Figure name="Replicas fresh" tone={!fleet ? "plain" : fresh === fleet.members.length && fresh > 0 ? "ok" : "bad"} value={fleet ? <a href={link("replicas")}>{fresh} of {fleet.members.length}</a> : "–"} />;
}

function number(n: number): string {
  return n >= 100 ? n.toFixed(0) : n >= 10 ? n.toFixed(1) : n.toFixed(2);
}

function Findings({ findings, problem }: { findings: Finding[] | undefined; problem: Problem | undefined }) {
  const tones = { ok: "ok", warn: "warn", fail: "bad" } as const;
  return (
    <Panel title="What the process finds" tight>
      <Trouble problem={problem} />
      <ul class="findings">
        {findings?.map((f) => (
          <li key={f.name + f.detail}>
            <Badge tone={tones[f.status]}>{f.status}</Badge>
            <div><strong>{f.name}</strong> <span class="finding-detail">{f.detail}</span>{f.hint && <p class="hint">{f.hint}</p>}</div>
          </li>
        ))}
      </ul>
    </Panel>
  );
}
