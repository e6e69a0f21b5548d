import { curfew } from "@curfew/authjs";
import type { Metadata } from "next";

import { options } from "../../../auth";
import { pageCaller } from "../../../server/caller";
import { SessionList } from "./sessionlist";
import { SignOutEverywhere } from "./signouteverywhere";

export const metadata: Metadata = { title: "Devices" };

export default async function Sessions() {
  const session = await pageCaller();
  const list = await curfew(options)
    .listSessions(session)
    .catch(() => undefined);
  return (
    <>
      <h1>Devices and sessions</h1>
      <p className="lead">Wherever you are signed in. What you end here is over at once: in every tab of it, in every service, and for every copy of its cookie.</p>
      {list ? <SessionList list={list} /> : <p className="notice">The list can’t be read at the moment. What you end below ends all the same.</p>}
      <SignOutEverywhere />
    </>
  );
}
