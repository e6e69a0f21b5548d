import { isUnavailable } from "@curfew/authjs";
import type { Session } from "next-auth";
import { redirect } from "next/navigation";

import { rawAuth } from "../auth";
import { nobody, problem } from "./origin";

/** Returns the session of whoever calls the API, or the answer to give them. That it can't be told is another answer than that nobody is signed in. */
export async function apiCaller(): Promise<Session | Response> {
  const session = await rawAuth();
  if (isUnavailable(session)) return problem(503, "session_undetermined", "Whether you are still signed in can’t be checked at the moment.");
  return session ?? nobody();
}

/** Returns the session of whoever looks at a page, or leads elsewhere. The proxy has looked before; this doesn't rely on it. */
export async function pageCaller(): Promise<Session> {
  const session = await rawAuth();
  if (isUnavailable(session)) redirect("/unavailable");
  return session ?? redirect("/signin");
}
