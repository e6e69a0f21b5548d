import { isUnavailable } from "@curfew/authjs";
import type { Metadata } from "next";
import { redirect } from "next/navigation";

import { rawAuth } from "../../auth";

export const metadata: Metadata = { title: "One moment", other: { refresh: "5" } };

/** Stands in for a page while it can't be told whether its session is over. */
export default async function Unavailable() {
  if (!isUnavailable(await rawAuth())) redirect("/sessions");
  return (
    <main className="lone">
      <h1>One moment</h1>
      <p role="status">Whether you are still signed in can’t be checked at the moment, so nothing of yours is shown. You aren’t signed out: this page looks again every five seconds.</p>
      <p>
        <a className="button" href="">
          Look again
        </a>
      </p>
    </main>
  );
}
