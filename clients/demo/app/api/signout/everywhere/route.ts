import { curfew, RevocationPendingError } from "@curfew/authjs";
import { clearSiteData } from "@curfew/browser/server";

import { options, signOut } from "../../../../auth";
import { apiCaller } from "../../../../server/caller";
import { confirmations, expected } from "../../../../server/confirmation";
import { foreign, fromOwnPage, problem } from "../../../../server/origin";

/** Ends all sessions of whoever asks, and then tells, in one line of JSON for each change, how many services know and how many tabs are gone. */
export async function POST(request: Request): Promise<Response> {
  if (!fromOwnPage(request)) return foreign();
  const session = await apiCaller();
  if (session instanceof Response) return session;
  const server = curfew(options);
  const caller = server.identity(session);
  const before = await expected(caller.user);
  let position: number;
  try {
    ({ position } = await server.signOutEverywhere(session));
  } catch (error) {
    if (!(error instanceof RevocationPendingError)) return problem(503, "not_signed_out", "Nothing was signed out. Try again.");
    await signOut({ redirect: false });
    // Kept, and not yet known to anybody else: that must not look like success.
    return Response.json({ code: "pending" }, { status: 202, headers: clearSiteData() });
  }
  await signOut({ redirect: false });
  return new Response(lines(confirmations(caller, position, before)), { headers: { "Content-Type": "application/x-ndjson", "X-Accel-Buffering": "no", ...clearSiteData() } });
}

/** Writes each as a line of JSON. Nobody is asked any more once the page has gone. */
function lines(values: AsyncGenerator<unknown>): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  return new ReadableStream({
    async pull(controller) {
      const { done, value } = await values.next();
      if (done) controller.close();
      else controller.enqueue(encoder.encode(`${JSON.stringify(value)}\n`));
    },
    cancel: () => void values.return(undefined),
  });
}
