import type { CurfewOptions } from "@curfew/authjs";
import { failClosed, requestInfo, withRevocation } from "@curfew/authjs/authjs";
import NextAuth from "next-auth";
import Credentials from "next-auth/providers/credentials";
import { headers } from "next/headers";

import { currentDevice } from "./server/device";
import { personBy } from "./server/people";

/** How this application reaches Curfew. */
export const options: CurfewOptions = {
  url: process.env.CURFEW_URL!,
  apiKey: process.env.CURFEW_API_KEY!,
  request: async () => requestInfo(await headers()),
};

// The line that matters is the one with withRevocation: all else is Auth.js as it always is.
export const { handlers, auth: rawAuth, signIn, signOut } = NextAuth(
  withRevocation(
    {
      session: { strategy: "jwt", maxAge: 7 * 24 * 3600 },
      pages: { signIn: "/signin" },
      trustHost: true,
      providers: [Credentials({ credentials: { name: {}, password: {} }, authorize: ({ name, password }) => personBy(name, password) })],
      callbacks: {
        // Once, at sign-in: the list of sessions shows those of one browser together.
        jwt: async ({ token, user }) => (user ? { ...token, device_id: await currentDevice() } : token),
      },
    },
    options,
  ),
);

/** Says who is signed in: nobody, where that can't be checked. */
export const auth = failClosed(rawAuth);
