import { clearSiteData } from "@curfew/browser/server";

import { signOut } from "../../../auth";
import { foreign, fromOwnPage } from "../../../server/origin";

/** Signs out this session. The browser forgets what it has cached of it. */
export async function POST(request: Request): Promise<Response> {
  if (!fromOwnPage(request)) return foreign();
  await signOut({ redirect: false });
  return new Response(null, { status: 303, headers: { Location: "/signin?reason=user_logout", ...clearSiteData() } });
}
