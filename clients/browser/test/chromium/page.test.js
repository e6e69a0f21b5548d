// What the life of a page does to its listener, and what is left of it afterwards. The gateway is a real one.

import assert from "node:assert/strict";
import { test } from "node:test";
import { becomes, leaves, seen, state, tab } from "./fixture/browser.js";
import { stand } from "./fixture/stand.js";
import { holds, until } from "./fixture/until.js";

const { app, curfew, newContext } = await stand();

async function device(t, user, options = {}, prepare, path = "/") {
  const context = await newContext(t);
  if (prepare) await context.addInitScript(prepare);
  const session = await app.signedIn(context, user);
  const page = await tab(context, app, options, path);
  return { context, session, page };
}

const asked = () => app.asked["/api/auth/session"] ?? 0;

// conceal has a page look like one that nobody looks at, as a browser without windows never makes one.
const conceal = (page, hidden) => page.evaluate((hidden) => {
  Object.defineProperty(document, "visibilityState", { value: hidden ? "hidden" : "visible", configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}, hidden);

test("the application is asked again when somebody comes back to the tab, when the browser is online again, and when the page is resumed", async (t) => {
  const { session, page } = await device(t, "again");
  await becomes(page, "ready");
  const events = {
    visibilitychange: () => conceal(page, false),
    online: () => page.evaluate(() => dispatchEvent(new Event("online"))),
    resume: () => page.evaluate(() => document.dispatchEvent(new Event("resume"))),
    pageshow: () => page.evaluate(() => dispatchEvent(new PageTransitionEvent("pageshow", { persisted: true }))),
  };
  for (const [name, dispatch] of Object.entries(events)) {
    const n = asked();
    await dispatch();
    await until(name + " asks", () => asked() > n);
    await becomes(page, "ready");
  }
  const n = asked();
  await conceal(page, true);
  await page.evaluate(() => dispatchEvent(new PageTransitionEvent("pageshow", { persisted: false })));
  await holds("hiding a tab doesn't ask, and neither does a page that is shown first", () => asked() === n, 300);
  app.sessions.delete(session.cookie);
  await conceal(page, false);
  assert.equal(await leaves(page), null, "no notice came, so no reason is known");
});

test("trap 36: a page from the real back-forward cache asks again before it goes on", async (t) => {
  const { session, page } = await device(t, "bfcache");
  await becomes(page, "ready");
  await page.evaluate(() => {
    window.mark = "the same page";
    addEventListener("pageshow", (e) => { window.wasPersisted = e.persisted; });
  });
  await page.evaluate(() => { location.href = "/plain?away"; });
  await page.waitForURL(/away/);
  await until("the conn is gone", async () => (await curfew.tabs("bfcache")).length === 0);
  await page.evaluate(() => history.back());
  await page.waitForURL(/options/, { waitUntil: "commit" });
  assert.deepEqual(await page.evaluate(() => [window.mark, window.wasPersisted]), ["the same page", true], "it came from the back-forward cache");
  await becomes(page, "ready");
  assert.equal((await curfew.tabs("bfcache")).length, 1);

  await page.evaluate(() => { location.href = "/plain?away"; });
  await page.waitForURL(/away/);
  await curfew.revoke("bfcache", session.sid);
  await page.evaluate(() => history.back());
  await page.waitForURL((url) => url.pathname === "/plain" && !url.search.includes("away"));
});

for (const [what, leave, back] of [
  ["is frozen", () => document.dispatchEvent(new Event("freeze")), () => document.dispatchEvent(new Event("resume"))],
  ["is put away by a browser that freezes none", () => dispatchEvent(new PageTransitionEvent("pagehide", { persisted: true })),
    () => dispatchEvent(new PageTransitionEvent("pageshow", { persisted: true }))],
]) {
  test(`a page that ${what} gives up the lead, and takes part again when it is back`, async (t) => {
    const { context, page } = await device(t, "frozen");
    await becomes(page, "ready");
    const other = await tab(context, app);
    await becomes(other, "following");
    await page.evaluate(leave);
    await becomes(page, "suspended");
    await becomes(other, "ready");
    assert.equal((await curfew.tabs("frozen")).length, 1);
    await page.evaluate(back);
    await becomes(page, "following");
  });
}

// The page's own account of what is still held: timers, channels, locks.
const holdings = () => {
  const held = { timers: new Set(), channels: new Set() };
  window.held = held;
  for (const [set, clear] of [["setTimeout", "clearTimeout"], ["setInterval", "clearInterval"]]) {
    const [start, stop] = [window[set], window[clear]];
    window[set] = (act, ...rest) => {
      const id = start((...a) => {
        if (set === "setTimeout") held.timers.delete(id);
        act(...a);
      }, ...rest);
      held.timers.add(id);
      return id;
    };
    window[clear] = (id) => {
      held.timers.delete(id);
      stop(id);
    };
  }
  const Channel = window.BroadcastChannel;
  window.BroadcastChannel = class extends Channel {
    constructor(name) {
      super(name);
      held.channels.add(this);
    }

    close() {
      held.channels.delete(this);
      super.close();
    }
  };
};
const left = async (page) => ({
  timers: await page.evaluate(() => window.held.timers.size),
  channels: await page.evaluate(() => window.held.channels.size),
  locks: await page.evaluate(async () => {
    const { held, pending } = await navigator.locks.query();
    return held.length + pending.length;
  }),
  listeners: await listeners(page),
});

// listeners counts those of window and document.
async function listeners(page) {
  const cdp = await page.context().newCDPSession(page);
  let n = 0;
  for (const expression of ["window", "document"]) {
    const { result } = await cdp.send("Runtime.evaluate", { expression });
    n += (await cdp.send("DOMDebugger.getEventListeners", { objectId: result.objectId })).listeners.length;
  }
  await cdp.detach();
  return n;
}

for (const [when, wait] of [
  ["while it leads", (page) => becomes(page, "ready")],
  ["at once", () => {}],
  ["with a warning on the screen", async (page) => {
    await becomes(page, "ready");
    await page.evaluate(() => new BroadcastChannel("curfew:" + new URL(document.querySelector("script[data-gateway]").dataset.gateway).href.replace(/\/$/, ""))
      .postMessage({ type: "frame", frame: { type: "session_expiring", reason: "idle_timeout", at: "x", in_ms: 60_000 } }));
    await page.getByRole("alertdialog").waitFor();
    await page.evaluate(() => { for (const c of window.held.channels) if (!c.onmessage) c.close(); });
  }],
  ["while the application doesn't answer", async (page) => {
    await becomes(page, "ready");
    app.down = true;
    await page.evaluate(() => window.listener.check());
    await until("it has failed", async () => (await seen(page)).errors.length > 1);
  }],
]) {
  test(`nothing is left of a listener that is closed ${when}, nor by closing it twice`, async (t) => {
    const { page } = await device(t, "closing", { manual: true, dialog: true, touchUrl: "/api/touch" }, holdings);
    t.after(() => { app.down = false; });
    const before = await left(page);
    assert.deepEqual([before.timers, before.channels, before.locks], [0, 0, 0]);
    await page.evaluate(() => { window.listener = window.start(); });
    await wait(page);
    await page.evaluate(() => { window.listener.close(); window.listener.close(); });
    await until("nothing is left", async () => JSON.stringify(await left(page)) === JSON.stringify(before));
    await until("the conn is gone", async () => (await curfew.tabs("closing")).length === 0);
    assert.equal(await page.getByRole("alertdialog").count(), 0);
    const n = asked();
    await page.evaluate(() => { window.listener.check(); window.listener.signingOut(); dispatchEvent(new Event("online")); document.dispatchEvent(new Event("resume")); });
    await holds("it does nothing more", async () => asked() === n && JSON.stringify(await left(page)) === JSON.stringify(before), 1_200);
    assert.equal(await state(page), "closed");
  });
}

test("listeners that are started and closed a hundred times leave nothing, and one that is started after them works", async (t) => {
  const { page } = await device(t, "hundred", { manual: true }, holdings);
  const before = await left(page);
  await page.evaluate(() => { for (let i = 0; i < 100; i++) window.start().close(); });
  await until("nothing is left", async () => JSON.stringify(await left(page)) === JSON.stringify(before));
  await page.evaluate(() => { window.listener = window.start(); });
  await becomes(page, "ready");
});

test("one navigation, however often the end is told", async (t) => {
  const { session, page } = await device(t, "once", { beforeLogoutMs: 400 });
  await becomes(page, "ready");
  const visited = [];
  page.on("framenavigated", (frame) => visited.push(new URL(frame.url()).pathname));
  const name = "curfew:" + curfew.url;
  await curfew.revoke("once", session.sid);
  await page.evaluate((name) => {
    const c = new BroadcastChannel(name);
    for (let i = 0; i < 20; i++) {
      c.postMessage({ type: "ended" });
      c.postMessage({ type: "ended", notice: { type: "logout", id: "n" + i, scope: "user", reason: "admin", at: "x" } });
    }
    for (let i = 0; i < 5; i++) window.listener.check();
  }, name);
  await leaves(page);
  await holds("it has gone once", () => visited.length === 1, 700);
});

test("trap 36: by default the page is loaded anew, past the browser's cache, and stays", async (t) => {
  const { session, page } = await device(t, "reload", { manual: true }, undefined, "/careless");
  await page.evaluate(() => { window.listener = window.start({ redirectTo: undefined, reasonParam: undefined }); });
  await becomes(page, "ready");
  const url = page.url();
  await curfew.revoke("reload", session.sid);
  await until("it shows nobody's page", async () => await page.locator("#who").textContent().catch(() => "") === "nobody");
  assert.equal(page.url(), url);
  await holds("and stays there", async () => await page.locator("#who").textContent() === "nobody", 500);
});

test("a page that asks whether to leave, and is told to stay, stays behind the dialog, and goes from there", async (t) => {
  const { session, page } = await device(t, "refuses", { dialog: true, leaveAfterMs: 300 });
  await becomes(page, "ready");
  await page.locator("#ok").click(); // without which nobody is asked
  await page.evaluate(() => addEventListener("beforeunload", (e) => e.preventDefault()));
  let asks = 0;
  page.on("dialog", (d) => void (++asks < 2 ? d.dismiss() : d.accept()));
  await curfew.revoke("refuses", session.sid);
  await until("the page was told to stay", () => asks === 1);
  const button = page.getByRole("alertdialog").getByRole("button");
  await button.waitFor();
  await button.click();
  assert.equal(await leaves(page), "admin");
  assert.equal(asks, 2);
});

test("where it goes is a page, and the reason is added to what the address has", async (t) => {
  const cases = [
    ["/plain?next=%2Fa#top", /\/plain\?next=%2Fa&reason=admin#top$/],
    ["javascript:window.pwned=1", /options=/],
  ];
  for (const [redirectTo, want] of cases) {
    await t.test(redirectTo, async (t) => {
      const { session, page } = await device(t, "where", { redirectTo });
      await becomes(page, "ready");
      const gone = page.waitForEvent("framenavigated");
      await curfew.revoke("where", session.sid);
      await gone;
      await page.waitForLoadState();
      assert.match(page.url(), want);
      assert.equal(await page.evaluate(() => window.pwned), undefined);
    });
  }
});

test("beforeLogout has its time and no more, and what throws holds nobody up", async (t) => {
  const { session, page } = await device(t, "draft", { manual: true });
  await page.evaluate(() => {
    window.listener = window.start({
      onNotice: () => { throw new Error("onNotice failed"); },
      beforeLogout: () => { sessionStorage.setItem("draft", document.querySelector("#draft").value); return new Promise(() => {}); },
      beforeLogoutMs: 300,
      onError: (e) => sessionStorage.setItem("error", e.message),
    });
  });
  await becomes(page, "ready");
  await page.locator("#draft").fill("half a sentence");
  await curfew.revoke("draft", session.sid);
  await leaves(page);
  assert.deepEqual(await page.evaluate(() => [sessionStorage.getItem("draft"), sessionStorage.getItem("error")]), ["half a sentence", "onNotice failed"]);
});

test("onNotice that returns false takes over; a later sign-in is followed", async (t) => {
  const { context, session, page } = await device(t, "takes-over", { stays: true });
  await becomes(page, "ready");
  await curfew.revoke("takes-over", session.sid);
  await becomes(page, "signed_out");
  assert.ok(!page.url().includes("/plain"));
  await app.signedIn(context, "takes-over");
  await page.evaluate(() => window.listener.check());
  await becomes(page, "ready");
  assert.equal((await seen(page)).ended.length, 1);
});

test("Auth.js's tabs are told in the ways of its versions 5 and 4", async (t) => {
  const { context, session, page } = await device(t, "nudge", { stays: true });
  await becomes(page, "ready");
  const bystander = await tab(context, app, {}, "/plain");
  await bystander.evaluate(() => {
    window.heard = [];
    new BroadcastChannel("next-auth").onmessage = (e) => window.heard.push(["v5", e.data]);
    addEventListener("storage", (e) => window.heard.push([e.key, JSON.parse(e.newValue)]));
  });
  await curfew.revoke("nudge", session.sid);
  const heard = await until("both ways were used", async () => {
    const heard = await bystander.evaluate(() => window.heard);
    return heard.length >= 2 && Object.fromEntries(heard);
  });
  const want = { event: "session", data: { trigger: "signout" } };
  for (const said of [heard.v5, heard["nextauth.message"]]) assert.deepEqual(said, { ...want, timestamp: said.timestamp });
});

test("nobody is signed in: nothing is opened and nobody is sent away; unless the page shows somebody's data", async (t) => {
  const context = await newContext(t);
  const page = await tab(context, app);
  await until("it has asked", async () => (await state(page)) === "idle");
  await holds("it stays", async () => (await state(page)) === "idle" && curfew.sockets.size === 0, 500);
  await leaves(await tab(context, app, { signedIn: true }));
});

test("what is no message on the channel changes nothing", async (t) => {
  const { context, page } = await device(t, "hostile", { touchUrl: "/api/touch" });
  await becomes(page, "ready");
  const other = await tab(context, app, { touchUrl: "/api/touch" });
  await becomes(other, "following");
  await page.evaluate(async (name) => {
    const c = new BroadcastChannel(name);
    const frame = { type: "session_expiring", reason: "idle_timeout", at: "x", in_ms: 1 };
    const bad = [
      null, undefined, 0, "", "ask", [], {}, new Date(), new Map(), { type: null }, { type: {} }, { type: "__proto__" }, { type: "toString" },
      { type: "here" }, { type: "here", memory: null, touched: "x" }, { type: "here", memory: { position: "9" }, touched: 0 }, { type: "here", memory: { position: -1 }, touched: 0 },
      { type: "here", memory: { after: {} }, touched: 0 }, { type: "here", memory: {}, touched: 0, expiring: { type: "logout" } }, { type: "here", memory: {}, touched: 1e999 },
      { type: "ended", notice: {} }, { type: "ended", notice: { type: "logout", id: 7 } }, { type: "frame" }, { type: "frame", frame: {} },
      { type: "frame", frame: { ...frame, in_ms: "1" } }, { type: "frame", frame: { type: "ready" } }, { type: "session", session: {} }, { type: "input", at: "now" }, { type: "input" },
    ];
    for (const m of bad) c.postMessage(m);
    // Well formed, and from nobody's clock.
    c.postMessage({ type: "input", at: Number.MAX_SAFE_INTEGER });
    c.postMessage({ type: "here", memory: { position: 1 }, touched: Number.MAX_SAFE_INTEGER });
    // A notice that nobody sent: the application knows better.
    c.postMessage({ type: "ended", notice: { type: "logout", id: "forged", scope: "tenant", reason: "admin", at: "x" } });
    c.close();
  }, "curfew:" + curfew.url);
  await holds("nothing happens", async () => await state(page) === "ready" && await state(other) === "following", 2_500);
  for (const p of [page, other]) {
    const { errors, ended, expiring } = await seen(p);
    assert.deepEqual([errors, ended, expiring], [[], [], []]);
  }
});

test("a clock that is set forwards or back silences nobody, and signs nobody out", async (t) => {
  for (const hours of [48, -48]) {
    await t.test(`${hours} hours`, async (t) => {
      const { page } = await device(t, "clock", { touchUrl: "/api/touch", touchIntervalMs: 200 });
      await becomes(page, "ready");
      app.touches = [];
      await page.locator("#ok").click();
      await until("it is told", () => app.touches.length === 1);
      await page.evaluate((hours) => {
        const now = Date.now;
        Date.now = () => now() + hours * 3_600_000;
      }, hours);
      await page.locator("#ok").click();
      await until("it is told again", () => app.touches.length === 2);
      assert.deepEqual([await state(page), (await seen(page)).ended], ["ready", []]);
    });
  }
});

test("a browser that keeps nothing and has no channels still hears", async (t) => {
  const { session, page } = await device(t, "blocked", {}, () => {
    Object.defineProperty(window, "localStorage", { get() { throw new DOMException("blocked", "SecurityError"); } });
    Object.defineProperty(window, "BroadcastChannel", { value: class { constructor() { throw new DOMException("blocked", "SecurityError"); } } });
  });
  await becomes(page, "ready");
  await curfew.revoke("blocked", session.sid);
  assert.equal(await leaves(page), "admin");
});

test("the end between becoming the leader and ready is told", async (t) => {
  const { context, session, page } = await device(t, "between");
  await becomes(page, "ready");
  const other = await tab(context, app);
  await becomes(other, "following");
  // The next conn's first request is held up, and the session ends meanwhile.
  let go;
  const held = new Promise((resolve) => { go = resolve; });
  await context.route("**/api/ticket", async (route) => {
    const response = await route.fetch();
    await held;
    await route.fulfill({ response });
  });
  await page.close();
  await becomes(other, "connecting");
  await until("it has its ticket", async () => (app.asked["/api/ticket"] ?? 0) > 0);
  await curfew.revoke("between", session.sid, { reason: "superseded" });
  go();
  assert.equal(await leaves(other), "superseded");
});
