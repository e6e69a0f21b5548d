import type { CurfewOptions } from "@curfew/authjs";

export const options: CurfewOptions = { url: process.env.CURFEW_URL!, apiKey: process.env.CURFEW_API_KEY!, maxStaleMs: 0 };

/** The same application, as it was before. */
export const plain = !!process.env.WITHOUT_CURFEW;
