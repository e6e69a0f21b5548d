import { useState } from "preact/hooks";

import { Problem, get, post } from "../api";
import { Dialog, Empty, Heading, Id, Panel, Trouble } from "../parts";
import { usePolled } from "../poll";
import { When } from "../when";

interface Parked {
  position: number;
  parked: string;
  reason: string;
  topic?: string;
  stream?: string;
  from_position?: number;
  consumer?: string;
  deliveries?: number;
  bytes: number;
}

interface ParkedMessage extends Parked {
  event?: unknown;
  begins?: string;
}

type Doing = { what: "show" | "retry" | "drop"; message: Parked };

/** ParkedPage lists messages that a consumer couldn't deal with, each with its reason. */
export function ParkedPage() {
  const [after, setAfter] = useState<number[]>([]);
  const list = usePolled(`parked ${after.join()}`, 5_000, (signal) => get<{ parked: Parked[]; next_after?: number }>("/api/v1/parked", { limit: 100, after: after.at(-1) }, signal));
  const [doing, setDoing] = useState<Doing>();
  const [done, setDone] = useState("");
  const next = list.data?.next_after;
  const end = (text: string) => {
    setDoing(undefined);
    setDone(text);
    list.again();
  };
  return (
    <>
      <Heading title="Parked messages" detail="What a consumer couldn't deal with is put aside with its reason, the oldest first, and kept for 90 days." />
      <p class="visually-hidden" role="status">{done}</p>
      {done && <p class="done" aria-hidden="true">{done}</p>}
      <Panel title={after.length ? "Further messages" : "Messages"} tight>
        <Trouble problem={list.problem} again={list.again} />
        {list.data?.parked.length === 0 && <Empty>Nothing is parked.</Empty>}
        {list.data && list.data.parked.length > 0 && (
          <table class="cards">
            <thead><tr><th scope="col">Parked</th><th scope="col">Reason</th><th scope="col">Consumer</th><th scope="col">From</th><th scope="col" class="num">Tries</th><th scope="col"><span class="visually-hidden">Actions</span></th></tr></thead>
            <tbody>
              {list.data.parked.map((m) => (
                <tr key={m.position}>
                  <th scope="row"><When at={m.parked} /></th>
                  <td data-label="Reason" class="words">{m.reason}</td>
                  <td data-label="Consumer" class="words">{m.consumer ?? "–"}</td>
                  <td data-label="From"><Id>{m.topic ?? "–"}</Id>{m.from_position !== undefined && <span class="sub">{m.stream} at {m.from_position.toLocaleString("en")}</span>}</td>
                  <td data-label="Tries" class="num">{m.deliveries ?? "–"}</td>
                  <td class="actions">
                    {(["show", "retry", "drop"] as const).map((what) => <button type="button" key={what} class={`small${what === "show" ? " quiet" : ""}`} aria-label={`${titles[what]} the message at ${m.position}`} onClick={() => { setDone(""); setDoing({ what, message: m }); }}>{titles[what]}{what !== "show" && "…"}</button>)}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
        {(after.length > 0 || next !== undefined) && (
          <div class="note row">
            {after.length > 0 && <button type="button" class="small" onClick={() => setAfter(after.slice(0, -1))}>Back</button>}
            {next !== undefined && <button type="button" class="small" onClick={() => setAfter([...after, next])}>Further</button>}
          </div>
        )}
      </Panel>
      {doing?.what === "show" && <Show message={doing.message} onClose={() => setDoing(undefined)} />}
      {doing && doing.what !== "show" && <Confirm doing={doing} onDone={end} onClose={() => setDoing(undefined)} />}
    </>
  );
}

const titles = { show: "Show", retry: "Retry", drop: "Drop" };

function Show({ message, onClose }: { message: Parked; onClose: () => void }) {
  const polled = usePolled(String(message.position), 0, (signal) => get<ParkedMessage>(`/api/v1/parked/${message.position}`, {}, signal));
  const m = polled.data;
  return (
    <Dialog title={`Parked message ${message.position}`} onClose={onClose} wide>
      <p>{message.reason}</p>
      <Trouble problem={polled.problem} again={polled.again} />
      {m && <pre class="json" tabIndex={0} aria-label="What it holds">{m.event !== undefined ? JSON.stringify(m.event, null, 2) : m.begins || "(nothing)"}</pre>}
      {m && m.event === undefined && <p class="hint">It holds no event. These are its first bytes, of {m.bytes.toLocaleString("en")}.</p>}
    </Dialog>
  );
}

/** Confirm asks before a message is put back or dropped. */
function Confirm({ doing: { what, message }, onDone, onClose }: { doing: Doing; onDone: (text: string) => void; onClose: () => void }) {
  const [problem, setProblem] = useState<Problem>();
  const [busy, setBusy] = useState(false);
  const go = async () => {
    setBusy(true);
    try {
      if (what === "retry") {
        const back = await post<{ stream: string; stored_position: number }>(`/api/v1/parked/${message.position}/retry`, {});
        onDone(`Put back: it lies in ${back.stream} at ${back.stored_position}.`);
      } else {
        await post(`/api/v1/parked/${message.position}`, {}, {}, "DELETE");
        onDone("Dropped.");
      }
    } catch (e) {
      setProblem(e as Problem);
      setBusy(false);
    }
  };
  return (
    <Dialog title={what === "retry" ? "Put the message back" : "Drop the message"} onClose={onClose}>
      <p>{what === "retry"
        ? "It is stored once more on the topic that it came from, and every consumer of the topic gets it. An event is marked as replayed, so that no tab is told twice."
        : "It is gone for good. An event that was parked from the ledger stays in the ledger."}</p>
      <dl class="pairs"><div><dt>Why it was parked</dt><dd>{message.reason}</dd></div></dl>
      <Trouble problem={problem} />
      <div class="dialog-foot">
        <button type="button" onClick={onClose}>Cancel</button>
        <button type="button" class={what === "drop" ? "danger" : "primary"} disabled={busy} onClick={go}>{what === "retry" ? "Put it back" : "Drop it"}</button>
      </div>
    </Dialog>
  );
}
