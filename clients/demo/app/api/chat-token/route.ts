import { auth } from "../../../auth";
import { chatToken } from "../../../server/backend";
import { foreign, fromOwnPage, nobody } from "../../../server/origin";

/** A token with which the page opens the chat, once. */
export async function POST(request: Request): Promise<Response> {
  if (!fromOwnPage(request)) return foreign();
  const session = await auth();
  return session ? Response.json({ token: chatToken(session) }, { headers: { "Cache-Control": "no-store" } }) : nobody();
}
