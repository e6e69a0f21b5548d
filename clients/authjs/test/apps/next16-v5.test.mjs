// Next.js 16 with Auth.js 5: the proxy on Node, route handlers, server components, the pages' API and a route on the edge.
import assert from "node:assert/strict";
import { test } from "node:test";

import { Browser } from "../rig/browser.mjs";
import { site } from "../rig/nextapp.mjs";
import { until } from "../rig/server.mjs";

const at = site("next16-v5");
const reads = ["/api/me", "/api/handler", "/api/pages", "/api/edge"];


const browser = (app = at.app) => new Browser(app.url, { basePath: "/api/auth" });

test("trap: without Curfew a copied cookie is good after the sign-out: in the proxy, in handlers of all forms, in pages and on the edge", async () => {
  const alice = await browser(at.plain).signIn("alice");
  const thief = alice.copy();
  await alice.signOut();
  for (const path of reads) assert.equal((await thief.copy().get(path)).status, 200, path);
  const dash = await thief.copy().get("/dash");
  assert.match(dash.body, /dash of (<!-- -->)?alice/);
  assert.equal(dash.headers.get("x-proxy"), "signed in");
});

test("a copied cookie is over with its session in the proxy, in handlers of all forms, in pages and on the edge; another device isn't", async () => {
  const [alice, phone] = [await browser().signIn("alice"), await browser().signIn("alice")];
  const thief = alice.copy();
  for (const path of reads) assert.equal((await thief.copy().get(path)).status, 200, path);
  const dash = await thief.copy().get("/dash");
  assert.match(dash.body, /dash of (<!-- -->)?alice/);
  assert.equal(dash.headers.get("x-proxy"), "signed in");
  await alice.signOut();
  for (const path of ["/api/me", "/api/handler", "/api/pages"]) assert.equal((await thief.copy().get(path)).status, 401, path);
  // The edge has a memory of its own.
  await until("the edge knows", async () => (await thief.copy().get("/api/edge")).status === 401, 2500);
  const over = await thief.copy().get("/dash");
  assert.deepEqual([over.status, over.headers.get("location")?.endsWith("/api/auth/signin")], [307, true]);
  assert.equal((await thief.copy().get("/api/me")).headers.get("x-proxy"), "nobody");
  assert.equal(await thief.session(), null);
  assert.equal(thief.sessionCookie, "");
  assert.equal((await phone.get("/api/me")).status, 200);
});

test("everywhere ends all of a user's sessions and nobody else's, and a new login works at once", async () => {
  const [laptop, phone, bob] = [await browser().signIn("ada"), await browser().signIn("ada"), await browser().signIn("bob")];
  await at.server.call("POST", "/v1/revocations", { scope: "user", user: "u-ada" });
  const again = await browser().signIn("ada");
  for (const path of reads) {
    for (const device of [laptop, phone]) assert.equal((await device.copy().get(path)).status, 401, path);
    for (const device of [again, bob]) assert.equal((await device.copy().get(path)).status, 200, path);
  }
});

test("trap: getToken takes the revoked cookie, getTokenChecked doesn't", async () => {
  const alice = await browser().signIn("alice");
  const thief = alice.copy();
  assert.deepEqual((await thief.get("/api/token")).body, { plain: "alice", checked: "alice" });
  await alice.signOut();
  assert.deepEqual((await thief.copy().get("/api/token")).body, { plain: "alice", checked: null });
});

test("trap: one page is two bundles — the proxy's and the routes' — and one question", async () => {
  const alice = await browser().signIn("bundles");
  const asked = async () => (await browser().get("/api/stats")).body.asked;
  const before = await asked();
  assert.equal((await alice.get("/api/me")).status, 200);
  assert.equal((await asked()) - before, 1);
});

test("a page of the application gets a ticket, and its list of sessions has the browser it signed in with", async () => {
  const agent = "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0";
  const alice = await new Browser(at.app.url, { basePath: "/api/auth", headers: { "user-agent": agent } }).signIn("listed");
  const got = await alice.fetch("/api/ticket", { method: "POST", headers: { "sec-fetch-site": "same-origin", origin: at.app.url } });
  assert.equal(got.status, 200, JSON.stringify(got.body));
  assert.equal((await alice.fetch("/api/ticket", { method: "POST", headers: { "sec-fetch-site": "cross-site", origin: "https://evil.example" } })).status, 403);
  assert.equal((await alice.get("/api/ticket")).status, 405);
  const { sid } = await alice.session();
  assert.equal((await at.server.session(sid)).name, "Firefox on Linux");
});

test("closed, while Curfew is away: nobody is signed in, for all forms of auth; the cookie is kept, and the session is back", async () => {
  const alice = await browser().signIn("outage");
  for (const path of reads) assert.equal((await alice.copy().get(path)).status, 200, path);
  await at.server.freeze();
  const cookie = alice.sessionCookie;
  for (const path of reads) await until(`nobody at ${path}`, async () => (await alice.copy().get(path)).status === 401, 5000);
  const page = await alice.copy().get("/dash");
  assert.equal(page.status, 307);
  assert.equal((await alice.session()).error, "RevocationUnavailable");
  assert.equal(alice.sessionCookie, cookie);
  const ticket = await alice.copy().fetch("/api/ticket", { method: "POST", headers: { "sec-fetch-site": "same-origin", origin: at.app.url } });
  assert.equal(ticket.status, 503);
  at.server.thaw();
  for (const path of reads) await until(`back at ${path}`, async () => (await alice.copy().get(path)).status === 200);
});
