"use client";

import type { ListedSession, SessionList as List } from "@curfew/authjs";
import { useActionState } from "react";

import { When } from "../../../components/when";
import { reasonText } from "../../reasons";
import { end } from "./actions";

/** How many sessions that are over are shown. */
const mostEnded = 10;

/** The caller's devices with their sessions, and what has ended. */
export function SessionList({ list }: { list: List }) {
  const [outcome, act, pending] = useActionState(end, undefined);
  const byId = new Map(list.sessions.map((session) => [session.session, session]));
  const devices = list.devices.map(({ name, sessions }) => ({ name, sessions: sessions.flatMap((sid) => byId.get(sid) ?? []).filter(({ state }) => state !== "ended") }));
  const here = (sessions: ListedSession[]) => Number(sessions.some(({ current }) => current));
  const live = devices.filter(({ sessions }) => sessions.length > 0).sort((a, b) => here(b.sessions) - here(a.sessions));
  const ended = list.sessions.filter(({ state }) => state === "ended").sort((a, b) => (b.ended_at ?? "").localeCompare(a.ended_at ?? ""));
  const others = list.sessions.some(({ state, current }) => state !== "ended" && !current);
  return (
    <>
      <section aria-labelledby="active">
        <div className="heading">
          <h2 id="active">Active</h2>
          <form action={act}>
            <button disabled={pending || !others}>Sign out other devices</button>
          </form>
        </div>
        <p role="status" className={outcome?.failed ? "failure" : "success"}>
          {outcome?.text}
        </p>
        <ul className="devices">
          {live.map(({ name, sessions }) => (
            <li key={sessions[0]!.session} className="card">
              <h3>
                {name} {here(sessions) > 0 && <span className="badge">This device</span>}
              </h3>
              <ul>
                {sessions.map((session) => (
                  <li key={session.session} className="session" data-session={session.session}>
                    <Facts session={session} />
                    {session.current ? (
                      <span className="current">This session</span>
                    ) : (
                      <form action={act}>
                        <input type="hidden" name="session" value={session.session} />
                        <button disabled={pending} aria-label={`End the session on ${name}`}>
                          End
                        </button>
                      </form>
                    )}
                  </li>
                ))}
              </ul>
            </li>
          ))}
        </ul>
        {list.more && <p className="hint">There are more than are shown.</p>}
      </section>
      {ended.length > 0 && (
        <section aria-labelledby="ended">
          <h2 id="ended">Ended</h2>
          <ul className="ended">
            {ended.slice(0, mostEnded).map((session) => (
              <li key={session.session} data-session={session.session}>
                <strong>{session.name}</strong>
                <span>
                  {session.ended_at && <When at={session.ended_at} />}: {reasonText(session.reason ?? "") ?? "it is over"}
                </span>
              </li>
            ))}
          </ul>
        </section>
      )}
    </>
  );
}

function Facts({ session }: { session: ListedSession }) {
  return (
    <dl>
      <div>
        <dt>Network</dt>
        <dd>{session.ip ?? "not known"}</dd>
      </div>
      <div>
        <dt>Begun</dt>
        <dd>
          <When at={session.auth_time} />
        </dd>
      </div>
      <div>
        <dt>Last seen</dt>
        <dd>
          <When at={session.last_seen_at} />
        </dd>
      </div>
      {session.state === "undetermined" && (
        <div>
          <dt>State</dt>
          <dd>can’t be told at the moment</dd>
        </div>
      )}
    </dl>
  );
}
