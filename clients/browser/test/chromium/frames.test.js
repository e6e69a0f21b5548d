// What a tab does about frames and ends that a real gateway wouldn't send when a test asks it to. A scripted gateway sends them, over real WebSockets, the golden
// frames among them; idle.test.js has the warnings of a real one.

import assert from "node:assert/strict";
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

// device opens a browser with so many tabs, at a gateway of its own.
async function device(t, count = 1, options = {}) {
  gateway = await new ScriptedGateway().start();
  app.use(gateway);
  const context = await browser.newContext();
  t.after(async () => {
    await context.close();
    await gateway.stop();
  });
  const session = await app.signedIn(context, "sam");
  const tabs = [await tab(context, app, options)];
  await becomes(tabs[0], "ready");
  for (let i = 1; i < count; i++) {
    tabs.push(await tab(context, app, options));
    await becomes(tabs[i], "following");
  }
  return { context, session, tabs, page: tabs[0] };
}

const said = (type) => gateway.said.filter((f) => f.type === type);
const end = (session) => app.sessions.delete(session.cookie);

test("a forged notice signs nobody out, and is acknowledged as ignored once, also if it comes again", async (t) => {
  const { tabs, page } = await device(t, 2);
  gateway.conns[0].say(goldenFrame("logout.full"));
  await until("it is ignored", () => said("ack").length === 1);
  gateway.conns[0].say(goldenFrame("logout.full"));
  await until("it is ignored again", () => said("ack").length === 2);
  assert.deepEqual(said("ack").map((f) => f.outcome), ["ignored", "ignored"]);
  for (const p of tabs) assert.deepEqual((await seen(p)).ended, []);
  assert.equal(await state(page), "ready");
});

test("what isn't a frame changes nothing", async (t) => {
  const { page } = await device(t);
  const [conn] = gateway.conns;
  for (const text of ["", "{", "null", "[]", '"logout"', '{"type":"logout"}', '{"type":"logout","id":1,"scope":"user","reason":"admin","at":"x"}', '{"type":"constructor"}', '{"type":"ready","session":1}',
    '{"type":"session_expiring","reason":"idle_timeout","at":"x","in_ms":-1}', '{"type":"moon"}', "\u0000", "x".repeat(40_000)]) conn.raw(text);
  conn.say(goldenFrame("sessions_changed", { color: "red" }));
  await until("the frame after them is read", async () => (await seen(page)).changed === 1);
  const { errors, ended } = await seen(page);
  assert.deepEqual([errors, ended, await state(page)], [[], [], "ready"]);
});

test("the notice tells the page why, and its text is text", async (t) => {
  const { page, session } = await device(t, 1, { stays: true });
  end(session);
  const notice = goldenFrame("logout.full");
  gateway.conns[0].say(notice);
  await becomes(page, "signed_out");
  assert.deepEqual((await seen(page)).ended, [{ reason: notice.reason, message: notice.message, notice }]);
  await until("it is acknowledged", () => said("ack")[0]?.outcome === "signed_out");
});

test("the first request says what was heard before, also by another leader", async (t) => {
  const { tabs: [page, other] } = await device(t, 2);
  assert.deepEqual(gateway.conns[0].offers.map((o) => o.replace(/(ticket\.tkt_).+/, "$1")), ["curfew.v1", "ticket.tkt_"]);
  gateway.conns[0].say(goldenFrame("logout.minimal"));
  await until("it is ignored", () => said("ack").length === 1);
  gateway.conns[0].say({ type: "sessions_changed", position: 12 });
  await until("both have heard", async () => (await seen(other)).changed === 1);
  await page.close();
  await becomes(other, "ready");
  assert.deepEqual(gateway.conns[0].offers.slice(2), ["after." + goldenFrame("logout.minimal").id, "position.12"]);
});

test("trap 24: a terminal code isn't come back from, whichever it is", async (t) => {
  for (const code of [4501, 4500, 4999]) {
    await t.test(String(code), async (t) => {
      const { page } = await device(t);
      gateway.conns[0].close(code);
      await becomes(page, "over");
      await holds("it stays", () => gateway.opened === 1 && gateway.requests.length === 0, 1_500);
      assert.deepEqual((await seen(page)).ended, []);
    });
  }
});

test("a terminal code without a notice, and the application says that nobody is signed in", async (t) => {
  const { page, session } = await device(t);
  end(session);
  gateway.conns[0].close(4501);
  assert.equal(await leaves(page), null);
});

test("4503: a new ticket is asked for, and none is the end", async (t) => {
  const { page, session } = await device(t);
  gateway.conns[0].close(4503);
  await until("it is back", () => gateway.opened === 2);
  await becomes(page, "ready");
  end(session);
  gateway.conns[0].close(4503);
  await leaves(page);
  assert.equal(gateway.opened, 2);
});

test("trap 35: another session of the browser is followed, and the end of the last one ignored", async (t) => {
  const { context, page } = await device(t);
  const next = await app.signedIn(context, "sue");
  gateway.conns[0].say(goldenFrame("logout.minimal"));
  await until("it is ignored", () => said("ack")[0]?.outcome === "ignored");
  await until("it is there with the other session's ticket", async () => gateway.opened === 2 && gateway.session === next.sid);
  await becomes(page, "ready");
  assert.deepEqual((await seen(page)).ended, []);
});

test("trap 39: where sessions have no names, a conn that was ended for good isn't opened again and again", async (t) => {
  app.names = false;
  t.after(() => { app.names = true; });
  const { page } = await device(t);
  gateway.conns[0].close(4501);
  await becomes(page, "over");
  await page.evaluate(() => { for (let i = 0; i < 5; i++) window.listener.check(); });
  await holds("it stays", () => gateway.opened === 1, 1_500);
});

test("a gateway that falls silent is left, and its conn closed", async (t) => {
  gateway = await new ScriptedGateway().start();
  gateway.ready.heartbeat_ms = 400;
  app.use(gateway);
  const context = await browser.newContext();
  t.after(async () => { await context.close(); await gateway.stop(); });
  await app.signedIn(context, "sid");
  const page = await tab(context, app);
  await becomes(page, "ready");
  const beat = setInterval(() => gateway.conns[0]?.say({ type: "heartbeat" }), 300);
  t.after(() => clearInterval(beat));
  await holds("it stays while something comes, if only heartbeats", () => gateway.opened === 1, 2_500);
  const [old] = gateway.conns;
  clearInterval(beat);
  await until("it comes back", () => gateway.opened >= 2);
  await until("the old conn is closed", () => old.closed);
});

test("golden session_expiring and session_renewed reach all tabs, and those that are opened in between", async (t) => {
  const { context, tabs } = await device(t, 2);
  gateway.conns[0].say(goldenFrame("session_expiring"));
  for (const p of tabs) await until("it is told", async () => (await seen(p)).expiring.length === 1);
  const late = await tab(context, app);
  await until("the late one is told", async () => (await seen(late)).expiring.length === 1);
  const left = (await seen(late)).expiring[0].in_ms;
  assert.ok(left > 50_000 && left < 60_000, `${left} ms are left`);
  gateway.conns[0].say(goldenFrame("session_renewed"));
  for (const p of [...tabs, late]) await until("it is called off", async () => (await seen(p)).renewed === 1);
});

test("the announced end comes, and nobody says so: the application is asked, and nobody is signed out by the tab's clock", async (t) => {
  const { page } = await device(t);
  const asked = app.asked["/api/auth/session"];
  gateway.conns[0].say(goldenFrame("session_expiring", { in_ms: 300 }));
  await until("the application is asked", () => app.asked["/api/auth/session"] > asked);
  await holds("it stays", async () => await state(page) === "ready" && (await seen(page)).ended.length === 0, 500);
});

test("trap 33: people's input is told by one tab for all, once in an interval, and what pages do by themselves isn't", async (t) => {
  const { tabs: [page, other] } = await device(t, 2, { touchUrl: "/api/touch", touchIntervalMs: 800 });
  app.touches = [];
  for (const p of [page, other]) {
    await p.evaluate(() => {
      for (const type of ["pointerdown", "keydown", "wheel", "touchstart"]) document.body.dispatchEvent(new Event(type, { bubbles: true }));
      document.querySelector("#ok").click();
      return fetch("/api/auth/session");
    });
  }
  await holds("nothing is told", () => app.touches.length === 0, 1_000);
  await other.bringToFront();
  await other.locator("#draft").pressSequentially("hello");
  await until("it is told", () => app.touches.length === 1);
  await page.locator("#ok").click();
  await other.locator("#ok").click();
  await holds("not before the interval is over", () => app.touches.length === 1, 400);
  await until("and then once more", () => app.touches.length === 2);
  await holds("and no more", () => app.touches.length === 2, 1_200);
});

test("an input whose touch failed is told with the next one, not again and again", async (t) => {
  const { page } = await device(t, 1, { touchUrl: "/api/touch", touchIntervalMs: 300 });
  app.touches = [];
  app.failsTouches = true;
  t.after(() => { app.failsTouches = false; });
  const asked = app.asked["/api/touch"] ?? 0;
  await page.locator("#ok").click();
  await until("it was tried", () => app.asked["/api/touch"] === asked + 1);
  await holds("once", () => app.asked["/api/touch"] === asked + 1, 1_000);
  app.failsTouches = false;
  await page.locator("#ok").click();
  await until("it is told", () => app.touches.length === 1);
});

test("without touch and touchUrl nobody's input is told", async (t) => {
  const { page } = await device(t);
  const asked = app.asked["/api/touch"] ?? 0;
  await page.locator("#ok").click();
  await holds("nothing is told", () => (app.asked["/api/touch"] ?? 0) === asked, 800);
});
