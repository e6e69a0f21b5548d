// Tabs of the whole: one conn for all of a browser's, whichever of them has it, and however the network is.
import assert from "node:assert/strict";
import { test } from "node:test";

import { left, tab } from "./rig/browser.mjs";
import { stand } from "./rig/stand.mjs";
import { holds, until } from "./rig/until.mjs";

const { app, device } = stand();

/** five is a browser with five tabs, of which one has the conn. */
async function five(t, name) {
  const { context, page } = await device(t, name);
  const tabs = [page];
  for (const path of ["/notes", "/chat", "/sessions", "/notes"]) tabs.push(await tab(context, app, path));
  const leader = await until("one of them has the conn", () => tabs.find(({ conns }) => conns.size > 0));
  await until("the gateway has it", async () => (await app.conns(name)).length === 1);
  return { context, tabs, leader };
}

test("five tabs have one WebSocket, and all leave within moments of a revocation, and say why", async (t) => {
  const { tabs } = await five(t, "ada");
  await holds("there is one", async () => app.network.sockets.size === 1 && (await app.conns("ada")).length === 1, 500);
  await app.revoke("ada", "compromised");
  assert.deepEqual(await Promise.all(tabs.map(left)), Array(5).fill("compromised"));
  await tabs[0].getByText("This session has ended: the session may have been in other hands.").waitFor();
  await until("none is left", async () => (await app.conns("ada")).length === 0);
});

test("the tab with the conn is closed: another takes its place, and all hear", async (t) => {
  const { tabs, leader } = await five(t, "grace");
  await leader.close();
  const others = tabs.filter((page) => page !== leader);
  await until("another has a conn", async () => others.some(({ conns }) => conns.size > 0) && (await app.conns("grace")).length === 1);
  await app.revoke("grace", "password_changed");
  assert.deepEqual(await Promise.all(others.map(left)), Array(4).fill("password_changed"));
});

test("the tab with the conn hangs: the others hear of a sign-out all the same", async (t) => {
  const { tabs, leader } = await five(t, "linus");
  const others = tabs.filter((page) => page !== leader);
  // A tab that is looked at notices that nothing comes.
  await others[0].bringToFront();
  const hung = leader.evaluate(() => {
    const end = performance.now() + 15_000;
    while (performance.now() < end);
  });
  let hangs = true;
  hung.catch(() => {}).then(() => (hangs = false)); // it may leave while it is evaluated
  await app.revoke("linus", "admin");
  // They learn it from the application: the notice itself has gone to the tab that hangs, so that some don't know why.
  for (const reason of await Promise.all(others.map(left))) assert.ok([null, "admin"].includes(reason), reason);
  assert.ok(hangs, "they have left while it hung");
  await left(leader);
});

test("where no WebSocket gets through, events do", async (t) => {
  app.network.refusesUpgrades = true;
  t.after(() => (app.network.refusesUpgrades = false));
  const { page } = await device(t, "ada");
  const second = await tab(page.context(), app, "/notes");
  await until("there is a stream", async () => (await app.conns("ada")).some(({ transport }) => transport === "sse"));
  assert.ok(app.network.refused >= 2);
  await app.revoke("ada", "admin");
  assert.deepEqual([await left(page), await left(second)], ["admin", "admin"]);
});

test("a page that the browser brings back shows nothing of a session that ended meanwhile", async (t) => {
  const { page } = await device(t, "grace");
  await page.addInitScript(() => addEventListener("pageshow", ({ persisted }) => (window.persisted = persisted)));
  await page.reload();
  await page.goto(`${app.url}/signin`);
  await app.revoke("grace", "admin");
  await page.goBack({ waitUntil: "commit" });
  t.diagnostic(`from the back-forward cache: ${await page.evaluate(() => window.persisted).catch(() => false)}`);
  await left(page);
  assert.equal(await page.getByText("This device").count(), 0);
});

test("another device's list of sessions is there as soon as a session begins or ends", async (t) => {
  const here = await device(t, "linus");
  const rows = here.page.locator("section[aria-labelledby=active] [data-session]");
  assert.equal(await rows.count(), 1);
  await until("it listens", async () => (await app.conns("linus")).length === 1);
  const there = await device(t, "linus");
  await until("it is listed", async () => (await rows.count()) === 2);
  await there.page.getByRole("button", { name: "Sign out", exact: true }).click();
  await until("it isn't any more", async () => (await rows.count()) === 1);
});
