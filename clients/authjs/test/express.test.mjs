// What Auth.js leaves open without Curfew, and the same with it: over HTTP, with the real @auth/express and a real server.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { decode } from "@auth/core/jwt";
import { curfew } from "@curfew/authjs";
import { withRevocation } from "@curfew/authjs/authjs";

import { config, secret, start } from "./rig/app.mjs";
import { Browser } from "./rig/browser.mjs";
import { Front } from "./rig/front.mjs";
import { Server } from "./rig/server.mjs";

let server, front, options, guarded, open;

before(async () => {
  server = await Server.start();
  front = await Front.start(server);
  options = await server.options({ url: front.url });
  guarded = await start(withRevocation(config(), options), {
    routes(app, session) {
      app.post("/others", async (req, res) => res.json(await curfew(options).signOutOthers(await session(req))));
      app.post("/everywhere", async (req, res) => res.json(await curfew(options).signOutEverywhere(await session(req))));
    },
  });
  open = await start(config());
});

after(async () => {
  await curfew(options).close();
  await guarded?.close();
  await open?.close();
  await front?.stop();
  await server?.stop();
});

test("trap: without Curfew a copied cookie is good after the sign-out, and renews itself", async () => {
  const alice = await new Browser(open.url).signIn();
  const thief = alice.copy();
  await alice.signOut();
  assert.equal((await alice.get("/api/me")).status, 401);
  const stolen = thief.sessionCookie;
  assert.equal((await thief.get("/api/me")).status, 200);
  assert.equal((await thief.session()).user.name, "alice");
  assert.notEqual(thief.sessionCookie, stolen, "the cookie was signed again");
});

test("a copied cookie is over with its session, and another device of the same user isn't", async () => {
  const alice = await new Browser(guarded.url).signIn();
  const phone = await new Browser(guarded.url).signIn();
  const thief = alice.copy();
  assert.equal((await thief.get("/api/me")).status, 200);
  await alice.signOut();
  assert.equal((await thief.get("/api/me")).status, 401);
  assert.equal(await thief.session(), null);
  assert.equal(thief.sessionCookie, "", "the thief's browser is told to drop the cookie");
  assert.equal((await phone.get("/api/me")).status, 200);
});

test("everywhere ends all of a user's sessions and nobody else's, and a new login works at once", async () => {
  const [laptop, phone, bob] = await Promise.all([new Browser(guarded.url).signIn("ada"), new Browser(guarded.url).signIn("ada"), new Browser(guarded.url).signIn("bob")]);
  assert.equal((await laptop.fetch("/everywhere", { method: "POST" })).status, 200);
  assert.equal((await laptop.get("/api/me")).status, 401);
  assert.equal((await phone.get("/api/me")).status, 401);
  assert.equal((await bob.get("/api/me")).status, 200);
  assert.equal((await (await new Browser(guarded.url).signIn("ada")).get("/api/me")).status, 200);
});

test("others keeps the session that asks", async () => {
  const [laptop, phone, tablet] = await Promise.all(["eve", "eve", "eve"].map((name) => new Browser(guarded.url).signIn(name)));
  assert.equal((await laptop.fetch("/others", { method: "POST" })).status, 200);
  assert.equal((await laptop.get("/api/me")).status, 200);
  assert.equal((await phone.get("/api/me")).status, 401);
  assert.equal((await tablet.get("/api/me")).status, 401);
});

test("trap: a new login right after logging out everywhere is refused — not in fifty turns", async () => {
  for (let i = 0; i < 50; i++) {
    const browser = await new Browser(guarded.url).signIn("loop");
    assert.equal((await browser.get("/api/me")).status, 200, `turn ${i}`);
    assert.equal((await browser.fetch("/everywhere", { method: "POST" })).status, 200);
    assert.equal((await browser.get("/api/me")).status, 401, `turn ${i}`);
  }
});

for (const [dated, register] of [["by the registry", true], ["by this machine", false]]) {
  test(`trap: nor where this machine's clock is ahead of the server's, for sessions that are dated ${dated}`, async (t) => {
    const own = await server.options({ register });
    const app = await start(withRevocation(config(), own), { routes: (web, session) => web.post("/everywhere", async (req, res) => res.json(await curfew(own).signOutEverywhere(await session(req)))) });
    t.after(async () => {
      await curfew(own).close();
      await app.close();
    });
    t.mock.timers.enable({ apis: ["Date"], now: Date.now() + 4000 });
    for (let i = 0; i < 5; i++) {
      const browser = await new Browser(app.url).signIn(`ahead-${register}`);
      assert.equal((await browser.get("/api/me")).status, 200, `turn ${i}`);
      t.mock.timers.tick(10);
      assert.equal((await browser.fetch("/everywhere", { method: "POST" })).status, 200);
      assert.equal((await browser.get("/api/me")).status, 401, `turn ${i}`);
    }
  });
}

test("trap: each read signs the cookie again with a new jti and iat — the session and its auth time stay", async () => {
  const alice = await new Browser(guarded.url).signIn();
  const read = (browser) => decode({ token: browser.sessionCookie, secret, salt: "authjs.session-token" });
  const first = await read(alice);
  const stolen = alice.copy();
  await alice.session();
  const second = await read(alice);
  assert.notEqual(second.jti, first.jti);
  assert.equal(second.sid, first.sid);
  assert.equal(second.auth_time_ms, first.auth_time_ms);
  assert.equal(second.auth_time, Math.floor(first.auth_time_ms / 1000));
  assert.ok(Number.isSafeInteger(first.auth_time_ms));
  await alice.signOut();
  assert.equal((await stolen.get("/api/me")).status, 401, "the copy from before the new signature");
});

test("a sign-in is listed with its browser and its network, and takes the registry's auth time", async () => {
  const agent = "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0";
  const listed = await start(withRevocation(config(), { ...options, request: () => ({ userAgent: agent, ip: "203.0.113.9" }) }));
  try {
    // The registry dates a new session behind every logout that it knows of: here one that a clock ahead of ours has stamped.
    const cutoff = Date.now() + 4000;
    await server.call("POST", "/v1/revocations", { scope: "user", user: "u-listed", cutoff: new Date(cutoff).toISOString() });
    const browser = await new Browser(listed.url).signIn("listed");
    const token = await decode({ token: browser.sessionCookie, secret, salt: "authjs.session-token" });
    const session = await server.session(token.sid);
    assert.equal(Date.parse(session.auth_time), token.auth_time_ms);
    assert.ok(token.auth_time_ms > cutoff);
    assert.deepEqual([session.user, session.name, session.ip, session.state], ["u-listed", "Firefox on Linux", "203.0.113.0/24", "active"]);
    assert.equal((await browser.get("/api/me")).status, 200, "and so it isn't refused");
  } finally {
    await listed.close();
  }
});

test("a sign-in goes on while the registry is away, and says so once for the whole episode", async () => {
  const told = [];
  const own = await server.options({ url: front.url, onUnavailable: (event) => told.push(event) });
  const app = await start(withRevocation(config(), own));
  try {
    front.down.add("sessions");
    const one = await new Browser(app.url).signIn("unlisted");
    const two = await new Browser(app.url).signIn("unlisted");
    assert.equal((await one.get("/api/me")).status, 200);
    await two.signOut();
    assert.equal((await two.get("/api/me")).status, 401);
    front.down.clear();
    await new Browser(app.url).signIn("unlisted");
    assert.deepEqual(told.map(({ what, unavailable, error }) => [what, unavailable, error?.code]), [["register", true, "registry_unavailable"], ["register", false, undefined]]);
    assert.equal(curfew(own).stats().unregistered, 2);
  } finally {
    front.down.clear();
    await curfew(own).close();
    await app.close();
  }
});

test("a sign-out is one event that names the session, its user and its reason", async () => {
  const alice = await new Browser(guarded.url).signIn("once");
  const { sid } = await alice.session();
  await alice.signOut();
  const events = await server.events({ session: sid });
  assert.equal(events.length, 1);
  const { session, user, reason, initiator } = events[0].event.data;
  assert.deepEqual({ session, user, reason, initiator }, { session: sid, user: "u-once", reason: "user_logout", initiator: { type: "user" } });
});
