import { failClosed, withRevocation } from "@curfew/authjs/next-auth4";
import { type AuthOptions, getServerSession } from "next-auth";
import Credentials from "next-auth/providers/credentials";

import { options, plain } from "./options";

const config: AuthOptions = {
  providers: [Credentials({ name: "email", credentials: { email: {} }, authorize: async (given) => ({ id: `u-${given?.email}`, name: given?.email }) })],
};

export const authOptions = plain ? config : withRevocation(config, options);

const read = () => getServerSession(authOptions);
export const auth = plain ? read : failClosed(read);
