import { useState } from "preact/hooks";

import { type Receipt, get } from "../api";
import { Badge, Empty, Field, Heading, Id, Panel, Trouble } from "../parts";
import { usePolled } from "../poll";
import { Reached, milliseconds } from "../receipt";
import { go, link } from "../route";
import { When } from "../when";

interface List {
  receipts: Receipt[];
  next_before?: number;
}

/** ReceiptsPage lists whom revocations have reached, as it was found out by who waited for it, or shows one. */
export function ReceiptsPage({ event }: { event: string }) {
  return (
    <>
      <Heading title="Receipts" detail="Proof of whom a revocation has reached, signed and kept for 90 days. One is made whenever somebody waits for replicas or tabs." />
      <form class="search" role="search" onSubmit={(e) => {
        e.preventDefault();
        go("receipts", { event: String(new FormData(e.currentTarget).get("event")).trim() });
      }}>
        <Field id="event" label="Event id">
          <input id="event" name="event" data-search type="text" key={event} defaultValue={event} autocomplete="off" spellcheck={false} />
        </Field>
        <button type="submit">Show</button>
      </form>
      {event ? <One key={event} event={event} /> : <Newest />}
    </>
  );
}

function Newest() {
  // pages are where the pages begin that are shown, the newest first.
  const [before, setBefore] = useState<number[]>([]);
  const list = usePolled(`receipts ${before.join()}`, before.length ? 0 : 5_000, (signal) => get<List>("/api/v1/receipts", { before: before.at(-1) }, signal));
  const next = list.data?.next_before;
  return (
    <Panel title={before.length ? "Older receipts" : "The newest receipts"} tight>
      <Trouble problem={list.problem} again={list.again} />
      {list.data?.receipts.length === 0 && <Empty>None is kept. A logout from the page of a person makes one, and so does ?wait=applied over the API.</Empty>}
      {list.data && list.data.receipts.length > 0 && (
        <table class="cards">
          <thead><tr><th scope="col">Made</th><th scope="col">Outcome</th><th scope="col">Replicas</th><th scope="col">Tabs</th><th scope="col" class="num">Position</th><th scope="col">Event</th></tr></thead>
          <tbody>
            {list.data.receipts.map((r) => (
              <tr key={r.event + r.made_at}>
                <th scope="row"><When at={r.made_at} /></th>
                <td data-label="Outcome"><Outcome receipt={r} /></td>
                <td data-label="Replicas" class="words">{r.replicas.applied} of {r.replicas.expected}{slowest(r)}</td>
                <td data-label="Tabs" class="words">{r.tabs ? (r.tabs.told ? `${r.tabs.told - r.tabs.waiting} of ${r.tabs.told}` : "none open") : "not asked"}</td>
                <td data-label="Position" class="num">{r.position.toLocaleString("en")}</td>
                <td data-label="Event"><a href={link("receipts", { event: r.event })}><Id>{r.event}</Id></a></td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {(before.length > 0 || next !== undefined) && (
        <div class="note row">
          {before.length > 0 && <button type="button" class="small" onClick={() => setBefore(before.slice(0, -1))}>Newer</button>}
          {next !== undefined && <button type="button" class="small" onClick={() => setBefore([...before, next])}>Older</button>}
        </div>
      )}
    </Panel>
  );
}

function slowest(r: Receipt): string {
  const times = r.replicas.named.flatMap((one) => one.after_ms ?? []);
  return times.length ? ` in ${milliseconds(Math.max(...times))}` : "";
}

function Outcome({ receipt }: { receipt: Receipt }) {
  if (!receipt.complete) return <Badge tone="bad">incomplete</Badge>;
  return <Badge tone={receipt.certain ? "ok" : "warn"}>{receipt.certain ? receipt.aim : `${receipt.aim}, not certain`}</Badge>;
}

function One({ event }: { event: string }) {
  const polled = usePolled(event, 0, (signal) => get<Receipt>(`/api/v1/receipts/${encodeURIComponent(event)}`, {}, signal));
  const [copied, setCopied] = useState("");
  const r = polled.data;
  const copy = () => navigator.clipboard.writeText(r!.token!).then(() => setCopied("Copied."), () => setCopied("The browser doesn't allow it: mark the text and copy it."));
  return (
    <>
      <p><a href={link("receipts")}>All receipts</a></p>
      <Trouble problem={polled.problem} again={polled.again} />
      {r && (
        <Panel title="Receipt" tools={<Outcome receipt={r} />}>
          <p>{r.sentence}.</p>
          <ol class="steps steps-flush"><Reached receipt={r} /></ol>
          <dl class="pairs">
            <div><dt>Event</dt><dd><Id>{r.event}</Id></dd></div>
            <div><dt>Position</dt><dd class="num">{r.position.toLocaleString("en")}</dd></div>
            <div><dt>Waited for</dt><dd>{r.aim}</dd></div>
            <div><dt>Made</dt><dd><When at={r.made_at} /></dd></div>
          </dl>
          <table>
            <thead><tr><th scope="col">Replica</th><th scope="col">State</th><th scope="col" class="num">After</th></tr></thead>
            <tbody>
              {r.replicas.named.map((one) => (
                <tr key={one.name}><th scope="row">{one.name}<span class="sub">{[one.group, one.version].filter(Boolean).join(" ")}</span></th><td><Badge tone={one.state === "applied" ? "ok" : "bad"}>{one.state.replace("_", " ")}</Badge></td><td class="num">{one.after_ms === undefined ? "–" : milliseconds(one.after_ms)}</td></tr>
              ))}
            </tbody>
          </table>
          {r.token && (
            <details>
              <summary>Signed form</summary>
              <p class="hint">A JWS of type curfew-receipt, by Ed25519; GET /v1/receipts/keys has the keys that it is verified with.</p>
              <pre class="json" tabIndex={0} aria-label="The signed receipt">{r.token}</pre>
              <p class="row"><button type="button" class="small" onClick={copy}>Copy</button> <span role="status">{copied}</span></p>
            </details>
          )}
        </Panel>
      )}
    </>
  );
}
