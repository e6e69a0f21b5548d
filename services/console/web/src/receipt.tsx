import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";

import { type NamedReplica, type Receipt, type Stored, get } from "./api";
import { Badge, Id, type Tone, Trouble } from "./parts";
import { usePolled } from "./poll";
import { link } from "./route";
import { When } from "./when";

/** ReceiptPanel stands on the page after a logout, and fills up until every replica has applied it and no more is to come of any tab. */
export function ReceiptPanel({ stored, tookMs, what, onClose }: { stored: Stored; tookMs: number; what: string; onClose: () => void }) {
  const [receipt, setReceipt] = useState(stored.receipt);
  const over = receipt?.complete ?? false;
  const polled = usePolled("receipt" + stored.id, over ? 0 : 500, async (signal) => {
    if (over) return;
    const next = await get<Receipt>(`/api/v1/receipts/${stored.id}`, { wait: "shown", timeout: "400ms", position: stored.position }, signal);
    setReceipt((was) => withTimes(next, was));
  });
  return (
    <section class={`panel receipt${over ? " receipt-over" : ""}`} aria-label="What has become of the logout">
      <div class="panel-head">
        <h2>{what}</h2>
        <button type="button" class="quiet icon" aria-label="Close" onClick={onClose}>✕</button>
      </div>
      <Trouble problem={polled.problem} />
      <ol class="steps">
        <Step done name="stored">on disk at position <b class="num">{stored.position.toLocaleString("en")}</b>, <When at={stored.time} parts="time" />; answered in {Math.round(tookMs)} ms</Step>
        {receipt && <Reached receipt={receipt} />}
      </ol>
      <p class="muted note">Event <Id>{stored.id}</Id> · <a href={link("receipts", { event: stored.id })}>Signed receipt</a></p>
      <p class="visually-hidden" role="status">{over ? "Applied by all replicas, and nothing more is to come of any tab." : ""}</p>
    </section>
  );
}

/** withTimes keeps what only the first answer knows: how long each replica took. */
function withTimes(next: Receipt, was: Receipt | undefined): Receipt {
  const times = new Map(was?.replicas.named.map((r) => [r.name, r.after_ms]));
  const named = next.replicas.named.map((r) => (r.after_ms === undefined && times.get(r.name) !== undefined ? { ...r, after_ms: times.get(r.name)! } : r));
  return { ...next, replicas: { ...next.replicas, named } };
}

function Step({ done, name, children, tone = done ? "ok" : "warn" }: { done: boolean; name: string; children: ComponentChildren; tone?: Tone }) {
  return <li><Badge tone={tone}>{name}</Badge><div>{children}</div></li>;
}

/** Reached shows the replicas and tabs of a receipt. */
export function Reached({ receipt }: { receipt: Receipt }) {
  const { replicas: r, tabs: t } = receipt;
  const slowest = r.named.reduce<NamedReplica | undefined>((most, one) => (one.after_ms !== undefined && (most?.after_ms ?? -1) < one.after_ms ? one : most), undefined);
  const late = r.named.filter((one) => one.state === "late");
  const skipped = r.named.filter((one) => one.state === "skipped");
  const ended = r.named.filter((one) => one.state === "lease_ended");
  const all = r.applied === r.expected && r.expected > 0;
  return (
    <>
      <Step done={all} name={all ? "applied" : "applying"}>
        <p>by <b class="num">{r.applied} of {r.expected}</b> replicas{slowest && <>, the slowest <b>{slowest.name}</b> after {milliseconds(slowest.after_ms!)}</>}</p>
        <progress value={r.applied} max={Math.max(1, r.expected)} aria-label="Replicas that have applied it" />
        {late.map((one) => <p key={one.name} class="hint">{one.name} hasn't yet: it is at {one.position?.toLocaleString("en")}{one.heard_at && <>, heard <When at={one.heard_at} relative /></>}</p>)}
        {skipped.length > 0 && <p class="hint">{skipped.length} of them never will: its cutoff lies too far ahead. Set the clock of the process that published it, and revoke again.</p>}
        {ended.map((one) => <p key={one.name} class="hint">{one.name} isn't heard any more{one.fails_closed_since && <>; it fails closed since <When at={one.fails_closed_since} /></>}</p>)}
      </Step>
      {t && (
        <Step done={t.waiting === 0 && receipt.complete} name={t.told === 0 ? "no tab" : t.waiting > 0 ? "showing" : "shown"} tone={t.waiting > 0 ? "warn" : "ok"}>
          <p>{t.told === 0 ? "none of its tabs was open" : <><b class="num">{t.told - t.waiting} of {t.told}</b> tabs: {outcomes(t)}</>}</p>
          {t.told > 0 && <progress value={t.told - t.waiting} max={t.told} aria-label="Tabs that have answered or left" />}
          {t.gateways.filter((g) => g.state !== "told").map((g) => <p key={g.name} class="hint">Gateway {g.name}: {g.state}</p>)}
        </Step>
      )}
      {!receipt.certain && <li><Badge tone="warn">not certain</Badge><p>This process hasn't listened for a whole lease yet, so there may be replicas that it doesn't know.</p></li>}
    </>
  );
}

function outcomes(t: NonNullable<Receipt["tabs"]>): string {
  const parts: [number, string][] = [[t.signed_out, "signed out"], [t.already, "were already"], [t.ignored, "ignored it"], [t.gone, "left without an answer"], [t.waiting, "haven't answered"]];
  return parts.filter(([n]) => n > 0).map(([n, what]) => `${n} ${what}`).join(", ");
}

export function milliseconds(ms: number): string {
  return ms < 10 ? `${ms.toFixed(1)} ms` : ms < 10_000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}
