import { curfew } from "@curfew/authjs";

import { options } from "../../../auth";
import { callBackend } from "../../../server/backend";
import { apiCaller } from "../../../server/caller";
import { foreign, fromOwnPage, problem } from "../../../server/origin";

/** The notes of whoever is signed in, which the backend keeps. */
export async function GET(): Promise<Response> {
  return passOn();
}

/** One more: {"text": …}. */
export async function POST(request: Request): Promise<Response> {
  if (!fromOwnPage(request)) return foreign();
  return passOn({ method: "POST", body: await request.text() });
}

async function passOn(init?: RequestInit): Promise<Response> {
  const session = await apiCaller();
  if (session instanceof Response) return session;
  let answer: Response;
  try {
    answer = await callBackend(curfew(options).identity(session), "/api/notes", init);
  } catch {
    return problem(502, "backend_unreachable", "The notes can't be reached at the moment.");
  }
  const type = answer.headers.get("Content-Type") ?? "text/plain";
  return new Response(await answer.text(), { status: answer.status, headers: { "Content-Type": type, "Cache-Control": "no-store" } });
}
