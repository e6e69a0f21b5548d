// What must compile for an application, and what mustn't.
import { Auth, type AuthConfig } from "@auth/core";
import Credentials from "@auth/core/providers/credentials";
import type { Session } from "@auth/core/types";
import { ExpressAuth, getSession } from "@auth/express";
import { curfew, type CurfewOptions, type Receipt } from "@curfew/authjs";
import * as v5 from "@curfew/authjs/authjs";
import * as v4 from "@curfew/authjs/next-auth4";
import { FileOutbox } from "@curfew/authjs/node";
import NextAuth, { type AuthOptions, getServerSession, type Session as Session4 } from "next-auth";

const options: CurfewOptions = { url: "https://curfew.example.com", apiKey: "cfw_", outbox: new FileOutbox("/var/lib/shop/outbox"), onError: "open" };

const config = v5.withRevocation(
  {
    providers: [Credentials({ authorize: () => ({ id: "u-1" }) })],
    // The callbacks' parameters are known without being named.
    callbacks: { jwt: ({ token, user }) => ({ ...token, name: user?.name ?? token.name ?? null }), authorized: ({ auth, request }) => !!auth?.user || request.url === "/" },
  },
  options,
);
ExpressAuth(config);
export const lazy: (request: Request) => Promise<AuthConfig> = v5.withRevocation(async (request: Request) => ({ ...config, basePath: request.url }), curfew(options));
export const response: Promise<Response> = Auth(new Request("https://app.example.com"), config);
export const closed: typeof getSession = v5.failClosed(getSession);
export const auth = v5.failClosed((req: Parameters<typeof getSession>[0]) => getSession(req, config));
export const arrived: CurfewOptions["request"] = () => v5.requestInfo(undefined as Parameters<typeof getSession>[0] | undefined);
export const ticket = v5.ticketHandler(getSession, { ...options, origins: ["https://www.example.com"] });
export const token: Promise<string | null> = v5.getTokenChecked({ req: new Request("https://app.example.com"), secret: "", raw: true }, options);

const authOptions: AuthOptions = v4.withRevocation({ providers: [], callbacks: { session: ({ session, token }) => ({ ...session, name: token.name }) } }, options);
NextAuth.default(authOptions);
export const session: typeof getServerSession = v4.failClosed(getServerSession);
export const decode = { jwt: { decode: v4.checkedDecode(options) } };

// What auth() and getServerSession() return is taken as it is, null too.
export async function others(own: Session | null, older: Session4 | null): Promise<Receipt> {
  await curfew(options).listSessions(older);
  await curfew(options).listSessions({ sid: "s-1" });
  return curfew(options).signOutOthers(own, { reason: "password_changed" });
}

// @ts-expect-error a reason that the API doesn't know
void curfew(options).revokeUser("u-1", { reason: "because" });
// @ts-expect-error the key is required
curfew({ url: "https://curfew.example.com" });
// @ts-expect-error this isn't a configuration of Auth.js
v5.withRevocation({ providers: 3 }, options);
