// An application of NextAuth.js 4 without Next.js: its handler takes requests as the pages of Next.js have them.
import express from "express";
import NextAuthModule from "next-auth";
import CredentialsModule from "next-auth/providers/credentials";

import { serve } from "./serve.mjs";

const NextAuth = NextAuthModule.default ?? NextAuthModule;
const Credentials = CredentialsModule.default ?? CredentialsModule;
export const { getServerSession } = NextAuthModule;
export const secret = "a secret of these tests, not of anybody";

export function config(more = {}) {
  return {
    secret, logger: { error() {}, warn() {}, debug() {} },
    providers: [Credentials({ credentials: { email: {} }, authorize: async ({ email }) => ({ id: `u-${email}`, name: email }) })],
    ...more,
  };
}

/** start serves an application; NEXTAUTH_URL is one for a process, so each test has one application at a time. */
export async function start(authOptions, { read = getServerSession, routes = () => {} } = {}) {
  const app = express();
  app.use(express.json(), express.urlencoded({ extended: true }));
  app.use((req, _res, next) => {
    req.cookies = Object.fromEntries((req.headers.cookie ?? "").split("; ").filter(Boolean).map((pair) => [pair.slice(0, pair.indexOf("=")), decodeURIComponent(pair.slice(pair.indexOf("=") + 1))]));
    next();
  });
  app.all("/api/auth/*", (req, res) => {
    req.query.nextauth = req.params[0].split("/");
    return NextAuth(req, res, authOptions);
  });
  app.get("/api/me", async (req, res) => {
    const found = await read(req, res, authOptions);
    res.status(found?.user ? 200 : 401).json(found);
  });
  routes(app);
  const web = await serve(app);
  process.env.NEXTAUTH_URL = web.url;
  return web;
}
