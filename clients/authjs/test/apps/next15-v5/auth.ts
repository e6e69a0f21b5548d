import type { CurfewOptions } from "@curfew/authjs";
import { failClosed, requestInfo, withRevocation } from "@curfew/authjs/authjs";
import NextAuth, { type NextAuthConfig } from "next-auth";
import Credentials from "next-auth/providers/credentials";
import { headers } from "next/headers";

export const options: CurfewOptions = {
  url: process.env.CURFEW_URL!,
  apiKey: process.env.CURFEW_API_KEY!,
  maxStaleMs: 0,
  request: async () => requestInfo(await headers()),
};

const config: NextAuthConfig = {
  providers: [Credentials({ credentials: { email: {} }, authorize: ({ email }) => ({ id: `u-${email}`, name: String(email) }) })],
};

// The same application, as it was before.
const plain = !!process.env.WITHOUT_CURFEW;

export const { handlers, auth: rawAuth } = NextAuth(plain ? config : withRevocation(config, options));
export const auth = plain ? rawAuth : failClosed(rawAuth);
