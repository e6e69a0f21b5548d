import { ticketHandler } from "@curfew/authjs/authjs";

import { auth, options } from "../../../auth";

export const POST = ticketHandler(auth, options);
