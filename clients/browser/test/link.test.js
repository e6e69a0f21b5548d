// What a link does with tickets, conns and their ends. Time is node's mock, and conns are ends of a wire that the test holds.

import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { Link } from "../dist/link.js";

// rig returns a link whose attempts wait for as long as they may, with the conns that it has opened.
function rig(t, { memory = {}, ticket = async () => "tkt" } = {}) {
  mock.timers.enable({ apis: ["setTimeout"] });
  t.after(() => mock.timers.reset());
  const r = { conns: [], frames: [], states: [], errors: [], memory };
  r.link = new Link({
    memory,
    ticket,
    open: (streams, tkt, past, events) => {
      const conn = { streams, ticket: tkt, past: { ...past }, ...events, acks: [], isClosed: false, ack: (...a) => conn.acks.push(a), close: () => { conn.isClosed = true; } };
      r.conns.push(conn);
      return conn;
    },
    frame: (frame) => r.frames.push(frame),
    state: (state) => r.states.push(state),
    error: (error) => r.errors.push(error),
    random: () => 1,
  });
  t.after(() => r.link.close());
  r.last = () => r.conns.at(-1);
  // settle lets promises run.
  r.settle = async () => { for (let i = 0; i < 10; i++) await Promise.resolve(); };
  r.pass = async (ms) => { mock.timers.tick(ms); await r.settle(); };
  r.connect = async () => { r.link.connect(); await r.settle(); };
  r.ready = (more) => { const c = r.last(); c.heard(); c.frame({ type: "ready", session: "s1", position: 7, heartbeat_ms: 1000, ...more }); };
  return r;
}

test("a ticket, a conn, ready", async (t) => {
  const r = rig(t, { memory: { after: "n0", position: 3 } });
  await r.connect();
  assert.deepEqual([r.last().streams, r.last().ticket, r.last().past], [false, "tkt", { after: "n0", position: 3 }]);
  r.ready();
  assert.deepEqual(r.states, ["ticket", "opening", "ready"]);
  assert.deepEqual([r.link.session, r.memory.position], ["s1", 7]);
  r.link.ack("n1", "ignored");
  assert.deepEqual(r.last().acks, [["n1", "ignored"]]);
  await r.connect();
  assert.equal(r.conns.length, 1, "once is enough");
});

test("the position is the greatest, and the last notice is remembered", async (t) => {
  const r = rig(t);
  await r.connect();
  r.ready();
  r.last().frame({ type: "sessions_changed", position: 12 });
  r.last().frame({ type: "sessions_changed", position: 9 });
  r.last().frame({ type: "logout", id: "n5", scope: "user", reason: "admin", at: "" });
  r.last().closed(1006, "");
  await r.pass(500);
  assert.deepEqual(r.last().past, { after: "n5", position: 12, streams: false });
});

test("what ends a conn says whether and when another is opened", async (t) => {
  const cases = [
    [1006, "", 500], [1000, "", 500], [1013, "", 500], [4008, "", 500], [4029, "", 500], [4503, "", 500], [1012, '{"retry_ms":1700}', 1700], [1012, "", 500],
    [4501, "", null], [4500, "", null], [4999, "", null],
  ];
  for (const [code, reason, ms] of cases) {
    await t.test(`${code} ${reason}`, async (t) => {
      const r = rig(t);
      await r.connect();
      r.ready();
      r.last().closed(code, reason);
      assert.ok(r.conns[0].isClosed);
      if (ms === null) {
        assert.equal(r.link.state, "over");
        await r.pass(3_600_000);
        assert.equal(r.conns.length, 1, "it doesn't come back by itself");
        await r.connect();
        await r.pass(500);
        assert.equal(r.conns.length, 2, "but when it is asked to");
        return;
      }
      assert.equal(r.link.state, "waiting");
      await r.pass(ms - 1);
      assert.equal(r.conns.length, 1);
      await r.pass(1);
      assert.equal(r.conns.length, 2);
    });
  }
});

test("what a drain has said holds for a conn that ends without saying it", async (t) => {
  const r = rig(t);
  await r.connect();
  r.ready();
  r.last().frame({ type: "drain", reconnect_after_ms: 2500 });
  assert.deepEqual(r.frames.map((f) => f.type), ["ready"]);
  r.last().closed(1006, "");
  await r.pass(2499);
  assert.equal(r.conns.length, 1);
  await r.pass(1);
  assert.equal(r.conns.length, 2);
  r.ready();
  r.last().closed(1006, "");
  await r.pass(1000);
  assert.equal(r.conns.length, 3, "and for none after it");
});

test("silence for 2.5 heartbeats ends a conn, and any sign of life puts that off", async (t) => {
  const r = rig(t);
  await r.connect();
  r.ready({ heartbeat_ms: 1000 });
  await r.pass(2400);
  r.last().heard();
  await r.pass(2499);
  assert.equal(r.link.state, "ready");
  await r.pass(1);
  assert.equal(r.link.state, "waiting");
  assert.ok(r.conns[0].isClosed);
  await r.pass(500);
  assert.equal(r.conns.length, 2);
  r.ready({ heartbeat_ms: 0 });
  await r.pass(3_600_000);
  assert.equal(r.link.state, "ready", "0 is no heartbeat");
});

test("a conn that doesn't become ready is given up", async (t) => {
  const r = rig(t);
  await r.connect();
  await r.pass(15_000);
  assert.equal(r.link.state, "waiting");
  assert.ok(r.conns[0].isClosed);
});

test("after two WebSockets that failed a stream has its turn, and after that either in turns, until one works", async (t) => {
  const r = rig(t);
  await r.connect();
  for (let i = 0; i < 5; i++) {
    r.last().closed(1006, "");
    await r.pass(30_000);
  }
  assert.deepEqual(r.conns.map((c) => c.streams), [false, false, true, false, true, false]);
  r.last().closed(1006, "");
  await r.pass(30_000);
  r.ready();
  assert.equal(r.memory.streams, true);
  r.last().closed(1006, "");
  await r.pass(30_000);
  assert.equal(r.last().streams, true, "what works is stayed with");
  r.ready();
  r.link.renew();
  await r.settle();
  assert.equal(r.last().streams, false, "another network may let WebSockets through");
  r.ready();
  assert.equal(r.memory.streams, false);
});

test("a gateway that says why it refuses has been reached over this transport", async (t) => {
  const r = rig(t);
  await r.connect();
  for (const code of [1013, 4503, 1012, 1013]) {
    r.last().closed(code, "");
    await r.pass(30_000);
  }
  assert.ok(r.conns.every((c) => !c.streams));
});

test("a link that takes over from one that had streams begins with one", async (t) => {
  const r = rig(t, { memory: { streams: true } });
  await r.connect();
  assert.equal(r.last().streams, true);
});

test("attempts wait longer and longer, also if each becomes ready for a moment, and little again after one that held", async (t) => {
  const r = rig(t);
  await r.connect();
  for (const ms of [500, 1000, 2000, 4000]) {
    r.ready();
    r.last().closed(1013, "");
    const { length } = r.conns;
    await r.pass(ms - 1);
    assert.equal(r.conns.length, length);
    await r.pass(1);
    assert.equal(r.conns.length, length + 1);
  }
  r.ready({ heartbeat_ms: 60_000 });
  await r.pass(5_000);
  r.last().closed(1013, "");
  await r.pass(500);
  assert.equal(r.conns.length, 6);
});

test("no ticket is the end, and an application that doesn't answer isn't", async (t) => {
  let answer = () => { throw new Error("away"); };
  const r = rig(t, { ticket: async () => answer() });
  await r.connect();
  assert.deepEqual([r.link.state, r.errors.map((e) => e.message)], ["waiting", ["away"]]);
  answer = () => undefined;
  await r.pass(500);
  assert.equal(r.link.state, "over");
  await r.pass(3_600_000);
  assert.equal(r.conns.length, 0);
});

test("a browser that opens no conn is told of without the ticket", async (t) => {
  const r = rig(t);
  const link = new Link({
    memory: {}, ticket: async () => "tkt_secret", frame() {}, state() {}, error: (e) => r.errors.push(e),
    open() { throw new SyntaxError("The subprotocol 'ticket.tkt_secret' is invalid."); },
  });
  t.after(() => link.close());
  link.connect();
  await r.settle();
  assert.equal(link.state, "waiting");
  assert.equal(r.errors.length, 1);
  assert.doesNotMatch(r.errors[0].message, /secret/);
});

test("what comes late of an earlier attempt changes nothing", async (t) => {
  let give;
  const r = rig(t, { ticket: () => new Promise((resolve) => { give = resolve; }) });
  await r.connect();
  const first = give;
  r.link.renew();
  await r.settle();
  first("old");
  await r.settle();
  assert.equal(r.conns.length, 0);
  give("new");
  await r.settle();
  assert.equal(r.last().ticket, "new");
  const old = r.last();
  r.ready();
  r.link.renew();
  await r.settle();
  old.frame({ type: "logout", id: "n", scope: "session", reason: "admin", at: "" });
  old.closed(4501, "");
  assert.deepEqual([r.link.state, r.frames.map((f) => f.type)], ["ticket", ["ready"]]);
});

test("a stream that is opened anew may have missed a change", async (t) => {
  const r = rig(t, { memory: { streams: true, position: 7 } });
  await r.connect();
  r.ready({ position: 7 });
  assert.deepEqual(r.frames.map((f) => f.type), ["ready"]);
  r.last().closed(1006, "");
  await r.pass(30_000);
  r.ready({ position: 9 });
  assert.deepEqual(r.frames.slice(1), [{ type: "ready", session: "s1", position: 9, heartbeat_ms: 1000 }, { type: "sessions_changed", position: 9 }]);
});

test("a closed link does nothing more", async (t) => {
  const r = rig(t);
  await r.connect();
  r.ready();
  r.link.close();
  r.last().closed(1006, "");
  r.link.renew();
  r.link.connect();
  await r.pass(3_600_000);
  assert.deepEqual([r.link.state, r.conns.length, r.conns[0].isClosed], ["closed", 1, true]);
});
