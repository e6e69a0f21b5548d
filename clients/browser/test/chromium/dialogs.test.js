// The package's own dialogs, for those who see, hear, or have a keyboard only, on a page with a strict content security policy. A scripted gateway sends the golden
// session_expiring and session_renewed, so that their times are the test's; idle.test.js has those of a real one. SCREENSHOTS=<folder> keeps pictures of the dialogs.

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Application } from "./fixture/application.js";
import { becomes, launch, leaves, seen, state, tab } from "./fixture/browser.js";
import { ScriptedGateway, goldenFrame } from "./fixture/scriptedgateway.js";
import { holds, until } from "./fixture/until.js";

const app = await new Application().start();
let browser, gateway;

before(async () => { browser = await launch(); });
after(async () => {
  await browser?.close();
  await app.stop();
});

async function device(t, count = 1, { options = {}, ...context } = {}) {
  gateway = await new ScriptedGateway().start();
  app.use(gateway);
  app.touches = [];
  const c = await browser.newContext(context);
  t.after(async () => {
    await c.close();
    await gateway.stop();
  });
  const session = await app.signedIn(c, "dana");
  const tabs = [];
  for (let i = 0; i < count; i++) {
    tabs.push(await tab(c, app, { dialog: true, touchUrl: "/api/touch", ...options }));
    await becomes(tabs[i], i ? "following" : "ready");
  }
  return { context: c, session, tabs, page: tabs[0] };
}

const dialog = (page) => page.getByRole("alertdialog");
const warn = (more) => gateway.conns[0].say(goldenFrame("session_expiring", { in_ms: 60_000, ...more }));
const shown = async (...tabs) => { for (const p of tabs) await dialog(p).waitFor(); };
const gone = async (...tabs) => { for (const p of tabs) await dialog(p).waitFor({ state: "detached" }); };
// focused is the text of what has the focus, within shadow roots too.
const focused = (page) => page.evaluate(() => {
  let at = document.activeElement;
  while (at?.shadowRoot?.activeElement) at = at.shadowRoot.activeElement;
  return at.id || at.textContent;
});

// heard is what a screen reader gets of the dialog, from the browser's own tree.
async function heard(page) {
  const cdp = await page.context().newCDPSession(page);
  const { nodes } = await cdp.send("Accessibility.getFullAXTree");
  await cdp.detach();
  const node = nodes.find((n) => n.role?.value === "alertdialog");
  return node && {
    name: node.name.value, description: node.description.value, modal: node.properties.find((p) => p.name === "modal")?.value.value,
    others: nodes.filter((n) => !n.ignored && ["textbox", "heading"].includes(n.role?.value)).map((n) => n.name.value),
  };
}

test("the warning is an alert dialog with a name and a description, and the page behind it is out of reach", async (t) => {
  const { page } = await device(t);
  await page.locator("#draft").focus();
  warn();
  await shown(page);
  const got = await heard(page);
  assert.equal(got.name, "Are you still there?");
  assert.match(got.description, /^You will be signed out in (1 minute|5\d seconds), because nothing was done for a while\.$/);
  assert.equal(got.modal, true);
  assert.deepEqual(got.others, ["Are you still there?"], "the page's own heading and text field are inert");
  assert.deepEqual((await seen(page)).violations, []);
});

test("the focus moves in, stays in, and goes back", async (t) => {
  const { page } = await device(t);
  await page.locator("#draft").focus();
  warn({ reason: "max_age" });
  await shown(page);
  assert.equal(await focused(page), "Sign in again");
  for (const [key, at] of [["Tab", "Not now"], ["Tab", "Sign in again"], ["Shift+Tab", "Not now"], ["Shift+Tab", "Sign in again"]]) {
    await page.keyboard.press(key);
    assert.equal(await focused(page), at, key);
  }
  await page.keyboard.press("Escape");
  await gone(page);
  assert.equal(await focused(page), "draft");
});

for (const [how, stay] of [
  ["the button", (page) => dialog(page).getByRole("button", { name: "Stay signed in" }).click()],
  ["Enter", (page) => page.keyboard.press("Enter")],
  ["Space", (page) => page.keyboard.press("Space")],
  ["Escape", (page) => page.keyboard.press("Escape")],
]) {
  test(`${how} keeps the session, and closes the warning in every tab`, async (t) => {
    const { session, tabs } = await device(t, 3);
    warn();
    await shown(...tabs);
    await tabs[1].bringToFront();
    await stay(tabs[1]);
    await gone(...tabs);
    assert.ok(app.touches.length >= 1 && app.touches.every((s) => s === session.sid));
    for (const p of tabs) assert.equal((await seen(p)).renewed, 1, "it is told once");
  });
}

test("somebody else's touch closes it too: session_renewed", async (t) => {
  const { tabs } = await device(t, 2);
  warn();
  await shown(...tabs);
  gateway.conns[0].say(goldenFrame("session_renewed"));
  await gone(...tabs);
});

test("a session that couldn't be kept says so, and the dialog stays", async (t) => {
  const { page } = await device(t);
  app.failsTouches = true;
  t.after(() => { app.failsTouches = false; });
  warn();
  await shown(page);
  await page.keyboard.press("Escape");
  await until("it says so", async () => (await dialog(page).getByRole("status").textContent()) === "That didn’t work. Please try again.");
  assert.ok(await dialog(page).isVisible());
  app.failsTouches = false;
  await page.keyboard.press("Escape");
  await gone(page);
});

test("the time that is left is shown each second and said at few moments", async (t) => {
  const { page } = await device(t);
  await page.clock.install();
  warn({ in_ms: 33_000 });
  await shown(page);
  const status = dialog(page).getByRole("status");
  assert.equal(await status.textContent(), "", "the dialog's own text is said at first");
  const said = new Set();
  const texts = new Set();
  for (let i = 0; i < 32; i++) {
    await page.clock.runFor(1_000);
    said.add(await status.textContent());
    texts.add(await dialog(page).getByText("You will be").textContent());
  }
  assert.deepEqual([...said], ["", "30 seconds", "10 seconds"]);
  assert.equal(texts.size, 32);
  await page.clock.runFor(2_000);
  await gone(page);
});

test("max_age can't be extended: it says so, and leads to signing in", async (t) => {
  const { tabs: [page, other] } = await device(t, 2, { options: { signInUrl: "/plain" } });
  warn({ reason: "max_age", in_ms: 300_000 });
  await shown(page, other);
  assert.match((await heard(page)).description, /It ends in 5 minutes and can’t be extended/);
  await dialog(other).getByRole("button", { name: "Not now" }).click();
  await gone(other);
  warn({ reason: "max_age", in_ms: 290_000 });
  await holds("the same end isn't announced again", async () => !await dialog(other).isVisible(), 500);
  await dialog(page).getByRole("button", { name: "Sign in again" }).click();
  await page.waitForURL(/\/plain/);
});

test("without a touch nothing can keep an idle session, so nothing is promised", async (t) => {
  const { page } = await device(t, 1, { options: { touchUrl: undefined } });
  warn();
  await shown(page);
  assert.deepEqual(await dialog(page).getByRole("button").allTextContents(), ["Sign in again", "Not now"]);
});

test("the dialog after the end hides the page, says why in its words, and leads on", async (t) => {
  const { session, tabs: [page, other] } = await device(t, 2, { options: { leaveAfterMs: 60_000 } });
  app.sessions.delete(session.cookie);
  gateway.conns[0].say(goldenFrame("logout.full"));
  await shown(page, other);
  const got = await heard(page);
  assert.equal(got.name, "You are signed out");
  assert.equal(got.description, "Because your password was changed. Dein Passwort wurde geändert 🔒 <b>&");
  assert.deepEqual(got.others, ["You are signed out"]);
  assert.equal(await page.evaluate(() => document.querySelector("curfew-dialog").shadowRoot.querySelector("b")), null, "text and no markup");
  assert.equal(await focused(page), "Sign in again");
  // The page can't be seen behind it.
  assert.match(await page.evaluate(() => getComputedStyle(document.querySelector("curfew-dialog").shadowRoot.querySelector("dialog"), "::backdrop").backgroundColor), /^rgb\(/);
  assert.deepEqual((await seen(page)).violations, []);
  await page.keyboard.press("Escape");
  assert.equal(await leaves(page), "password_changed");
  assert.ok(await dialog(other).isVisible(), "each tab goes when somebody has read it there");
  await other.keyboard.press("Enter");
  assert.equal(await leaves(other), "password_changed");
});

test("the tab goes by itself when nobody reads it", async (t) => {
  const { session, page } = await device(t, 1, { options: { leaveAfterMs: 300 } });
  app.sessions.delete(session.cookie);
  gateway.conns[0].say(goldenFrame("logout.minimal"));
  assert.equal(await leaves(page), "idle_timeout");
});

test("where many are signed out at once each tab goes by itself later, and with whoever goes on at once", async (t) => {
  const { session, tabs: [page, other] } = await device(t, 2, { options: { leaveAfterMs: 100 } });
  app.sessions.delete(session.cookie);
  const began = performance.now();
  gateway.conns[0].say(goldenFrame("logout.later", { login_after_ms: 2_500 }));
  await shown(page, other);
  await page.keyboard.press("Enter");
  assert.equal(await leaves(page), "admin");
  assert.ok(performance.now() - began < 2_500, "who goes on needn't wait");
  assert.equal(await leaves(other), "admin");
  assert.ok(performance.now() - began >= 2_500, "the other tab has waited for as long as the notice says");
});

test("a warning that is open gives way to the end", async (t) => {
  const { session, page } = await device(t, 1, { options: { leaveAfterMs: 60_000 } });
  warn();
  await shown(page);
  app.sessions.delete(session.cookie);
  gateway.conns[0].say(goldenFrame("logout.minimal"));
  await until("one dialog is left", async () => (await heard(page))?.name === "You are signed out");
  assert.equal(await dialog(page).count(), 1);
});

test("other words, for every reason, and for one that nobody knows yet", async (t) => {
  const messages = { endedTitle: "Abgemeldet", signIn: "Neu anmelden", reasons: { admin: "Von der Verwaltung beendet.", other: "Deine Sitzung ist zu Ende." } };
  for (const [reason, text] of [["admin", messages.reasons.admin], ["tides", messages.reasons.other], ["toString", messages.reasons.other], ["policy", "Because your organisation’s rules require it."]]) {
    await t.test(reason, async (t) => {
      const { session, page } = await device(t, 1, { options: { messages, leaveAfterMs: 60_000 } });
      app.sessions.delete(session.cookie);
      gateway.conns[0].say(goldenFrame("logout.minimal", { reason }));
      await shown(page);
      assert.deepEqual([(await heard(page)).name, (await heard(page)).description], ["Abgemeldet", text]);
      assert.deepEqual(await dialog(page).getByRole("button").allTextContents(), ["Neu anmelden"]);
    });
  }
});

test("dialog: false shows nothing, and still tells", async (t) => {
  const { session, page } = await device(t, 1, { options: { dialog: false, stays: true } });
  warn();
  await until("it is told", async () => (await seen(page)).expiring.length === 1);
  app.sessions.delete(session.cookie);
  gateway.conns[0].say(goldenFrame("logout.minimal"));
  await becomes(page, "signed_out");
  assert.equal(await dialog(page).count(), 0);
});

test("dialogs that couldn't be loaded are done without", async (t) => {
  const context = await browser.newContext();
  gateway = await new ScriptedGateway().start();
  app.use(gateway);
  t.after(async () => { await context.close(); await gateway.stop(); });
  await context.route(/dialogs\.js/, (route) => route.abort());
  const session = await app.signedIn(context, "dana");
  const page = await tab(context, app, { dialog: true });
  await becomes(page, "ready");
  warn();
  await until("it is told", async () => (await seen(page)).expiring.length === 1);
  assert.equal(await state(page), "ready");
  app.sessions.delete(session.cookie);
  gateway.conns[0].say(goldenFrame("logout.minimal"));
  await leaves(page);
});

for (const colorScheme of ["light", "dark"]) {
  for (const width of [1280, 390]) {
    test(`it fits, ${colorScheme}, at ${width} px`, async (t) => {
      const { session, page } = await device(t, 1, { colorScheme, viewport: { width, height: 700 }, reducedMotion: "reduce", options: { leaveAfterMs: 60_000 } });
      const fits = async (name) => {
        const box = await dialog(page).boundingBox();
        assert.ok(box.x >= 0 && box.x + box.width <= width && box.y >= 0 && box.y + box.height <= 700, JSON.stringify(box));
        assert.equal(await page.evaluate(() => document.querySelector("curfew-dialog").shadowRoot.getAnimations().length), 0, "nothing moves");
        const [button] = await dialog(page).getByRole("button").all();
        assert.ok((await button.boundingBox()).height >= 44, "fingers find it");
        if (!process.env.SCREENSHOTS) return;
        mkdirSync(process.env.SCREENSHOTS, { recursive: true });
        await page.screenshot({ path: join(process.env.SCREENSHOTS, `${name}-${colorScheme}-${width}.png`) });
      };
      warn({ reason: "max_age", in_ms: 300_000 });
      await shown(page);
      await fits("max-age");
      warn();
      await until("the other warning is there", async () => (await heard(page))?.name === "Are you still there?");
      await fits("idle");
      app.sessions.delete(session.cookie);
      gateway.conns[0].say(goldenFrame("logout.full"));
      await until("the end is told", async () => (await heard(page))?.name === "You are signed out");
      await fits("ended");
    });
  }
}
