// Signing out: here, elsewhere, everywhere, and one session of many. Copies of cookies are over with their session wherever they are shown.
import assert from "node:assert/strict";
import { test } from "node:test";

import { copied, left, session, sessionCookie, signIn, tab } from "./rig/browser.mjs";
import { stand } from "./rig/stand.mjs";
import { holds, until } from "./rig/until.mjs";

const { app, device } = stand();

/** refused checks that a copy of a cookie opens nothing. */
async function refused(thief) {
  const page = await thief("/sessions");
  assert.deepEqual([page.status, page.headers.get("location")], [307, `${app.url}/signin?from=%2Fsessions`], "the proxy");
  assert.equal((await thief("/api/notes")).status, 401, "a route");
  assert.equal((await thief("/api/ticket", { method: "POST", headers: { "Sec-Fetch-Site": "same-origin" } })).status, 401, "tickets");
  assert.equal((await thief("/api/chat-token", { method: "POST", headers: { "Sec-Fetch-Site": "same-origin" } })).status, 401, "the chat");
  assert.equal(await (await thief("/api/auth/session")).json(), null, "Auth.js");
}

test("signing out other devices: the other one's tabs leave, the copy of its cookie is over, and this one stays", async (t) => {
  const here = await device(t, "ada");
  const there = await device(t, "ada");
  const second = await tab(there.context, app, "/notes");
  const thief = await copied(there.context, app);
  assert.equal((await thief("/api/notes")).status, 200);
  await until("both browsers listen", async () => (await app.conns("ada")).length === 2);
  await until("the list has heard of the other one", async () => (await here.page.locator("[data-session]:has(button)").count()) === 1);
  await here.page.getByRole("button", { name: "Sign out other devices" }).click();
  await here.page.getByText("You are signed out everywhere but here.").waitFor();
  assert.deepEqual([await left(there.page), await left(second)], ["user_logout", "user_logout"]);
  await refused(thief);
  assert.equal(await sessionCookie(there.context), undefined);
  assert.equal((await session(here.page)).user.name, "Ada Lovelace");
  await here.page.reload();
  await here.page.getByText("This session").waitFor();
  await until("it listens again, alone", async () => (await app.conns("ada")).length === 1);
});

test("signing out everywhere: the tab that asks says who has confirmed, and stays; all others leave", async (t) => {
  const here = await device(t, "grace");
  const phone = await device(t, "grace");
  const beside = await tab(here.context, app, "/chat");
  const thief = await copied(phone.context, app);
  await until("both browsers listen", async () => (await app.conns("grace")).length === 2);
  await here.page.getByRole("button", { name: "Sign out everywhere…" }).click();
  const dialog = here.page.getByRole("dialog");
  await dialog.getByRole("button", { name: "Sign out everywhere" }).click();
  await dialog.getByRole("heading", { name: "You are signed out everywhere" }).waitFor();
  await dialog.getByText("2 of 2 services refuse your sessions").waitFor();
  await dialog.getByText("2 of 2 browsers with an open page have been told").waitFor();
  assert.equal(await dialog.getByText("Not confirmed").count(), 0);
  assert.deepEqual([await left(phone.page), await left(beside)], ["user_logout", "user_logout"]);
  await refused(thief);
  assert.deepEqual([await app.conns("grace"), await app.sessions("grace")], [[], []]);
  await holds("the confirmation stays", () => dialog.getByText("2 of 2 services").isVisible(), 1500);
  await dialog.getByRole("link", { name: "Sign in again" }).click();
  await signIn(here.page, "grace");
  assert.equal((await session(here.page)).user.name, "Grace Hopper");
});

test("who hasn't confirmed is named: a backend that hangs", async (t) => {
  const here = await device(t, "linus");
  await until("it listens", async () => (await app.conns("linus")).length === 1);
  process.kill(app.pid("backend"), "SIGSTOP");
  t.after(() => process.kill(app.pid("backend"), "SIGCONT"));
  await here.page.getByRole("button", { name: "Sign out everywhere…" }).click();
  const dialog = here.page.getByRole("dialog");
  await dialog.getByRole("button", { name: "Sign out everywhere" }).click();
  await dialog.getByText("1 of 2 services refuse your sessions").waitFor();
  await dialog.getByText(/Not confirmed within three seconds: the backend of notes and chat\. It is stored/).waitFor();
});

test("ending one session of the list ends that one, and not another user's", async (t) => {
  const here = await device(t, "ada");
  const [tablet, laptop] = [await device(t, "ada"), await device(t, "ada")];
  const other = await device(t, "grace");
  const { sid } = await session(tablet.page);
  await here.page.reload();
  const row = here.page.locator(`section[aria-labelledby=active] [data-session="${sid}"]`);
  await row.getByRole("button", { name: /^End the session on/ }).click();
  await here.page.getByText("That session is over.").waitFor();
  assert.equal(await left(tablet.page), "user_logout");
  await here.page.locator(`section[aria-labelledby=ended] [data-session="${sid}"]`).getByText("you signed out").waitFor();
  assert.equal((await session(laptop.page)).user.name, "Ada Lovelace");

  // What a browser sends is only a wish.
  const theirs = (await session(other.page)).sid;
  await here.page.getByRole("button", { name: /^End the session on/ }).first().evaluate((button, value) => (button.form.elements.session.value = value), theirs);
  await here.page.getByRole("button", { name: /^End the session on/ }).first().click();
  await here.page.getByText("There is no such session of yours.").waitFor();
  assert.equal((await session(other.page)).user.name, "Grace Hopper");
});

test("a cookie that an answer under way sets anew after the sign-out opens nothing", async (t) => {
  const { context, page } = await device(t, "linus");
  // A page that isn't signed out by a notice, so that its call isn't broken off.
  const slow = await tab(context, app, "/signin");
  const release = app.front.hold("/api/auth/session");
  t.after(release);
  const answered = slow.evaluate(async () => (await fetch("/api/auth/session")).json());
  await until("the answer is under way", () => app.front.waiting["/api/auth/session"] > 0);
  await page.getByRole("button", { name: "Sign out", exact: true }).click();
  await page.getByText("This session has ended: you signed out, here or on another device.").waitFor();
  assert.equal(await sessionCookie(context), undefined);
  release();
  assert.equal((await answered).user.name, "Linus Torvalds");
  assert.ok(await sessionCookie(context), "the race is the real one: the cookie is back");
  await refused(await copied(context, app));
  await page.goto(`${app.url}/sessions`);
  assert.equal(new URL(page.url()).pathname, "/signin");
  await until("nobody has the cookie any more", async () => !(await sessionCookie(context)));
});

test("a copy of a cookie is over with the session, at the backend too, and a new login works at once, in a browser with the old cookie", async (t) => {
  const { context, page } = await device(t, "ada");
  const [thief, cookies, { sid }] = [await copied(context, app), await context.cookies(), await session(page)];
  const { auth_time } = await app.call("GET", `/v1/sessions/${sid}`);
  const claims = { sub: "ada", sid, auth_time_ms: Date.parse(auth_time) };
  assert.equal((await app.notes(claims)).status, 200);
  await page.getByRole("button", { name: "Sign out", exact: true }).click();
  await page.waitForURL(/reason=user_logout/);
  await refused(thief);
  const answer = await until("the backend has heard", async () => {
    const got = await app.notes(claims);
    return got.status !== 200 && got;
  });
  assert.deepEqual([answer.status, (await answer.json()).code], [401, "session_revoked"]);
  await context.addCookies(cookies);
  await page.goto(`${app.url}/notes`);
  await signIn(page, "ada", "Notes");
  assert.notEqual((await session(page)).sid, sid);
  await refused(thief);
});

test("only pages of the application sign anybody out", async (t) => {
  const { context, page } = await device(t, "grace");
  const thief = await copied(context, app);
  const elsewhere = [{ "Sec-Fetch-Site": "cross-site", Origin: "https://evil.example" }, { "Sec-Fetch-Site": "same-site", Origin: app.network.url }, { Origin: "https://evil.example" }, {}];
  for (const headers of elsewhere) {
    for (const path of ["/api/signout", "/api/signout/everywhere", "/api/chat-token", "/api/notes", "/api/ticket", "/api/touch"]) {
      assert.equal((await thief(path, { method: "POST", headers })).status, 403, `${path} ${JSON.stringify(headers)}`);
    }
  }
  assert.equal((await session(page)).user.name, "Grace Hopper");
});
