import { ticketHandler } from "@curfew/authjs/next-auth4";

import { auth } from "../../../auth";
import { options } from "../../../options";

export const POST = ticketHandler(auth, options);
