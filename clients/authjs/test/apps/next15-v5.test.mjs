// Next.js 15 with Auth.js 5: a middleware on the edge that runs before the routes of Auth.js too, and sets the cookie anew with each answer.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { Browser } from "../rig/browser.mjs";
import { NextApp } from "../rig/nextapp.mjs";
import { Server, until } from "../rig/server.mjs";

let server, app;

before(async () => {
  server = await Server.start();
  app = NextApp.build("next15-v5");
  await app.start({ CURFEW_URL: server.url, CURFEW_API_KEY: await server.key() });
});

after(async () => {
  server?.thaw();
  await app?.stop();
  app?.remove();
  await server?.stop();
});

const agent = "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0";
const browser = () => new Browser(app.url, { basePath: "/api/auth", headers: { "user-agent": agent } });
const stopped = async (of) => (await of.copy().get("/dash")).headers.get("location")?.endsWith("from=middleware");

test("trap: the middleware sets the cookie anew even with the answer to the sign-out — it is nobody's", async () => {
  const alice = await browser().signIn("alice");
  const csrf = await alice.csrf();
  const got = await alice.fetch("/api/auth/signout", { method: "POST", form: { csrfToken: csrf } });
  const set = got.cookies.filter((line) => /session-token=[^;]/.test(line));
  for (const line of set) {
    const [, name, value] = /^([^=]+)=([^;]*)/.exec(line);
    const back = new Browser(app.url, { basePath: "/api/auth", jar: new Map([[name, value]]) });
    await until("nobody at the routes", async () => (await back.copy().get("/api/me")).status === 401, 2500);
    assert.equal(await back.session(), null);
  }
  assert.ok(set.length > 0, "what this test is about happens");
});

test("a copied cookie is over with its session, at the middleware on the edge and in routes and pages; another device isn't", async () => {
  const [alice, phone] = [await browser().signIn("alice"), await browser().signIn("alice")];
  const thief = alice.copy();
  assert.match((await thief.copy().get("/dash")).body, /dash of (<!-- -->)?alice/);
  const { sid } = await alice.session();
  assert.equal((await server.session(sid)).name, "Firefox on Linux");
  await alice.signOut();
  assert.equal((await thief.copy().get("/api/me")).status, 401);
  await until("the middleware knows", () => stopped(thief), 2500);
  assert.equal((await thief.copy().get("/api/me")).headers.get("x-middleware-saw"), "nobody");
  assert.equal((await phone.get("/api/me")).headers.get("x-middleware-saw"), "signed in");
});

test("closed, while Curfew is away: the middleware sees nobody, the cookie is kept, and the session is back", async () => {
  const alice = await browser().signIn("outage");
  assert.equal((await alice.copy().get("/api/me")).status, 200);
  await server.freeze();
  const cookie = alice.sessionCookie;
  await until("nobody at the middleware", () => stopped(alice), 5000);
  assert.equal((await alice.session()).error, "RevocationUnavailable");
  assert.equal(alice.sessionCookie, cookie);
  server.thaw();
  await until("back at the middleware", async () => (await alice.copy().get("/dash")).status === 200);
});
