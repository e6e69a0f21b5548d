import { chatToken } from "../../../server/backend";
import { apiCaller } from "../../../server/caller";
import { foreign, fromOwnPage } from "../../../server/origin";

/** A token with which the page opens the chat, once. */
export async function POST(request: Request): Promise<Response> {
  if (!fromOwnPage(request)) return foreign();
  const session = await apiCaller();
  return session instanceof Response ? session : Response.json({ token: chatToken(session) }, { headers: { "Cache-Control": "no-store" } });
}
