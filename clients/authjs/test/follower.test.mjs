// Follows a stream that is written by hand: what a follower may believe, and when.
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";

import { Api } from "../dist/api.js";
import { Follower } from "../dist/follower.js";
import { Freshness } from "../dist/freshness.js";
import { serve } from "./rig/serve.mjs";
import { until } from "./rig/server.mjs";

let closing = [];

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

/** rig is a server of a stream, whose conns are written to by hand, and a follower of it. */
async function rig({ budgetMs = 15000 } = {}) {
  const conns = [];
  const states = [];
  const web = await serve((req, res) => {
    if (rig.refuse) return res.writeHead(rig.refuse, { "Content-Type": "application/problem+json" }).end(JSON.stringify({ code: "api_key_invalid", detail: "no", retry: false }));
    res.writeHead(200, { "Content-Type": "text/event-stream" });
    res.flushHeaders();
    conns.push({
      since: new URL(req.url, "http://x").searchParams.get("since"), key: req.headers.authorization,
      send: (event, frame) => res.write(`event: ${event}\nid: ${frame.position}\ndata: ${JSON.stringify(frame)}\n\n`), raw: (text) => res.write(text), end: () => res.destroy(),
    });
  });
  const api = new Api({ url: web.url, apiKey: "cfw_key", fetch });
  const follower = new Follower({ api, stalenessBudgetMs: budgetMs, onState: (following, error) => states.push({ following, code: error?.code }) });
  closing.push(async () => {
    await follower.close();
    await web.close();
  });
  follower.start();
  const conn = async (n = 1) => (await until(`conn ${n}`, () => conns[n - 1])) && conns[n - 1];
  return { follower, conn, states, conns };
}

const now = () => new Date().toISOString();
const synced = (position, more = {}) => ({ position, at: now(), max_age_ms: 30 * 86400e3, staleness_budget_ms: 15000, leeway_ms: 300000, ...more });
const revoked = (position, more) => ({ position, id: `e-${position}`, reason: "admin", at: now(), expires_at: new Date(Date.now() + 86400e3).toISOString(), ...more });
const session = (id, user = "u", authTimeMs = Date.now() - 1000) => ({ session: id, user, authTimeMs });
const state = (follower, ...args) => follower.check(session(...args)).state;

test("trap: before it is synced a follower knows nobody to be active, beats or not; what it knows to be over is over", async () => {
  const { follower, conn } = await rig();
  assert.equal(state(follower, "a"), "undetermined");
  const stream = await conn();
  assert.equal(stream.key, "Bearer cfw_key");
  assert.equal(stream.since, null);
  stream.send("revocation", revoked(1, { scope: "session", session: "a" }));
  stream.send("beat", { position: 1, at: now() });
  await until("the first event is applied", () => state(follower, "a") === "revoked");
  assert.equal(state(follower, "b"), "undetermined");
  stream.send("synced", synced(1));
  await follower.ready();
  assert.equal(state(follower, "b"), "active");
});

test("all scopes, in their order, with cutoffs, exceptions and known sessions", async () => {
  const { follower, conn } = await rig();
  const stream = await conn();
  const at = Date.now() - 5000;
  stream.send("revocation", revoked(1, { scope: "user", user: "u", cutoff_ms: at, except: ["kept"], known_sessions: ["ahead"], reason: "password_changed" }));
  stream.send("revocation", revoked(2, { scope: "device", device: "d", cutoff_ms: at, reason: "compromised" }));
  stream.send("revocation", revoked(3, { scope: "client", client: "c", cutoff_ms: at, reason: "policy" }));
  stream.send("synced", synced(3));
  await follower.ready();
  const check = (s) => {
    const { state, scope, reason } = follower.check(s);
    return [state, scope, reason].filter(Boolean).join(" ");
  };
  assert.equal(check({ session: "x", user: "u", authTimeMs: at }), "revoked user password_changed");
  assert.equal(check({ session: "x", user: "u", authTimeMs: at + 1 }), "active");
  assert.equal(check({ session: "kept", user: "u", authTimeMs: at - 1000 }), "active");
  assert.equal(check({ session: "ahead", user: "u", authTimeMs: at + 4000 }), "revoked user password_changed");
  assert.equal(check({ session: "kept", user: "u", authTimeMs: at, device: "d" }), "revoked device compromised");
  assert.equal(check({ session: "y", user: "v", authTimeMs: at, client: "c" }), "revoked client policy");
  stream.send("revocation", revoked(4, { scope: "tenant", cutoff_ms: at }));
  await until("the tenant's cutoff is applied", () => check({ session: "y", user: "v", authTimeMs: at }) === "revoked tenant admin");
  assert.equal(check({ session: "y", user: "v", authTimeMs: at + 1 }), "active");
});

test("what a check needs and doesn't have is undetermined, and max age ends whatever is older", async () => {
  const { follower, conn } = await rig();
  (await conn()).send("synced", synced(1, { max_age_ms: 60000, leeway_ms: 1000 }));
  await follower.ready();
  assert.equal(follower.check({ session: "a", user: "u" }).cause, "auth time is missing");
  assert.equal(follower.check({ session: "a", authTimeMs: Date.now() }).cause, "user is missing");
  assert.equal(follower.check(session("a", "u", Date.now() + 5000)).cause, "auth time lies in the future");
  assert.equal(follower.check(session("a", "u", Date.now() - 60000)).reason, "max_age");
  assert.equal(follower.check(session("a", "u", Date.now() - 59000)).state, "active");
  assert.equal(follower.check(session("a"), 2).cause, "position not reached");
});

test("after a break it goes on behind its position, and a reset makes it load again without forgetting", async () => {
  const { follower, conn } = await rig();
  const first = await conn();
  first.send("revocation", revoked(7, { scope: "session", session: "a" }));
  first.send("synced", synced(9));
  await follower.ready();
  first.end();
  const second = await conn(2);
  assert.equal(second.since, "9");
  second.send("revocation", revoked(9, { scope: "session", session: "a" }));
  second.send("revocation", revoked(12, { scope: "session", session: "b" }));
  await until("the second event is applied", () => state(follower, "b") === "revoked");
  second.send("reset", { position: 0 });
  const third = await conn(3);
  assert.equal(third.since, null);
  assert.equal(state(follower, "a"), "revoked", "nothing is dropped");
  assert.equal(state(follower, "c"), "undetermined", "and nothing is known of the new ledger");
  third.send("synced", synced(2));
  await until("it is synced with the new ledger", () => state(follower, "c") === "active");
  assert.equal(follower.position, 2);
});

test("trap: a break while the snapshot is read begins anew, for its positions are in no order", async () => {
  const { conn } = await rig();
  const first = await conn();
  first.send("revocation", revoked(90, { scope: "session", session: "a" }));
  first.send("beat", { position: 90, at: now() });
  first.end();
  assert.equal((await conn(2)).since, null);
});

test("trap: beats stop while the connection stands — it is stale after its budget, and connects anew", async () => {
  const { follower, conn } = await rig({ budgetMs: 1000 });
  const first = await conn();
  first.send("synced", synced(1));
  await follower.ready();
  const begun = performance.now();
  assert.equal(state(follower, "a"), "active");
  await until("it is stale", () => state(follower, "a") === "undetermined");
  assert.ok(performance.now() - begun <= 3000);
  await conn(2);
});

test("the server's budget counts where it is shorter", async () => {
  const { follower, conn } = await rig();
  (await conn()).send("synced", synced(1, { staleness_budget_ms: 200 }));
  await follower.ready();
  const begun = performance.now();
  await until("it is stale", () => !follower.fresh);
  assert.ok(performance.now() - begun < 5000);
});

test("a frame that can't be read proves nothing and ends the connection, and what comes after it isn't believed", async () => {
  const frames = [
    ["revocation", "{"], ["revocation", { position: 2 }], ["beat", "nonsense"], ["beat", { position: 2, at: "today" }], ["beat", { at: now() }], ["revocation", revoked(2, { scope: "realm" })],
    ["revocation", revoked(2, { scope: "user", cutoff_ms: 5 })], ["revocation", revoked(2, { scope: "user", user: "u" })], ["revocation", revoked(2, { scope: "session", session: "" })],
    ["revocation", revoked(2, { scope: "session", session: "a", expires_at: "never" })],
  ];
  for (const [event, data] of frames) {
    const bad = `event: ${event}\ndata: ${typeof data === "string" ? data : JSON.stringify(data)}\n\n`;
    const { follower, conn, states } = await rig();
    const stream = await conn();
    stream.send("synced", synced(1));
    await follower.ready();
    stream.raw(bad);
    await until("the loss is told", () => states.some(({ following }) => !following));
    assert.equal((await conn(2)).since, "1", bad);
  }
});

test("frames may be cut anywhere, and lines may end as in Windows", async () => {
  const { follower, conn } = await rig();
  const stream = await conn();
  const text = `event: later\r\ndata: not JSON\r\n\r\n: a comment\r\n\r\nevent: revocation\r\ndata: ${JSON.stringify(revoked(1, { scope: "session", session: "ä" }))}\r\n\r\nevent: synced\r\ndata: ${JSON.stringify(synced(1))}\r\n\r\n`;
  for (const byte of Buffer.from(text)) stream.raw(Buffer.from([byte]));
  await follower.ready();
  assert.equal(state(follower, "ä"), "revoked");
});

test("who waits for a follower that is closed is told, and holds nothing up", async () => {
  const { follower } = await rig();
  const waiting = assert.rejects(follower.ready(), { code: "closed" });
  await follower.close();
  await waiting;
});

test("a key that is refused is told, and asked again seldom", async () => {
  rig.refuse = 401;
  try {
    const { states, follower } = await rig();
    await until("it is told", () => states.length > 0);
    assert.deepEqual(states, [{ following: false, code: "api_key_invalid" }]);
    await assert.rejects(follower.ready(AbortSignal.timeout(50)));
  } finally {
    rig.refuse = 0;
  }
});

test("trap: beats that were held up on their way prove nothing of now", () => {
  const freshness = new Freshness();
  const at = (ms) => ({ steadyMs: ms, wallMs: 1e12 + ms });
  const serverAhead = 3_600_000; // clocks differ by an hour, which says nothing
  freshness.prove(serverAhead + 1000, at(1010));
  assert.equal(freshness.stalenessMs(at(1010)), 0);
  freshness.prove(serverAhead + 2000, at(2010));
  assert.equal(freshness.stalenessMs(at(2500)), 490);
  // The connection stalls for thirty seconds, and delivers what it held in one go.
  for (let written = 3000; written <= 10000; written += 1000) freshness.prove(serverAhead + written, at(40010));
  assert.equal(freshness.stalenessMs(at(40010)), 30000);
  freshness.prove(serverAhead + 40000, at(40010));
  assert.equal(freshness.stalenessMs(at(40010)), 0);
  assert.equal(new Freshness().stalenessMs(at(5)), Infinity);
});

test("trap: a machine that slept takes its memory for fresh, because one clock slept too", () => {
  const freshness = new Freshness();
  freshness.prove(1000, { steadyMs: 1000, wallMs: 1e12 });
  assert.equal(freshness.stalenessMs({ steadyMs: 1500, wallMs: 1e12 + 3_600_000 }), 3_600_000);
  assert.equal(freshness.stalenessMs({ steadyMs: 1500, wallMs: 1e12 - 3_600_000 }), 500, "a clock that was set back makes nothing younger");
});
