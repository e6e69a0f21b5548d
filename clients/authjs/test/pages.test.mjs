// What pages call: tickets and the person's input; and what a server does for a person's list of sessions.
import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";
import { Auth } from "@auth/core";
import { getSession } from "@auth/express";
import { curfew } from "@curfew/authjs";
import { failClosed, requestInfo, ticketHandler, touchHandler, withRevocation } from "@curfew/authjs/authjs";

import { config, start } from "./rig/app.mjs";
import { Browser } from "./rig/browser.mjs";
import { Front } from "./rig/front.mjs";
import { Server, until } from "./rig/server.mjs";

const page = { origin: "http://app.example.com", "sec-fetch-site": "same-origin" };
let server, front, options, app, authConfig;

before(async () => {
  server = await Server.start(["--allowed-origins", page.origin]);
  front = await Front.start(server);
  options = await server.options({ url: front.url, onUnavailable() {}, cacheMs: 0, maxStaleMs: 0 });
  authConfig = { ...withRevocation(config(), options), basePath: "/auth" };
  app = await start(authConfig, {
    read: failClosed(getSession),
    routes(web, session) {
      web.all("/ticket", ticketHandler(failClosed((req) => getSession(req, authConfig)), { ...options, origins: ["https://www.example.com"] }));
      web.all("/touch", touchHandler((req) => getSession(req, authConfig), options));
      web.post("/call", async (req, res) => {
        const { method, args } = JSON.parse(await text(req));
        try {
          res.json({ result: await curfew(options)[method](await session(req), ...args) });
        } catch (error) {
          res.status(400).json({ error: error.name, code: error.code });
        }
      });
    },
  });
});

beforeEach(() => front.down.clear());

after(async () => {
  await curfew(options).close();
  await app?.close();
  await front?.stop();
  await server?.stop();
});

async function text(req) {
  let all = "";
  for await (const chunk of req) all += chunk;
  return all;
}

async function call(browser, method, ...args) {
  return (await browser.fetch("/call", { method: "POST", json: { method, args } })).body;
}

test("a signed-in page gets a ticket that the gateway takes", async () => {
  const alice = await new Browser(app.url).signIn();
  const got = await alice.fetch("/ticket", { method: "POST", headers: page });
  assert.equal(got.status, 200);
  assert.equal(got.headers.get("cache-control"), "no-store");
  const headers = { origin: page.origin, "content-type": "application/json" };
  const exchanged = await fetch(`${server.url}/v1/notices`, { method: "POST", headers, body: JSON.stringify({ ticket: got.body.ticket }) });
  assert.equal(exchanged.status, 204, "the gateway takes it");
});

test("trap: another site's page gets no ticket with the victim's cookie, by no method", async () => {
  const alice = await new Browser(app.url).signIn();
  const refused = [
    { origin: "https://evil.example", "sec-fetch-site": "cross-site" }, { origin: "http://evil.app.example.com", "sec-fetch-site": "same-site" }, { "sec-fetch-site": "none" },
    { origin: "https://evil.example" }, { origin: "null" }, {}, { origin: "https://evil.example", "x-forwarded-host": "app.example.com" },
  ];
  for (const headers of refused) {
    const got = await alice.fetch("/ticket", { method: "POST", headers });
    assert.equal(got.status, 403, JSON.stringify(headers));
    assert.equal(got.body.code, "origin_not_allowed");
  }
  for (const method of ["GET", "PUT", "DELETE", "PATCH"]) {
    const got = await alice.fetch("/ticket", { method, headers: page });
    assert.deepEqual([got.status, got.headers.get("allow")], [405, "POST"], method);
  }
  const old = await alice.fetch("/ticket", { method: "POST", headers: { origin: app.url } });
  assert.equal(old.status, 200, "a browser without Sec-Fetch-Site, by its Origin");
  const listed = await alice.fetch("/ticket", { method: "POST", headers: { origin: "https://www.example.com", "sec-fetch-site": "same-site" } });
  assert.equal(listed.status, 200, "an origin that was named");
});

test("401 is only who isn't signed in; what can't be told is 503, behind failClosed too", async () => {
  const alice = await new Browser(app.url).signIn();
  assert.equal((await new Browser(app.url).fetch("/ticket", { method: "POST", headers: page })).status, 401);
  const thief = alice.copy();
  front.down.add("check");
  const away = await alice.fetch("/ticket", { method: "POST", headers: page });
  assert.deepEqual([away.status, away.body.code, away.headers.get("retry-after")], [503, "session_undetermined", "1"]);
  front.down.clear();
  front.down.add("publish");
  await until("the check is done again, and no ticket is made", async () => (await alice.fetch("/ticket", { method: "POST", headers: page })).body.code === "registry_unavailable");
  front.down.clear();
  await alice.signOut();
  assert.equal((await thief.fetch("/ticket", { method: "POST", headers: page })).status, 401);
});

test("the person's input is told to the registry, and a session that has ended hears that", async () => {
  const alice = await new Browser(app.url).signIn("typing");
  const { sid } = await alice.session();
  const { last_seen_at: before } = await server.session(sid);
  const thief = alice.copy();
  await until("it is seen later", async () => {
    const got = await alice.fetch("/touch", { method: "POST", headers: page });
    assert.deepEqual([got.status, got.body], [200, { active: true }]);
    return (await server.session(sid)).last_seen_at > before;
  });
  assert.equal((await alice.fetch("/touch", { method: "POST", headers: { ...page, "sec-fetch-site": "cross-site" } })).status, 403);
  await alice.signOut();
  assert.equal((await thief.fetch("/touch", { method: "POST", headers: page })).status, 401);
});

test("a session that began while the registry was away is listed by the person's first input", async () => {
  front.down.add("sessions");
  const alice = await new Browser(app.url).signIn("unlisted");
  const { sid } = await alice.session();
  front.down.clear();
  assert.equal((await server.session(sid)).code, "session_unknown");
  assert.equal((await alice.fetch("/touch", { method: "POST", headers: page })).status, 200);
  assert.equal((await server.session(sid)).user, "u-unlisted");
  assert.equal((await alice.get("/api/me")).status, 200);
});

test("a person's list of sessions, and the end of one of them", async () => {
  const [laptop, phone] = [await new Browser(app.url).signIn("lister"), await new Browser(app.url).signIn("lister")];
  const mallory = await new Browser(app.url).signIn("mallory");
  const [mine, theirs] = [await laptop.session(), await phone.session()];
  const { result } = await call(laptop, "listSessions");
  assert.deepEqual(result.sessions.map(({ session, current }) => [session, current]).sort(), [[mine.sid, true], [theirs.sid, false]].sort());
  // trap: a page passes on whatever a browser sends
  assert.deepEqual(await call(mallory, "endSession", theirs.sid), { error: "ApiError", code: "session_unknown" });
  for (const odd of ["..", "../users/x", "", "s".repeat(300), "nobody's"]) assert.equal((await call(laptop, "endSession", odd)).error !== undefined, true, odd);
  assert.equal((await phone.get("/api/me")).status, 200);
  assert.ok((await call(laptop, "endSession", theirs.sid)).result.position > 0);
  assert.equal((await phone.get("/api/me")).status, 401);
  assert.equal((await laptop.get("/api/me")).status, 200);
  const states = (await call(laptop, "listSessions")).result.sessions.map(({ session, state }) => [session, state]);
  assert.deepEqual(states.sort(), [[mine.sid, "active"], [theirs.sid, "ended"]].sort());
  assert.deepEqual((await call(laptop, "listSessions", { ended: false })).result.sessions.map(({ session }) => session), [mine.sid]);
});

test("trap: \"others\" without the caller's own session is refused and never widened", async () => {
  const browser = await new Browser(app.url).signIn("widened");
  const client = curfew(options);
  for (const session of [null, undefined, {}, { sid: "" }, { sid: 5 }, { sid: "not-read-here" }, { user: { id: "u-widened" } }]) {
    await assert.rejects(client.signOutOthers(session), { name: "SessionRequiredError" }, JSON.stringify(session));
    await assert.rejects(client.signOutEverywhere(session), { name: "SessionRequiredError" });
    await assert.rejects(client.listSessions(session), { name: "SessionRequiredError" });
  }
  await assert.rejects(client.revokeUser(""), { name: "SessionRequiredError" });
  await assert.rejects(client.revokeUser(undefined), { name: "SessionRequiredError" });
  assert.equal((await browser.get("/api/me")).status, 200);
  assert.equal((await server.events({ user: "u-widened" })).length, 0);
});

test("a change of the password ends all sessions but those that are kept, with its reason and the person's text", async () => {
  const [laptop, phone] = [await new Browser(app.url).signIn("changed"), await new Browser(app.url).signIn("changed")];
  const { sid } = await laptop.session();
  await phone.session();
  await curfew(options).revokeUser("u-changed", { reason: "password_changed", except: [sid], reasonUser: "Your password was changed." });
  assert.equal((await laptop.get("/api/me")).status, 200);
  assert.equal((await phone.get("/api/me")).status, 401);
  const [{ event }] = await server.events({ user: "u-changed" });
  assert.deepEqual([event.data.reason, event.data.reason_user, event.data.except], ["password_changed", "Your password was changed.", [sid]]);
});

test("users whose ids can't stand in a path are logged out all the same", async () => {
  for (const user of [".", "..", "a/b?c#d", "ü 100%"]) {
    const client = curfew(options);
    client.remember({ session: `s-${user}`, user, authTimeMs: Date.now() });
    await client.signOutOthers({ sid: `s-${user}` });
    const events = await server.events({ user });
    assert.deepEqual(events.map(({ event }) => event.data.except), [[`s-${user}`]], user);
  }
});

test("a mistake in a call is thrown as what it is, with the field and the remedy, and ends nothing: not here, and not by the outbox", async () => {
  const client = curfew(options);
  const browser = await new Browser(app.url).signIn("x");
  const session = await browser.session();
  const { revocationsDeferred } = client.stats();
  await assert.rejects(client.revokeUser("u-x", { reason: "because" }), (error) => {
    assert.equal(error.name, "ApiError");
    assert.equal(error.status, 422);
    assert.equal(error.faults[0].field, "reason");
    return error.message.includes("reason");
  });
  await assert.rejects(client.signOutEverywhere(session, { reasonUser: "x".repeat(10_000) }), { name: "ApiError", status: 422 });
  assert.equal((await browser.get("/api/me")).status, 200);
  assert.equal(client.stats().revocationsDeferred, revocationsDeferred);
});

test("the lazy form knows where a sign-in comes from", async () => {
  const lazy = withRevocation((request) => ({ ...config({ basePath: "/auth" }), skipped: request }), options);
  const form = async (path, body, cookie = "") => {
    const headers = { cookie, "user-agent": "Lazy/1.0", "x-forwarded-for": "192.0.2.66, 203.0.113.7", ...(body && { "content-type": "application/x-www-form-urlencoded" }) };
    const request = new Request(`http://localhost/auth/${path}`, { method: body ? "POST" : "GET", headers, body: body && new URLSearchParams(body) });
    return Auth(request, await lazy(request));
  };
  const cookiesOf = (response) => response.headers.getSetCookie().map((line) => line.split(";")[0]).join("; ");
  const csrf = await form("csrf");
  const { csrfToken } = await csrf.json();
  const signedIn = await form("callback/credentials", { csrfToken, email: "lazy" }, cookiesOf(csrf));
  const { sid } = await (await form("session", undefined, cookiesOf(signedIn))).json();
  assert.equal((await server.session(sid)).ip, "203.0.113.0/24");
});

test("trap: what a caller writes into X-Forwarded-For isn't where it comes from", () => {
  const of = (forwarded, more) => requestInfo({ headers: { "user-agent": "x", "x-forwarded-for": forwarded }, ...more })?.ip;
  assert.equal(of("198.51.100.1, 203.0.113.7"), "203.0.113.7");
  assert.equal(of("198.51.100.1", { ip: "203.0.113.8" }), "203.0.113.8");
  assert.equal(of("::ffff:203.0.113.9"), "203.0.113.9");
  assert.equal(of("2001:db8::1"), "2001:db8::1");
  assert.equal(of("<script>"), undefined);
  assert.equal(of(undefined), undefined);
  assert.deepEqual(requestInfo(new Headers({ "user-agent": "edge" })), { userAgent: "edge", ip: undefined });
  assert.equal(requestInfo(undefined), undefined);
});
