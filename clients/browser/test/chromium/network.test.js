// What networks, gateways and applications do to a tab: WebSockets that are refused, conns that end or fall silent, an application that is away or disagrees.

import assert from "node:assert/strict";
import { test } from "node:test";
import { becomes, leaves, seen, state, tab } from "./fixture/browser.js";
import { stand } from "./fixture/stand.js";
import { holds, until } from "./fixture/until.js";

const { app, curfew, newContext } = await stand();

async function device(t, user, options) {
  const context = await newContext(t);
  const session = await app.signedIn(context, user);
  const page = await tab(context, app, options);
  return { context, session, page };
}

const delta = async (before, outcome) => ((await curfew.acks())[outcome] ?? 0) - (before[outcome] ?? 0);

test("where WebSockets are refused, server-sent events take their place, also of another leader", async (t) => {
  curfew.refusesUpgrades = true;
  curfew.refused = 0;
  t.after(() => { curfew.refusesUpgrades = false; });
  const from = performance.now();
  const { context, session, page } = await device(t, "proxied");
  const follower = await tab(context, app);
  await becomes(page, "ready");
  t.diagnostic(`ready ${Math.round(performance.now() - from)} ms after it was opened`);
  assert.deepEqual((await curfew.tabs("proxied")).map((c) => c.transport), ["sse"]);
  assert.equal(curfew.refused, 2, "two WebSockets were tried");
  await curfew.revoke("proxied", "elsewhere");
  await until("both hear of the other session", async () => (await seen(page)).changed === 1 && (await seen(follower)).changed === 1);

  // Whoever follows goes on with what works on this network.
  await page.close();
  await becomes(follower, "ready");
  assert.equal(curfew.refused, 2);

  const before = await curfew.acks();
  await curfew.revoke("proxied", session.sid, { reason: "policy" });
  assert.equal(await leaves(follower), "policy");
  await until("it is acknowledged beside the stream", async () => await delta(before, "signed_out") === 1);
  await until("the stream is gone", async () => (await curfew.tabs("proxied")).length === 0);
});

test("a stream that was cut comes back by itself, and then tells what was missed", async (t) => {
  curfew.refusesUpgrades = true;
  t.after(() => { curfew.refusesUpgrades = false; curfew.mend(); });
  const { session, page } = await device(t, "cut-stream");
  await becomes(page, "ready");
  curfew.cut();
  await becomes(page, "connecting");
  await curfew.revoke("cut-stream", session.sid, { reason: "admin" });
  curfew.mend();
  assert.equal(await leaves(page, 20_000), "admin");
});

test("trap 25: a network that was cut: the tab comes back, and hears what it has missed", async (t) => {
  t.after(() => curfew.mend());
  const { session, page } = await device(t, "cut");
  await becomes(page, "ready");
  curfew.cut();
  await becomes(page, "connecting");
  await curfew.revoke("cut", "elsewhere");
  curfew.mend();
  await becomes(page, "ready");
  await until("it hears what happened meanwhile", async () => (await seen(page)).changed === 1);
  curfew.cut();
  await becomes(page, "connecting");
  await curfew.revoke("cut", session.sid);
  curfew.mend();
  await leaves(page);
});

test("traps 24 and 39: the application still calls the session alive: nobody is signed out, the notice is ignored, and the tab doesn't come back by itself", async (t) => {
  app.stubborn = true;
  t.after(() => { app.stubborn = false; });
  const { session, page } = await device(t, "stubborn");
  await becomes(page, "ready");
  const [before, upgrades] = [await curfew.acks(), curfew.upgrades];
  await curfew.revoke("stubborn", session.sid);
  await until("it is acknowledged as ignored", async () => await delta(before, "ignored") === 1);
  await becomes(page, "over");
  await holds("it stays", async () => await state(page) === "over" && curfew.upgrades === upgrades, 4_000);
  assert.deepEqual((await seen(page)).ended, []);
  assert.ok(!page.url().includes("/plain"));

  // Another session of the same browser is followed.
  const context = page.context();
  await app.signedIn(context, "stubborn");
  await page.evaluate(() => window.listener.check());
  await becomes(page, "ready");
});

test("an application whose cache still calls the session alive for a moment is asked again", async (t) => {
  const { session, page } = await device(t, "cached");
  await becomes(page, "ready");
  app.stubborn = true;
  t.after(() => { app.stubborn = false; });
  const asked = app.asked["/api/auth/session"];
  const before = await curfew.acks();
  await curfew.revoke("cached", session.sid);
  await until("it has asked once", () => app.asked["/api/auth/session"] > asked);
  app.stubborn = false;
  await leaves(page);
  await until("it is acknowledged", async () => await delta(before, "signed_out") === 1);
});

for (const how of ["down", "broken"]) {
  test(`an application that is ${how} signs nobody out, until it answers`, async (t) => {
    const { session, page } = await device(t, "app-" + how);
    await becomes(page, "ready");
    app[how] = true;
    t.after(() => { app[how] = false; });
    await curfew.revoke("app-" + how, session.sid, { reason: "account_disabled" });
    await becomes(page, "over");
    await holds("it stays", async () => (await seen(page)).ended.length === 0 && !page.url().includes("/plain"), 1_500);
    assert.ok((await seen(page)).errors.length > 0, "errors are told");
    app[how] = false;
    assert.equal(await leaves(page, 20_000), "account_disabled");
  });
}

test("a gateway that drains is come back to when it has said", async (t) => {
  const { page } = await device(t, "drained");
  await becomes(page, "ready");
  const states = (await seen(page)).states.length;
  await curfew.restart();
  await until("it has been away and is back", async () => {
    const now = (await seen(page)).states.slice(states);
    return now.includes("connecting") && now.at(-1) === "ready";
  }, 20_000);
});
