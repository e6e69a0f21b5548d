import { curfew } from "@curfew/authjs";

import { options } from "../../../auth";

export const dynamic = "force-dynamic";

export function GET() {
  return Response.json(curfew(options).stats());
}
