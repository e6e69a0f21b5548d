// An application of Express with Auth.js 5.
import Credentials from "@auth/core/providers/credentials";
import { ExpressAuth, getSession } from "@auth/express";
import express from "express";

import { serve } from "./serve.mjs";

export const secret = "a secret of these tests, not of anybody";
const silent = { error() {}, warn() {}, debug() {} };

/** config is that of an application which knows nothing of Curfew. */
export function config(more = {}) {
  return {
    secret, trustHost: true, logger: silent,
    providers: [Credentials({ credentials: { email: {} }, authorize: ({ email }) => ({ id: `u-${email}`, name: email }) })],
    ...more,
  };
}

/** start serves an application: /api/me tells who is signed in, and routes adds more. */
export async function start(authConfig, { routes = () => {}, read = getSession } = {}) {
  const app = express();
  app.set("trust proxy", true);
  app.use("/auth", ExpressAuth(authConfig));
  const session = (req) => read(req, { ...authConfig, basePath: "/auth" });
  app.get("/api/me", async (req, res) => {
    const found = await session(req);
    res.status(found?.user ? 200 : 401).json(found);
  });
  routes(app, session);
  return serve(app);
}
