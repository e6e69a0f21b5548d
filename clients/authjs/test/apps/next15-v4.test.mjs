// Next.js 15 with NextAuth.js 4: its middleware on the edge, which runs no callback, route handlers and server components.
import assert from "node:assert/strict";
import { test } from "node:test";

import { Browser } from "../rig/browser.mjs";
import { site } from "../rig/nextapp.mjs";
import { until } from "../rig/server.mjs";

const at = site("next15-v4");


const browser = (app = at.app) => new Browser(app.url, { basePath: "/api/auth" });

/** dash returns where /dash leads: the middleware on the edge adds the page as callbackUrl, the page itself doesn't. */
async function dash(of) {
  const got = await of.copy().get("/dash");
  return got.status === 200 ? "dash" : got.headers.get("location")?.includes("callbackUrl") ? "stopped by the middleware" : "stopped by the page";
}

test("trap: without Curfew a copied cookie is good after the sign-out, at the middleware on the edge, in handlers and in pages", async () => {
  const alice = await browser(at.plain).signIn("alice");
  const thief = alice.copy();
  await alice.signOut();
  assert.equal((await thief.copy().get("/api/me")).status, 200);
  assert.equal(await dash(thief), "dash");
});

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

test("everywhere ends all of a user's sessions and nobody else's, and a new login works at once", async () => {
  const [laptop, phone, bob] = [await browser().signIn("ada"), await browser().signIn("ada"), await browser().signIn("bob")];
  await at.server.call("POST", "/v1/revocations", { scope: "user", user: "u-ada" });
  const again = await browser().signIn("ada");
  for (const device of [laptop, phone]) assert.deepEqual([(await device.copy().get("/api/me")).status, await dash(device)], [401, "stopped by the middleware"]);
  for (const device of [again, bob]) assert.deepEqual([(await device.copy().get("/api/me")).status, await dash(device)], [200, "dash"]);
});

test("a page of the application gets a ticket", async () => {
  const alice = await browser().signIn("ticket");
  const got = await alice.fetch("/api/ticket", { method: "POST", headers: { "sec-fetch-site": "same-origin", origin: at.app.url } });
  assert.equal(got.status, 200, JSON.stringify(got.body));
  assert.equal((await browser().fetch("/api/ticket", { method: "POST", headers: { "sec-fetch-site": "same-origin", origin: at.app.url } })).status, 401);
});

test("closed, while Curfew is away: nobody is signed in, the cookie is kept, and the session is back", async () => {
  const alice = await browser().signIn("outage");
  assert.equal(await dash(alice), "dash");
  await at.server.freeze();
  const cookie = alice.sessionCookie;
  await until("nobody at /api/me", async () => (await alice.copy().get("/api/me")).status === 401, 5000);
  await until("nobody at the middleware", async () => (await dash(alice)) === "stopped by the middleware", 5000);
  assert.equal((await alice.session()).error, "RevocationUnavailable");
  assert.equal(alice.sessionCookie, cookie);
  at.server.thaw();
  await until("back at /api/me", async () => (await alice.copy().get("/api/me")).status === 200);
  await until("back at /dash", async () => (await dash(alice)) === "dash");
});
