// Nobody is there: every tab asks, one answer is enough, and without one the session ends for all services.
import assert from "node:assert/strict";
import { test } from "node:test";

import { copied, left, session, tab } from "./rig/browser.mjs";
import { stand } from "./rig/stand.mjs";

const { app, device } = stand(["--idle-timeout", "10s", "--notice", "6s"]);

test("all tabs ask before the end; staying in one is staying in all; without an answer all leave", async (t) => {
  const { context, page } = await device(t, "ada");
  const second = await tab(context, app, "/chat");
  const tabs = [page, second];
  const { sid } = await session(page);
  const stay = (at) => at.getByRole("button", { name: "Stay signed in" });
  await Promise.all(tabs.map((at) => stay(at).waitFor()));
  const asked = Date.now();
  await stay(second).click();
  await Promise.all(tabs.map((at) => stay(at).waitFor({ state: "detached" })));
  assert.equal((await app.call("GET", `/v1/sessions/${sid}`)).state, "active");

  const thief = await copied(context, app);
  await Promise.all(tabs.map((at) => stay(at).waitFor()));
  assert.ok(Date.now() - asked > 3000, "they ask again, later");
  assert.deepEqual(await Promise.all(tabs.map(left)), ["idle_timeout", "idle_timeout"]);
  await page.getByText("This session has ended: nobody was there for a while.").waitFor();
  assert.ok(Date.now() - asked > 9000, "the session has lived on after the answer");
  const { state, reason } = await app.call("GET", `/v1/sessions/${sid}`);
  assert.deepEqual([state, reason], ["ended", "idle_timeout"]);
  assert.equal((await thief("/api/notes")).status, 401);
});

test("somebody who types isn't asked", async (t) => {
  const { page } = await device(t, "grace");
  await page.getByRole("link", { name: "Notes" }).click();
  await page.getByLabel("New note").fill("");
  const end = Date.now() + 14_000;
  while (Date.now() < end) {
    await page.getByLabel("New note").press("a");
    assert.equal(await page.getByRole("alertdialog").count(), 0);
    await new Promise((resolve) => setTimeout(resolve, 300)); // as somebody types
  }
  assert.equal((await session(page)).user.name, "Grace Hopper");
});
