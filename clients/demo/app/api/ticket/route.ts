import { ticketHandler } from "@curfew/authjs/authjs";

import { auth, options } from "../../../auth";

/** A page's ticket to the gateway, which tells it of its sign-out. */
export const POST = ticketHandler(auth, options);
