// Idle sessions, from a real gateway with a registry: somebody is asked in every tab, stays, or is signed out.

import assert from "node:assert/strict";
import { test } from "node:test";
import { becomes, leaves, seen, tab } from "./fixture/browser.js";
import { stand } from "./fixture/stand.js";
import { holds, until } from "./fixture/until.js";

const IDLE_MS = 5_000;
const { app, newContext } = await stand(["--sessions-idle-timeout", IDLE_MS + "ms", "--sessions-notice", "3s"]);

async function device(t, user, count, options = {}) {
  const context = await newContext(t);
  app.touches = [];
  await app.registered(context, user);
  const tabs = [];
  for (let i = 0; i < count; i++) {
    tabs.push(await tab(context, app, { touchUrl: "/api/touch", touchIntervalMs: 500, ...options }));
    await becomes(tabs[i], i ? "following" : "ready");
  }
  return tabs;
}

const dialog = (page) => page.getByRole("alertdialog");

test("every tab asks, one answer closes it in all, and nobody is signed out until it is asked in vain", async (t) => {
  const tabs = await device(t, "ida", 3, { dialog: true, leaveAfterMs: 60_000 });
  const warned = async () => { for (const p of tabs) await dialog(p).filter({ hasText: "still there" }).waitFor(); };
  await warned();
  const staying = performance.now();
  await tabs[1].bringToFront();
  await dialog(tabs[1]).getByRole("button", { name: "Stay signed in" }).click();
  for (const p of tabs) await dialog(p).waitFor({ state: "detached" });
  assert.equal(new Set(app.touches).size, 1);
  await warned();
  assert.ok(performance.now() - staying >= 1_500, "the time began anew");
  // Nobody answers.
  for (const p of tabs) await dialog(p).filter({ hasText: "You are signed out" }).waitFor();
  assert.match(await dialog(tabs[0]).textContent(), /Because nothing was done for a while\./);
  await dialog(tabs[0]).getByRole("button").click();
  assert.equal(await leaves(tabs[0]), "idle_timeout");
});

test("trap 33: whoever types isn't asked, and a page that asks its application again and again by itself doesn't count as somebody", async (t) => {
  const [page, other] = await device(t, "ivo", 2);
  await other.evaluate(() => { setInterval(() => { window.listener.check(); void fetch("/api/auth/session"); }, 200); });
  await page.bringToFront();
  const end = performance.now() + IDLE_MS * 1.6;
  while (performance.now() < end) {
    await page.locator("#draft").press("a");
    await holds("nobody is asked", async () => (await seen(page)).expiring.length === 0, 300);
  }
  // Now nobody types, and the other page goes on.
  await until("somebody is asked", async () => (await seen(page)).expiring.length > 0);
  // Both leave. The page that asks all the time may hear from its application that the session is over before the notice has told it why, and then neither tab knows.
  for (const p of [page, other]) assert.ok([null, "idle_timeout"].includes(await leaves(p)));
});

test("without a touch it is only said", async (t) => {
  const [page] = await device(t, "ira", 1, { touchUrl: "", dialog: true, leaveAfterMs: 100 });
  await dialog(page).filter({ hasText: "still there" }).waitFor();
  assert.deepEqual(await dialog(page).getByRole("button").allTextContents(), ["Sign in again", "Not now"]);
  assert.equal(await leaves(page), "idle_timeout");
});
