"use server";

import { ApiError, curfew, RevocationPendingError, SessionRequiredError } from "@curfew/authjs";
import { revalidatePath } from "next/cache";

import { auth, options } from "../../../auth";

/** What became of an action, for the person. */
export interface Outcome {
  text: string;
  failed: boolean;
}

/** Ends one of the caller's sessions, or all but the one that asks. */
export async function end(_: Outcome | undefined, form: FormData): Promise<Outcome> {
  const server = curfew(options);
  const session = await auth();
  const sid = form.get("session");
  try {
    if (typeof sid === "string") await server.endSession(session, sid);
    else await server.signOutOthers(session);
  } catch (error) {
    return { text: failure(error), failed: true };
  }
  revalidatePath("/sessions");
  return { text: typeof sid === "string" ? "That session is over." : "You are signed out everywhere but here.", failed: false };
}

function failure(error: unknown): string {
  if (error instanceof RevocationPendingError) return "Curfew can’t be reached. This application refuses the session already, and tells everybody else as soon as it can.";
  if (error instanceof SessionRequiredError) return "You aren’t signed in any more, or that can’t be checked at the moment. Nothing was ended.";
  if (error instanceof ApiError && error.status === 404) return "There is no such session of yours.";
  return "That didn’t work, and nothing was ended. Try again.";
}
