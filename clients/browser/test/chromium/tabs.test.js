// Several tabs of one browser: one conn, whoever leads, and all are told.

import assert from "node:assert/strict";
import { test } from "node:test";
import { becomes, leaves, seen, state, tab } from "./fixture/browser.js";
import { stand } from "./fixture/stand.js";
import { holds, until } from "./fixture/until.js";

const { app, curfew, newContext } = await stand();

// device opens a browser of a user with so many tabs, of which the first leads.
async function device(t, user, count, options) {
  const context = await newContext(t);
  const session = await app.signedIn(context, user);
  const leader = await tab(context, app, options);
  await becomes(leader, "ready");
  const followers = [];
  for (let i = 1; i < count; i++) followers.push(await tab(context, app, options));
  for (const f of followers) await becomes(f, "following");
  return { context, session, leader, followers, tabs: [leader, ...followers] };
}

const outcomes = async (before) => {
  const now = await curfew.acks();
  return Object.fromEntries(["signed_out", "already", "ignored"].map((o) => [o, (now[o] ?? 0) - (before[o] ?? 0)]));
};

test("five tabs have one conn, all five are told at once, and one acknowledges", async (t) => {
  const { session, tabs } = await device(t, "five", 5);
  await holds("there is one conn", async () => curfew.sockets.size === 1 && (await curfew.tabs("five")).length === 1, 500);
  const before = await curfew.acks();
  const told = performance.now();
  await curfew.revoke("five", session.sid, { reason: "admin" });
  assert.deepEqual(await Promise.all(tabs.map((p) => leaves(p))), Array(5).fill("admin"));
  t.diagnostic(`all five had left ${Math.round(performance.now() - told)} ms after the call`);
  await until("it is acknowledged", async () => (await outcomes(before)).signed_out === 1);
  await until("the conn is gone", async () => curfew.sockets.size === 0);
  assert.deepEqual(await outcomes(before), { signed_out: 1, already: 0, ignored: 0 });
});

test("the leader's tab is closed: another takes its place, and goes on from where it was", async (t) => {
  const { session, leader, followers } = await device(t, "heirs", 3);
  await curfew.revoke("heirs", "elsewhere");
  for (const p of [leader, ...followers]) await until("all hear of the other session", async () => (await seen(p)).changed === 1);
  const closed = performance.now();
  await leader.close();
  const heir = await until("another leads", async () => {
    for (const p of followers) if (await state(p) === "ready") return p;
    return undefined;
  });
  t.diagnostic(`another was ready ${Math.round(performance.now() - closed)} ms after the leader was closed`);
  assert.equal((await curfew.tabs("heirs")).length, 1);
  // What it has heard through the old leader isn't told again.
  assert.equal((await seen(heir)).changed, 1);
  await curfew.revoke("heirs", session.sid);
  assert.deepEqual(await Promise.all(followers.map((p) => leaves(p))), ["admin", "admin"]);
});

test("the leader's tab hangs for six seconds: it is replaced, the others hear of the end meanwhile, and it closes its conn", async (t) => {
  const { session, leader, followers } = await device(t, "hung", 3);
  const opened = curfew.upgrades;
  // The call returns while the page is blocked.
  await leader.evaluate(() => {
    setTimeout(() => {
      window.blocked = performance.now();
      while (performance.now() - window.blocked < 6_000);
      window.unblocked = true;
    }, 0);
  });
  const hung = performance.now();
  await until("another leads", async () => (await Promise.all(followers.map(state))).includes("ready"), 5_000);
  t.diagnostic(`another was ready ${Math.round(performance.now() - hung)} ms after the leader hung`);
  await curfew.revoke("hung", session.sid, { reason: "compromised" });
  assert.deepEqual(await Promise.all(followers.map((p) => leaves(p, 4_000))), ["compromised", "compromised"]);
  assert.ok(performance.now() - hung < 6_000, "before the leader woke up");
  assert.equal(curfew.upgrades, opened + 1, "one of the followers has taken its place, and not both");
  await leaves(leader);
  await until("no conn is left", async () => curfew.sockets.size === 0);
});

test("a leader that was robbed while it slept gives up its conn and follows", async (t) => {
  const { leader, followers: [other] } = await device(t, "robbed", 2);
  await leader.evaluate(() => { setTimeout(() => { for (const from = performance.now(); performance.now() - from < 4_000;); }, 0); });
  await becomes(other, "ready");
  await until("the old leader follows", async () => await state(leader) === "following");
  await until("one conn is left", async () => curfew.sockets.size === 1);
  // Between the two of them one leads: whoever follows and looks doesn't rob the other for ever.
  const opened = curfew.upgrades;
  await holds("they have come to rest", () => curfew.upgrades <= opened + 1, 3_000);
  assert.deepEqual((await Promise.all([leader, other].map(state))).sort(), ["following", "ready"]);
});

test("a tab that follows and is closed waits for the lock no longer", async (t) => {
  const { leader, followers: [other] } = await device(t, "leaving", 2);
  const locks = () => leader.evaluate(async () => {
    const { held, pending } = await navigator.locks.query();
    return [held.length, pending.length];
  });
  assert.deepEqual(await locks(), [1, 1]);
  await other.evaluate(() => window.listener.close());
  await until("its request is gone", async () => (await locks())[1] === 0);
});

test("two browsers of a user: the others are signed out, and only the other one is told", async (t) => {
  const here = await device(t, "two", 2);
  const there = await device(t, "two", 2);
  await curfew.logoutOthers("two", here.session.sid);
  assert.deepEqual(await Promise.all(there.tabs.map((p) => leaves(p))), ["user_logout", "user_logout"]);
  for (const p of here.tabs) await until("this one hears that something changed", async () => (await seen(p)).changed > 0);
  assert.deepEqual(await Promise.all(here.tabs.map(state)), ["ready", "following"]);
  assert.deepEqual((await seen(here.leader)).ended, []);
});

test("the tab that signs out by itself ignores its echo, and the other tabs leave", async (t) => {
  const { session, leader, followers: [self] } = await device(t, "self", 2);
  const before = await curfew.acks();
  await self.evaluate(() => window.listener.signingOut());
  await curfew.revoke("self", session.sid, { reason: "user_logout" });
  assert.equal(await leaves(leader), "user_logout");
  await becomes(self, "signed_out");
  await holds("it has gone nowhere", async () => !self.url().includes("/plain"), 500);
  assert.deepEqual((await seen(self)).ended, []);
  await until("it is acknowledged", async () => (await outcomes(before)).already === 1);
});

test("a browser without locks has a conn for each tab", async (t) => {
  const context = await newContext(t);
  await context.addInitScript(() => Object.defineProperty(Navigator.prototype, "locks", { value: undefined }));
  const session = await app.signedIn(context, "lockless");
  const tabs = [await tab(context, app), await tab(context, app)];
  for (const p of tabs) await becomes(p, "ready");
  assert.equal((await curfew.tabs("lockless")).length, 2);
  await curfew.revoke("lockless", session.sid);
  for (const p of tabs) assert.equal(await leaves(p), "admin");
});

for (const [what, breakIt] of [
  ["throws", () => { LockManager.prototype.request = () => { throw new DOMException("no", "SecurityError"); }; }],
  ["refuses", () => { LockManager.prototype.request = () => Promise.reject(new DOMException("no", "SecurityError")); }],
]) {
  test(`a lock manager that ${what} is done without`, async (t) => {
    const context = await newContext(t);
    await context.addInitScript(breakIt);
    await app.signedIn(context, "broken-" + what);
    await becomes(await tab(context, app), "ready");
  });
}
