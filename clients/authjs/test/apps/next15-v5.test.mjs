// Next.js 15 with Auth.js 5: a middleware on the edge that runs before the routes of Auth.js too, and sets the cookie anew with each answer.
import assert from "node:assert/strict";
import { test } from "node:test";

import { Browser } from "../rig/browser.mjs";
import { site } from "../rig/nextapp.mjs";
import { until } from "../rig/server.mjs";

const at = site("next15-v5");


const agent = "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0";
const browser = (app = at.app) => new Browser(app.url, { basePath: "/api/auth", headers: { "user-agent": agent } });
const stopped = async (of) => (await of.copy().get("/dash")).headers.get("location")?.endsWith("from=middleware");

test("trap: without Curfew a copied cookie is good after the sign-out, at the middleware on the edge and in routes and pages", async () => {
  const alice = await browser(at.plain).signIn("alice");
  const thief = alice.copy();
  await alice.signOut();
  const me = await thief.copy().get("/api/me");
  assert.deepEqual([me.status, me.headers.get("x-middleware-saw")], [200, "signed in"]);
  assert.match((await thief.copy().get("/dash")).body, /dash of (<!-- -->)?alice/);
});

test("trap: the middleware sets the cookie anew even with the answer to the sign-out — it is nobody's", async () => {
  const alice = await browser().signIn("alice");
  const csrf = await alice.csrf();
  const got = await alice.fetch("/api/auth/signout", { method: "POST", form: { csrfToken: csrf } });
  const set = got.cookies.filter((line) => /session-token=[^;]/.test(line));
  for (const line of set) {
    const [, name, value] = /^([^=]+)=([^;]*)/.exec(line);
    const back = new Browser(at.app.url, { basePath: "/api/auth", jar: new Map([[name, value]]) });
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
  assert.equal((await at.server.session(sid)).name, "Firefox on Linux");
  await alice.signOut();
  assert.equal((await thief.copy().get("/api/me")).status, 401);
  await until("the middleware knows", () => stopped(thief), 2500);
  assert.equal((await thief.copy().get("/api/me")).headers.get("x-middleware-saw"), "nobody");
  assert.equal((await phone.get("/api/me")).headers.get("x-middleware-saw"), "signed in");
});

test("everywhere ends all of a user's sessions and nobody else's, and a new login works at once", async () => {
  const [laptop, phone, bob] = [await browser().signIn("ada"), await browser().signIn("ada"), await browser().signIn("bob")];
  await at.server.call("POST", "/v1/revocations", { scope: "user", user: "u-ada" });
  const again = await browser().signIn("ada");
  for (const device of [laptop, phone]) {
    assert.equal((await device.copy().get("/api/me")).status, 401);
    assert.ok(await stopped(device));
  }
  for (const device of [again, bob]) assert.equal((await device.copy().get("/api/me")).headers.get("x-middleware-saw"), "signed in");
});

test("closed, while Curfew is away: the middleware sees nobody, the cookie is kept, and the session is back", async () => {
  const alice = await browser().signIn("outage");
  assert.equal((await alice.copy().get("/api/me")).status, 200);
  await at.server.freeze();
  const cookie = alice.sessionCookie;
  await until("nobody at the middleware", () => stopped(alice), 5000);
  assert.equal((await alice.session()).error, "RevocationUnavailable");
  assert.equal(alice.sessionCookie, cookie);
  at.server.thaw();
  await until("back at the middleware", async () => (await alice.copy().get("/dash")).status === 200);
});
