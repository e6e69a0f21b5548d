import { curfew } from "@curfew/authjs";

import { options } from "../../../options";

export const dynamic = "force-dynamic";

export function GET() {
  return Response.json(curfew(options).stats());
}
