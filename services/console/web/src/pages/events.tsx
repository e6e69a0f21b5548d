import { useEffect, useState } from "preact/hooks";

import { type Entry, type Who, initiators, reasons, scopes } from "../api";
import { EventDialog, by, reasonTone, scopeOf, targetOf, words } from "../event";
import { type Feed, type Filters, useFeed } from "../follow";
import { Badge, Field, Heading, Trouble } from "../parts";
import { go } from "../route";
import { VirtualList } from "../virtuallist";
import { When, useNow } from "../when";

const known = ["user", "session", "scope", "reason", "initiator", "tenant"];

/** EventsPage shows what is revoked, as it happens. The filters stand in the page's address. */
export function EventsPage({ who, params }: { who: Who; params: URLSearchParams }) {
  const filters: Filters = Object.fromEntries(known.map((name) => [name, params.get(name) ?? ""]).filter(([, v]) => v));
  const feed = useFeed(filters);
  const [open, setOpen] = useState<Entry>();
  const narrow = useNarrow();
  const toggle = () => feed.pause(!feed.paused);
  return (
    <>
      <Heading title="Live events" detail="Revocations in the order of the ledger, the newest first.">
        <State feed={feed} />
        <button type="button" class={feed.paused ? "primary" : ""} onClick={toggle}>{feed.paused ? "Go on" : "Pause"}</button>
      </Heading>
      <FilterBar who={who} filters={filters} />
      {"problem" in feed.link && feed.link.problem.status >= 400 && <Trouble problem={feed.link.problem} />}
      {feed.paused && feed.waiting > 0 && (
        <button type="button" class="waiting" onClick={() => feed.pause(false)}>{feed.waiting.toLocaleString("en")} new since the pause: show them</button>
      )}
      <VirtualList label="Events" rows={feed.rows} keyOf={(e) => e.position} columns={["Stored", "Ends", "Target", "User", "Reason", "By", "Position"]}
        rowHeight={narrow ? 76 : 34} cells={(e) => cells(e, narrow)} onOpen={setOpen} onEnd={() => feed.older && feed.loadOlder()} onSpace={toggle}
        foot={foot(feed, Object.keys(filters).length > 0)} />
      {open && <EventDialog entry={open} onClose={() => setOpen(undefined)} />}
    </>
  );
}

function cells(e: Entry, narrow: boolean) {
  const d = e.event.data;
  return [
    <When at={e.stored} parts={narrow ? "time" : "full"} />,
    <Badge tone="accent">{scopeOf(e)}</Badge>,
    <code title={targetOf(e)}>{targetOf(e)}</code>,
    d.user ? <code title={d.user}>{d.user}</code> : <span class="muted">–</span>,
    <Badge tone={reasonTone(d.reason)}>{words(d.reason)}</Badge>,
    <span class="muted" title={by(d)}>{by(d)}</span>,
    <span class="num muted">{e.position}</span>,
  ];
}

function foot(feed: Feed, filtered: boolean) {
  if (feed.link.state === "loading") return "Loading…";
  if (feed.rows.length === 0 && feed.link.state !== "live") return "Nothing could be read yet.";
  if (feed.older === undefined) return "Loading older events…";
  if (feed.rows.length === 0) return filtered ? "No event of the ledger matches. New ones that do show up here." : "Nothing has been revoked yet. What is shows up here at once.";
  if (feed.older) return <button type="button" class="small" onClick={feed.loadOlder}>Load older events</button>;
  return `All ${feed.rows.length.toLocaleString("en")} that match are shown.`;
}

/** State says whether what is shown is what there is. */
function State({ feed }: { feed: Feed }) {
  const now = useNow(500);
  let tone: "ok" | "warn" | "bad" | "plain" = "ok";
  let text = "Live";
  if (feed.link.state === "loading") [tone, text] = ["plain", "Connecting"];
  else if (feed.link.state === "broken") [tone, text] = ["bad", `Cut off, again in ${Math.max(0, Math.ceil((feed.link.retryAt - now) / 1000))} s`];
  else if (feed.link.state === "refused") [tone, text] = ["bad", "Refused"];
  else if (feed.paused) [tone, text] = ["warn", "Paused"];
  return (
    <>
      <Badge tone={tone}>{text}</Badge>
      <span class="visually-hidden" role="status">{feed.link.state === "broken" ? "The stream was cut off and is opened again." : feed.link.state === "refused" ? "Refused." : feed.paused ? "Paused." : feed.link.state === "live" ? "Live." : ""}</span>
    </>
  );
}

function FilterBar({ who, filters }: { who: Who; filters: Filters }) {
  const set = (name: string, value: string) => go("events", { ...filters, [name]: value.trim() });
  const text = (name: string, label: string, extra: Record<string, unknown> = {}) => (
    <Field id={`f-${name}`} label={label}>
      <input id={`f-${name}`} key={filters[name] ?? ""} type="text" autocomplete="off" spellcheck={false} defaultValue={filters[name] ?? ""} {...extra}
        onChange={(e) => set(name, e.currentTarget.value)} />
    </Field>
  );
  const choice = (name: string, label: string, options: readonly string[]) => (
    <Field id={`f-${name}`} label={label}>
      <select id={`f-${name}`} value={filters[name] ?? ""} onChange={(e) => set(name, e.currentTarget.value)}>
        <option value="">any</option>
        {options.map((o) => <option key={o} value={o}>{words(o)}</option>)}
      </select>
    </Field>
  );
  return (
    <form class="filters" aria-label="Filters" onSubmit={(e) => e.preventDefault()}>
      {text("user", "User", { "data-search": true })}
      {text("session", "Session")}
      {choice("scope", "Ends", scopes)}
      {choice("reason", "Reason", reasons)}
      {choice("initiator", "By", initiators)}
      {who.scopes.includes("operator") && text("tenant", `Tenant (${who.tenant}, or * for all)`)}
      {Object.keys(filters).length > 0 && <button type="button" class="quiet" onClick={() => go("events")}>Clear</button>}
    </form>
  );
}

const narrowScreen = "(max-width: 760px)";

/** useNarrow says whether rows take several lines. */
function useNarrow(): boolean {
  const [narrow, set] = useState(() => matchMedia(narrowScreen).matches);
  useEffect(() => {
    const media = matchMedia(narrowScreen);
    const changed = () => set(media.matches);
    media.addEventListener("change", changed);
    return () => media.removeEventListener("change", changed);
  }, []);
  return narrow;
}
