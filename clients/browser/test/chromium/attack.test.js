// What an attack on the package found, or was meant to find. The gateway is a real one.

import assert from "node:assert/strict";
import { test } from "node:test";
import { becomes, leaves, seen, state, tab } from "./fixture/browser.js";
import { stand } from "./fixture/stand.js";
import { holds, until } from "./fixture/until.js";

const { app, curfew, newContext } = await stand();

async function device(t, user, count = 1, options = {}) {
  const context = await newContext(t);
  const session = await app.signedIn(context, user);
  const tabs = [];
  for (let i = 0; i < count; i++) tabs.push(await tab(context, app, options));
  await until("one leads", async () => (await Promise.all(tabs.map(state))).filter((s) => s === "ready").length === 1);
  return { context, session, tabs, page: tabs[0] };
}

const block = (page, ms) => page.evaluate((ms) => { setTimeout(() => { for (const from = performance.now(); performance.now() - from < ms;); }, 0); }, ms);

test("a notice that comes while the leader hangs, before anybody has noticed that", async (t) => {
  const { session, tabs: [leader, ...others] } = await device(t, "early", 3);
  await block(leader, 6_000);
  const hung = performance.now();
  await curfew.revoke("early", session.sid, { reason: "compromised" });
  await Promise.all(others.map((p) => leaves(p, 5_500)));
  assert.ok(performance.now() - hung < 6_000, "before the leader woke up");
  await leaves(leader);
});

test("leaders that are closed one after another leave one conn each time", async (t) => {
  const { tabs } = await device(t, "heirs", 8);
  for (let rest = tabs; rest.length > 1;) {
    const states = await Promise.all(rest.map(state));
    assert.deepEqual(states.filter((s) => s !== "following"), ["ready"]);
    await rest[states.indexOf("ready")].close();
    rest = rest.filter((p) => !p.isClosed());
    await until("another leads", async () => (await Promise.all(rest.map(state))).includes("ready"));
    await until("alone", async () => (await curfew.tabs("heirs")).length === 1);
  }
});

test("leaders that hang one after another, and wake up: one leads at the end", async (t) => {
  const { tabs } = await device(t, "sleepers", 4);
  for (let i = 0; i < 3; i++) {
    const states = await Promise.all(tabs.map(state));
    await block(tabs[states.indexOf("ready")], 3_500);
  }
  await until("one leads, and all others follow", async () => (await Promise.all(tabs.map(state))).sort().join() === "following,following,following,ready", 20_000);
  // On a slow machine a leader may be late once more, but they don't go on robbing each other.
  const opened = curfew.upgrades;
  await holds("they have come to rest", () => curfew.upgrades <= opened + 2, 5_000);
  await until("one conn is left", async () => (await curfew.tabs("sleepers")).length === 1);
});

test("twenty tabs are told, and each goes once", async (t) => {
  const { session, tabs } = await device(t, "crowd", 20);
  const visits = tabs.map(() => 0);
  tabs.forEach((p, i) => p.on("framenavigated", () => visits[i]++));
  await curfew.revoke("crowd", session.sid);
  await Promise.all(tabs.map((p) => leaves(p, 15_000)));
  assert.deepEqual(visits, tabs.map(() => 1));
});

test("a verify that never answers is given up, and the end isn't lost", async (t) => {
  const context = await newContext(t);
  const session = await app.signedIn(context, "mute");
  const page = await tab(context, app, { manual: true });
  await page.evaluate(() => {
    let hangs = false;
    window.hang = () => { hangs = true; };
    window.listener = window.start({
      verify: () => {
        if (hangs) { hangs = false; return new Promise(() => {}); }
        return fetch("/api/auth/session").then((r) => r.json()).then((s) => ({ signedIn: !!s, session: s?.sid }));
      },
    });
  });
  await becomes(page, "ready");
  await page.evaluate(() => window.hang());
  await curfew.revoke("mute", session.sid, { reason: "policy" });
  assert.equal(await leaves(page, 20_000), "policy");
});

test("a ticket that never comes is given up, and asked for again", async (t) => {
  const context = await newContext(t);
  await app.signedIn(context, "patient");
  const page = await tab(context, app, { manual: true });
  await page.evaluate(() => {
    let first = true;
    window.listener = window.start({ ticket: () => (first ? ((first = false), new Promise(() => {})) : fetch("/api/ticket", { method: "POST" })) });
  });
  await until("it is there", async () => await state(page) === "ready", 25_000);
});

test("a redirectTo that throws, or is no address, keeps nobody on the page", async (t) => {
  for (const redirectTo of ["http://[", "throws"]) {
    await t.test(redirectTo, async (t) => {
      const context = await newContext(t);
      const session = await app.signedIn(context, "lost");
      const page = await tab(context, app, { manual: true });
      await page.evaluate((to) => { window.listener = window.start({ redirectTo: to === "throws" ? () => { throw new Error("no"); } : to }); }, redirectTo);
      await becomes(page, "ready");
      await curfew.revoke("lost", session.sid);
      await until("it is loaded anew", async () => await page.locator("#who").textContent().catch(() => "") === "nobody");
    });
  }
});

test("functions of the application that throw keep nobody from being told", async (t) => {
  const context = await newContext(t);
  const session = await app.signedIn(context, "thrower");
  const page = await tab(context, app, { manual: true });
  await page.evaluate(() => {
    const no = () => { throw new Error("no"); };
    window.listener = window.start({ onState: no, onSessionsChanged: no, onExpiring: no, onRenewed: no, onError: no, onNotice: no, beforeLogout: no });
  });
  await becomes(page, "ready");
  await curfew.revoke("thrower", "elsewhere");
  await curfew.revoke("thrower", session.sid);
  assert.equal(await leaves(page), "admin");
  assert.equal(await page.evaluate(() => window.seen), undefined);
});

test("trap 35: the browser signs in as somebody else: the conn becomes theirs, and the end of the first session reaches nobody", async (t) => {
  const { context, session, page } = await device(t, "first");
  const next = await app.signedIn(context, "second");
  await page.evaluate(() => window.listener.check());
  await until("the conn is the other's", async () => (await curfew.tabs("second")).length === 1 && (await curfew.tabs("first")).length === 0);
  await curfew.revoke("first", session.sid);
  await holds("it stays", async () => (await seen(page)).ended.length === 0, 500);
  await curfew.revoke("second", next.sid, { reason: "admin" });
  assert.equal(await leaves(page), "admin");
});

test("signed out without a revocation, the page keeps no conn", async (t) => {
  const { context, session, page } = await device(t, "quiet", 1, { stays: true });
  app.sessions.delete(session.cookie);
  await page.evaluate(() => window.listener.check());
  await becomes(page, "signed_out");
  await until("the conn is gone", async () => (await curfew.tabs("quiet")).length === 0);
  // Another tab signs in: the first hears of it, and leads again.
  await app.signedIn(context, "quiet");
  await tab(context, app);
  await becomes(page, "ready");
});

test("however often it is asked to while the application is away, it asks no more often than one would", async (t) => {
  const { page } = await device(t, "impatient");
  app.broken = true;
  t.after(() => { app.broken = false; });
  const n = app.asked["/api/auth/session"];
  const from = performance.now();
  await page.evaluate(() => { for (let i = 0; i < 200; i++) { window.listener.check(); dispatchEvent(new Event("online")); } });
  await holds("it doesn't", () => true, 3_000);
  // Full jitter from half a second: about eight in three seconds, and never dozens.
  const asked = app.asked["/api/auth/session"] - n;
  assert.ok(asked <= 25, `${asked} questions in ${Math.round(performance.now() - from)} ms`);
});

test("put away while it waits to ask a second time, and back: the end isn't lost", async (t) => {
  const { session, page } = await device(t, "doubt");
  app.stubborn = true;
  t.after(() => { app.stubborn = false; });
  const n = app.asked["/api/auth/session"];
  await curfew.revoke("doubt", session.sid);
  await until("it has asked once", () => app.asked["/api/auth/session"] > n);
  await page.evaluate(() => document.dispatchEvent(new Event("freeze")));
  await becomes(page, "suspended");
  const ignored = async () => (await curfew.acks()).ignored ?? 0;
  const before = await ignored();
  await page.evaluate(() => document.dispatchEvent(new Event("resume")));
  // The same notice is told again on the next conn, and decided anew.
  await until("it is acknowledged", async () => await ignored() === before + 1);
  app.stubborn = false;
  await leaves(page);
});

test("a hostile leader that answers for everybody can hold the others off, and no more: the truth comes when somebody looks", async (t) => {
  const { context, session, tabs: [page] } = await device(t, "usurped", 1);
  const evil = await tab(context, app, {}, "/plain");
  await evil.evaluate((name) => new Promise((resolve) => {
    const c = new BroadcastChannel(name);
    c.onmessage = () => c.postMessage({ type: "here", memory: { position: Number.MAX_SAFE_INTEGER, after: "\u0000 \n,curfew.v1", streams: "yes" }, touched: 0 });
    navigator.locks.request(name, { steal: true }, () => { resolve(); return new Promise(() => {}); });
  }), "curfew:" + curfew.url);
  await becomes(page, "following");
  await curfew.revoke("usurped", session.sid);
  await page.evaluate(() => document.dispatchEvent(new Event("visibilitychange")));
  await leaves(page);
});
