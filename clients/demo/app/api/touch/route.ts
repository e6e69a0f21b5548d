import { touchHandler } from "@curfew/authjs/authjs";

import { auth, options } from "../../../auth";

/** A page says that its person has done something. */
export const POST = touchHandler(auth, options);
