// Next.js 15 with NextAuth.js 4: its middleware on the edge, which runs no callback, route handlers and server components.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { Browser } from "../rig/browser.mjs";
import { NextApp } from "../rig/nextapp.mjs";
import { Server, until } from "../rig/server.mjs";

let server, app;

before(async () => {
  server = await Server.start();
  app = NextApp.build("next15-v4");
  await app.start({ CURFEW_URL: server.url, CURFEW_API_KEY: await server.key() });
});

after(async () => {
  server?.thaw();
  await app?.stop();
  app?.remove();
  await server?.stop();
});

const browser = () => new Browser(app.url, { basePath: "/api/auth" });

/** dash returns where /dash leads: the middleware on the edge adds the page as callbackUrl, the page itself doesn't. */
async function dash(of) {
  const got = await of.copy().get("/dash");
  return got.status === 200 ? "dash" : got.headers.get("location")?.includes("callbackUrl") ? "stopped by the middleware" : "stopped by the page";
}

test("a copied cookie is over with its session, at the middleware on the edge, in handlers and in pages; another device isn't", async () => {
  const [alice, phone] = [await browser().signIn("alice"), await browser().signIn("alice")];
  const thief = alice.copy();
  assert.equal((await thief.copy().get("/api/me")).status, 200);
  assert.equal(await dash(thief), "dash");
  await alice.signOut();
  assert.equal((await thief.copy().get("/api/me")).status, 401);
  await until("the middleware knows", async () => (await dash(thief)) === "stopped by the middleware", 2500);
  assert.deepEqual(await thief.session(), {});
  assert.equal(thief.sessionCookie, "");
  assert.equal((await phone.get("/api/me")).status, 200);
  assert.equal(await dash(phone), "dash");
});

test("a page of the application gets a ticket", async () => {
  const alice = await browser().signIn("ticket");
  const got = await alice.fetch("/api/ticket", { method: "POST", headers: { "sec-fetch-site": "same-origin", origin: app.url } });
  assert.equal(got.status, 200, JSON.stringify(got.body));
  assert.equal((await browser().fetch("/api/ticket", { method: "POST", headers: { "sec-fetch-site": "same-origin", origin: app.url } })).status, 401);
});

test("closed, while Curfew is away: nobody is signed in, the cookie is kept, and the session is back", async () => {
  const alice = await browser().signIn("outage");
  assert.equal(await dash(alice), "dash");
  await server.freeze();
  const cookie = alice.sessionCookie;
  await until("nobody at /api/me", async () => (await alice.copy().get("/api/me")).status === 401, 5000);
  await until("nobody at the middleware", async () => (await dash(alice)) === "stopped by the middleware", 5000);
  assert.equal((await alice.session()).error, "RevocationUnavailable");
  assert.equal(alice.sessionCookie, cookie);
  server.thaw();
  await until("back at /api/me", async () => (await alice.copy().get("/api/me")).status === 200);
  await until("back at /dash", async () => (await dash(alice)) === "dash");
});
