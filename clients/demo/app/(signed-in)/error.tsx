"use client";

import { Failure } from "../../components/failure";

/** Stands here, so that the layout above goes on to listen for the end of the session. */
export default Failure;
