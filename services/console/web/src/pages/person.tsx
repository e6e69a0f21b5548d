import { useState } from "preact/hooks";

import { type Entry, type History, type SessionEntry, type Sessions, type Stored, type Tabs, type Who, get } from "../api";
import { EventDialog, by, reasonTone, scopeOf, targetOf, words } from "../event";
import { LogoutDialog, type Target } from "../logout";
import { Badge, Empty, Field, Figure, Heading, Id, Panel, Trouble } from "../parts";
import { usePolled } from "../poll";
import { ReceiptPanel } from "../receipt";
import { go, link } from "../route";
import { When } from "../when";

/** PersonPage shows where somebody is signed in, and ends it. */
export function PersonPage({ who, user }: { who: Who; user: string }) {
  return (
    <>
      <Heading title="Person" detail={`Sessions, devices, open tabs and history of a user of the tenant ${who.tenant}.`} />
      <form class="search" role="search" onSubmit={(e) => {
        e.preventDefault();
        go("person", { user: String(new FormData(e.currentTarget).get("user")).trim() });
      }}>
        <Field id="user" label="User id" hint={user ? undefined : "The id that tokens carry as sub, in full: it is opaque, so it can't be searched for in parts."}>
          <input id="user" name="user" data-search type="text" key={user} defaultValue={user} required maxLength={256} autocomplete="off" spellcheck={false} />
        </Field>
        <button type="submit" class={user ? "" : "primary"}>Show</button>
      </form>
      {user && <Person key={user} user={user} who={who} />}
    </>
  );
}

function Person({ user, who }: { user: string; who: Who }) {
  const path = `/api/v1/users/${encodeURIComponent(user)}`;
  const sessions = usePolled("sessions", 4_000, (signal) => get<Sessions>(path + "/sessions", { limit: 200 }, signal));
  const tabs = usePolled("tabs", 4_000, (signal) => get<Tabs>(path + "/tabs", {}, signal));
  const history = usePolled("history", 8_000, (signal) => get<History>("/api/v1/revocations", { user, order: "newest", limit: 50 }, signal));
  const [target, setTarget] = useState<Target>();
  const [stored, setStored] = useState<{ answer: Stored; tookMs: number; target: Target }>();
  const active = sessions.data?.sessions.filter((s) => s.state === "active") ?? [];
  const open = tabs.data?.gateways.flatMap((g) => g.tabs) ?? [];
  const done = (answer: Stored, tookMs: number) => {
    setStored({ answer, tookMs, target: target! });
    setTarget(undefined);
    for (const p of [sessions, tabs, history]) p.again();
  };
  return (
    <>
      <div class="person-head">
        <dl class="figures">
          <Figure name="Sessions that go on" value={sessions.data ? active.length : "–"} />
          <Figure name="Devices" value={sessions.data ? sessions.data.devices.filter((d) => d.sessions.some((id) => active.some((s) => s.session === id))).length : "–"} />
          <Figure name="Open tabs" value={tabs.data ? open.length : "–"} note={tabs.data && !tabs.data.complete ? "not all gateways answered" : undefined} tone={tabs.data && !tabs.data.complete ? "warn" : "plain"} />
        </dl>
        <button type="button" class="danger" onClick={() => setTarget({ kind: "everywhere" })}>Log out everywhere…</button>
      </div>
      {stored && <ReceiptPanel key={stored.answer.id} stored={stored.answer} tookMs={stored.tookMs} what={says(stored.target, user)} onClose={() => setStored(undefined)} />}
      <Panel title="Sessions" tight>
        <Trouble problem={sessions.problem} again={sessions.again} />
        {sessions.data && <SessionTable sessions={sessions.data} openTabs={(id) => open.filter((t) => t.session === id).length} onLogout={setTarget} />}
      </Panel>
      <Panel title="Open tabs" tight>
        <Trouble problem={tabs.problem} again={tabs.again} />
        {tabs.data && <TabTable tabs={tabs.data} />}
      </Panel>
      <Panel title="History" tight tools={<a href={link("events", { user })}>Follow live</a>}>
        <Trouble problem={history.problem} again={history.again} />
        {history.data && <HistoryTable history={history.data} />}
      </Panel>
      {target && <LogoutDialog user={user} who={who} target={target} sessions={active.length} tabs={open.filter((t) => concerns(target, t.session)).length} onDone={done} onClose={() => setTarget(undefined)} />}
    </>
  );
}

/** concerns says whether a logout ends the tabs of a session. */
function concerns(target: Target, session: string): boolean {
  return target.kind === "everywhere" || (target.kind === "others") !== (target.session.session === session);
}

function says(target: Target, user: string): string {
  if (target.kind === "everywhere") return `${user} logged out everywhere`;
  return target.kind === "others" ? `${user} logged out but for one session` : "Session logged out";
}

function SessionTable({ sessions, openTabs, onLogout }: { sessions: Sessions; openTabs: (session: string) => number; onLogout: (target: Target) => void }) {
  if (sessions.sessions.length === 0) return <Empty>No session is registered. Logging out ends those that the registry doesn't know as well.</Empty>;
  const tones = { active: "ok", ended: "plain", undetermined: "warn" } as const;
  return (
    <>
      <table class="cards">
        <thead><tr><th scope="col">Device</th><th scope="col">State</th><th scope="col">Signed in</th><th scope="col">Last seen</th><th scope="col">Ends</th><th scope="col" class="num">Tabs</th><th scope="col">Session</th><th scope="col"><span class="visually-hidden">Actions</span></th></tr></thead>
        <tbody>
          {sessions.sessions.map((s) => (
            <tr key={s.session} class={s.state === "active" ? "" : "over"}>
              <th scope="row">{s.name}<span class="sub">{[s.client, s.ip].filter(Boolean).join(" · ")}</span></th>
              <td data-label="State"><Badge tone={tones[s.state]}>{s.state}</Badge>{s.reason && <span class="sub">{words(s.reason)}</span>}</td>
              <td data-label="Signed in"><When at={s.auth_time} relative /></td>
              <td data-label="Last seen"><When at={s.last_seen_at} relative /></td>
              <td data-label={s.ended_at ? "Ended" : "Ends"}><When at={s.ended_at ?? s.idle_expires_at ?? s.expires_at} relative />{s.idle_expires_at && !s.ended_at && <span class="sub">unless touched</span>}</td>
              <td data-label="Tabs" class="num">{openTabs(s.session)}</td>
              <td data-label="Session"><Id>{s.session}</Id></td>
              <td class="actions">{s.state !== "ended" && <Actions session={s} onLogout={onLogout} />}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {sessions.more && <p class="muted note">There are more than are listed.</p>}
    </>
  );
}

function Actions({ session, onLogout }: { session: SessionEntry; onLogout: (target: Target) => void }) {
  return (
    <>
      <button type="button" class="small" aria-label={`Log out ${session.name}, session ${session.session}`} onClick={() => onLogout({ kind: "one", session })}>Log out…</button>
      <button type="button" class="small" aria-label={`Others: log out all but ${session.name}, session ${session.session}`} onClick={() => onLogout({ kind: "others", session })}>Others…</button>
    </>
  );
}

function TabTable({ tabs }: { tabs: Tabs }) {
  const rows = tabs.gateways.flatMap((g) => g.tabs.map((t) => ({ ...t, gateway: g.name })));
  return (
    <>
      {!tabs.complete && <p class="notice" role="status">{tabs.missing?.length ? `No answer in time from ${tabs.missing.map((g) => g.name).join(", ")}: tabs there aren't listed.` : "It isn't known which gateways there are, so tabs may be missing."}</p>}
      {rows.length === 0 ? <Empty>No tab is open{tabs.complete ? "" : ", as far as is known"}.</Empty> : (
        <table class="cards">
          <thead><tr><th scope="col">Session</th><th scope="col">Since</th><th scope="col">By</th><th scope="col">Gateway</th></tr></thead>
          <tbody>
            {rows.map((t, i) => (
              <tr key={i}><th scope="row"><Id>{t.session}</Id></th><td data-label="Since"><When at={t.since} relative /></td><td data-label="By">{t.transport === "sse" ? "SSE" : t.transport === "websocket" ? "WebSocket" : t.transport ?? "–"}</td><td data-label="Gateway">{t.gateway}</td></tr>
            ))}
          </tbody>
        </table>
      )}
    </>
  );
}

function HistoryTable({ history }: { history: History }) {
  const [open, setOpen] = useState<Entry>();
  if (history.revocations.length === 0) return <Empty>Nothing was ever revoked that names this user.</Empty>;
  return (
    <>
      <table class="cards">
        <thead><tr><th scope="col">Stored</th><th scope="col">Ends</th><th scope="col">Target</th><th scope="col">Reason</th><th scope="col">By</th><th scope="col"><span class="visually-hidden">Details</span></th></tr></thead>
        <tbody>
          {history.revocations.map((e) => (
            <tr key={e.position}>
              <th scope="row"><When at={e.stored} /></th>
              <td data-label="Ends"><Badge tone="accent">{scopeOf(e)}</Badge></td>
              <td data-label="Target"><Id>{targetOf(e)}</Id></td>
              <td data-label="Reason"><Badge tone={reasonTone(e.event.data.reason)}>{words(e.event.data.reason)}</Badge>{e.event.data.reason_admin && <span class="sub">{e.event.data.reason_admin}</span>}</td>
              <td data-label="By">{by(e.event.data)}</td>
              <td class="actions"><button type="button" class="small quiet" aria-label={`Details of the event at position ${e.position}`} onClick={() => setOpen(e)}>Details</button></td>
            </tr>
          ))}
        </tbody>
      </table>
      {history.next_before !== undefined && <p class="muted note">The newest 50. <a href={link("events", { user: history.revocations[0]!.event.data.user ?? "" })}>See all</a></p>}
      {open && <EventDialog entry={open} onClose={() => setOpen(undefined)} />}
    </>
  );
}
