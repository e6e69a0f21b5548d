import type { CurfewOptions } from "@curfew/authjs";
import { failClosed, withRevocation } from "@curfew/authjs/next-auth4";
import { type AuthOptions, getServerSession } from "next-auth";
import Credentials from "next-auth/providers/credentials";

import { options } from "./options";

export const authOptions: AuthOptions = withRevocation(
  {
    providers: [Credentials({ name: "email", credentials: { email: {} }, authorize: async (given) => ({ id: `u-${given?.email}`, name: given?.email }) })],
  },
  options satisfies CurfewOptions,
);

export const auth = failClosed(() => getServerSession(authOptions));
