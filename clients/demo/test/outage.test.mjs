// Curfew is stopped, as a process that hangs is, and goes on: nobody is let in meanwhile whose session can't be checked, and nobody is signed out by it.
import assert from "node:assert/strict";
import { test } from "node:test";

import { copied, left, session, sessionCookie } from "./rig/browser.mjs";
import { stand } from "./rig/stand.mjs";
import { until } from "./rig/until.mjs";

const { app, device } = stand();

test("closed: the cookie is kept, pages and routes and the backend refuse, and all let in again afterwards", async (t) => {
  const { context, page } = await device(t, "ada");
  const { sid } = await session(page);
  const { auth_time } = await app.call("GET", `/v1/sessions/${sid}`);
  const claims = { sub: "ada", sid, auth_time_ms: Date.parse(auth_time) };
  const call = await copied(context, app);
  const curfew = app.pid("curfew");
  process.kill(curfew, "SIGSTOP");
  t.after(() => process.kill(curfew, "SIGCONT"));

  await until("pages say that it can't be told", async () => (await call("/sessions")).status === 503, 40_000);
  await until("so do routes", async () => (await call("/api/notes")).status === 503);
  await until("so does the backend", async () => (await app.notes(claims)).status === 503, 40_000);
  await page.goto(`${app.url}/sessions`);
  await page.getByRole("heading", { name: "One moment" }).waitFor();
  assert.equal(await page.getByText("Network").count(), 0, "nothing of theirs is shown");
  assert.ok(await sessionCookie(context), "the cookie is kept");

  process.kill(curfew, "SIGCONT");
  // The page looks again by itself.
  await page.getByRole("heading", { name: "Devices and sessions" }).waitFor();
  assert.equal((await session(page)).sid, sid, "it is the same session");
  await until("the backend lets them in", async () => (await app.notes(claims)).status === 200);
});

test("a sign-out while Curfew hangs is kept, and over for all once it is back", async (t) => {
  const { context, page } = await device(t, "grace");
  const thief = await copied(context, app);
  const { sid } = await session(page);
  const curfew = app.pid("curfew");
  process.kill(curfew, "SIGSTOP");
  t.after(() => process.kill(curfew, "SIGCONT"));
  await page.getByRole("button", { name: "Sign out", exact: true }).click();
  await page.waitForURL(/reason=user_logout/);
  assert.equal(await sessionCookie(context), undefined);
  assert.equal((await thief("/api/notes")).status, 401, "the application itself knows at once");
  process.kill(curfew, "SIGCONT");
  await until("the ledger has it", async () => (await app.call("GET", `/v1/sessions/${sid}`)).state === "ended");
});

test("signing out everywhere while Curfew hangs doesn't look like success, and becomes one", async (t) => {
  const { page } = await device(t, "linus");
  const other = await device(t, "linus");
  const thief = await copied(other.context, app);
  const curfew = app.pid("curfew");
  process.kill(curfew, "SIGSTOP");
  t.after(() => process.kill(curfew, "SIGCONT"));
  await page.getByRole("button", { name: "Sign out everywhere…" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Sign out everywhere" }).click();
  const dialog = page.getByRole("dialog", { name: "You are signed out here" });
  await dialog.getByRole("status").getByText("Curfew can’t be reached.").waitFor();
  assert.equal((await thief("/api/notes")).status, 401, "the application itself knows at once");
  process.kill(curfew, "SIGCONT");
  await until("none is left", async () => (await app.sessions("linus")).length === 0);
  assert.equal(await left(other.page), "user_logout");
});
