import { getTokenChecked } from "@curfew/authjs/authjs";
import { getToken } from "next-auth/jwt";

import { options } from "../../../auth";

export async function GET(request: Request) {
  const params = { req: request, secret: process.env.AUTH_SECRET! };
  const [plain, checked] = [await getToken(params), await getTokenChecked(params, options)];
  return Response.json({ plain: plain?.name ?? null, checked: checked?.name ?? null });
}
