// The set of revocations is a join: order, repetition and who heard first don't matter, and nothing brings a session back. Held against a model that remembers
// every event, over histories from a seeded generator.
import assert from "node:assert/strict";
import { test } from "node:test";

import { RevocationSet } from "../dist/revocationset.js";
import { generator } from "./rig/random.mjs";

const seed = Number(process.env.SEED ?? Date.now() % 1e9);

const pick = (random, ...values) => values[random(values.length)];
const sids = ["A", "B", "C", "D"];
const reasons = ["user_logout", "admin", "compromised"];

function revocation(random) {
  const scope = pick(random, "session", "user", "user", "user", "device", "client", "tenant");
  const some = () => sids.filter(() => random(3) === 0);
  return {
    scope, reason: pick(random, ...reasons), expiresAtMs: 1000 + random(5),
    ...(scope === "session" ? { session: pick(random, ...sids) } : { cutoffMs: random(8) }),
    ...(scope === "user" && { user: pick(random, "u", "v"), except: some(), knownSessions: random(4) === 0 ? some() : undefined }),
    ...(scope === "device" && { device: pick(random, "d", "e") }), ...(scope === "client" && { client: pick(random, "c", "b") }),
  };
}

/** ends is what the contract says of one event and one session. */
function ends(r, s) {
  if (r.scope === "session") return r.session === s.session;
  if (r.knownSessions?.includes(s.session)) return true;
  if (s.authTimeMs === undefined || s.authTimeMs > r.cutoffMs) return false;
  if (r.scope === "tenant") return true;
  return s[r.scope] !== undefined && s[r.scope] === r[r.scope] && !(r.except ?? []).includes(s.session);
}

const everySession = [];
for (const session of sids) {
  for (const user of ["u", "v", undefined]) {
    for (const authTimeMs of [0, 1, 2, 3, 4, 5, 6, 7, 8, undefined]) {
      for (const [device, client] of [["d", "c"], ["e", undefined], [undefined, "b"], [undefined, undefined]]) everySession.push({ session, user, authTimeMs, device, client });
    }
  }
}

function setOf(history) {
  const set = new RevocationSet();
  for (const r of history) set.apply(r);
  return set;
}

function shuffled(random, list) {
  const copy = [...list];
  for (let i = copy.length - 1; i > 0; i--) {
    const j = random(i + 1);
    [copy[i], copy[j]] = [copy[j], copy[i]];
  }
  return copy;
}

test(`any event that applies ends a session, and nothing else does (seed ${seed})`, () => {
  const random = generator(seed);
  for (let turn = 0; turn < 400; turn++) {
    const history = Array.from({ length: 1 + random(12) }, () => revocation(random));
    const set = setOf(history);
    for (const s of everySession) {
      assert.equal(set.ending(s) !== undefined, history.some((r) => ends(r, s)), `seed ${seed}, turn ${turn}: ${JSON.stringify({ s, history })}`);
    }
  }
});

test(`trap: order and repetition give the same state (seed ${seed})`, () => {
  const random = generator(seed + 1);
  for (let turn = 0; turn < 1000; turn++) {
    const history = Array.from({ length: 1 + random(12) }, () => revocation(random));
    const repeated = shuffled(random, [...history, ...history.filter(() => random(2) === 0)]);
    assert.equal(setOf(repeated).digest(), setOf(history).digest(), `seed ${seed}, turn ${turn}: ${JSON.stringify({ history, repeated })}`);
  }
});

test(`trap: one more event never brings a session back (seed ${seed})`, () => {
  const random = generator(seed + 2);
  for (let turn = 0; turn < 200; turn++) {
    const set = new RevocationSet();
    let over = [];
    for (let i = 0; i < 12; i++) {
      set.apply(revocation(random));
      for (const s of over) assert.ok(set.ending(s), `seed ${seed}, turn ${turn}: ${JSON.stringify(s)}`);
      over = everySession.filter((s) => set.ending(s));
    }
  }
});

test("the example of the contract: each of two logouts of the others spares its own session from itself alone", () => {
  const cutoff = (cutoffMs, ...except) => ({ scope: "user", user: "u", cutoffMs, except, reason: "user_logout", expiresAtMs: 1e15 });
  const set = setOf([cutoff(20, "B"), cutoff(10, "A")]);
  const state = (session, authTimeMs) => set.ending({ session, user: "u", authTimeMs }) !== undefined;
  assert.equal(state("A", 5), true);
  assert.equal(state("B", 5), true);
  assert.equal(state("B", 15), false);
});

test("entries are forgotten when they have expired, all of a key at its latest date", () => {
  const set = setOf([
    { scope: "session", session: "A", reason: "admin", expiresAtMs: 10 }, { scope: "session", session: "B", reason: "admin", expiresAtMs: 20 },
    { scope: "user", user: "u", cutoffMs: 5, reason: "admin", expiresAtMs: 10 }, { scope: "user", user: "u", cutoffMs: 3, reason: "admin", expiresAtMs: 30 },
  ]);
  set.expire(11);
  assert.deepEqual([set.ending({ session: "A" }), set.ending({ session: "B" })?.scope, set.ending({ session: "C", user: "u", authTimeMs: 5 })?.scope], [undefined, "session", "user"]);
  set.expire(31);
  assert.equal(set.size, 0);
});

test("a bounded set forgets its oldest entries and keeps the rest", () => {
  const set = new RevocationSet(2);
  for (const session of ["A", "B", "C"]) set.apply({ scope: "session", session, reason: "admin", expiresAtMs: 1e15 });
  assert.deepEqual(sids.map((session) => set.ending({ session }) !== undefined), [false, true, true, false]);
});
