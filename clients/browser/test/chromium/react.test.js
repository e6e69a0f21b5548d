// <LogoutListener/> in React 18 and 19, in strict mode, which mounts everything twice.

import assert from "node:assert/strict";
import { test } from "node:test";
import { build } from "esbuild";
import { becomes } from "./fixture/browser.js";
import { stand } from "./fixture/stand.js";
import { holds, until } from "./fixture/until.js";

const { app, curfew, newContext } = await stand();

const source = `
import { StrictMode, createElement as h, useState } from "react";
import { createRoot } from "react-dom/client";
import { LogoutListener } from "@curfew/browser/react";

window.seen = { states: [], heard: [] };
window.listener = { get state() { return window.seen.states.at(-1); } };
window.handle = { current: null };
function App() {
  const [render, setRender] = useState(0);
  const [mounted, setMounted] = useState(true);
  Object.assign(window, { setRender, setMounted });
  const listener = h(LogoutListener, {
    url: document.querySelector("script[data-gateway]").dataset.gateway,
    ticket: "/api/ticket",
    handle: window.handle,
    onState: (state) => window.seen.states.push(state),
    onSessionsChanged: () => window.seen.heard.push(render),
    onNotice: (ended) => { window.seen.heard.push(ended.reason + " " + render); return false; },
  });
  return mounted ? listener : null;
}
createRoot(document.getElementById("root")).render(h(StrictMode, null, h(App)));`;

for (const version of [18, 19]) {
  test(`React ${version}`, async (t) => {
    const react18 = new URL("../react18/node_modules/", import.meta.url).pathname;
    const alias = version === 18 ? { react: react18 + "react", "react-dom": react18 + "react-dom" } : {};
    const bundle = await build({
      stdin: { contents: source, resolveDir: new URL("../..", import.meta.url).pathname },
      bundle: true, format: "esm", write: false, alias, define: { "process.env.NODE_ENV": '"development"' }, logLevel: "error",
    });
    app.bundle = bundle.outputFiles[0].text;
    const context = await newContext(t);
    const session = await app.signedIn(context, "rea" + version);
    const page = await context.newPage();
    const errors = [];
    page.on("console", (m) => { if (m.type() === "error") errors.push(m.text()); });
    page.on("pageerror", (e) => errors.push(e.message));
    await page.goto(app.url + "/bundled");
    await becomes(page, "ready");
    assert.equal((await curfew.tabs("rea" + version)).length, 1, "one conn, although it was mounted twice");
    assert.equal(await page.evaluate(() => window.handle.current.state), "ready", "the ref holds the listener that is at work");

    const opened = curfew.upgrades;
    await page.evaluate(() => { for (let i = 1; i <= 7; i++) window.setRender(i); });
    await curfew.revoke("rea" + version, "elsewhere");
    await until("the functions of the latest render are called", async () => (await page.evaluate(() => window.seen.heard)).join() === "7");
    assert.equal(curfew.upgrades, opened, "rendering again doesn't connect again");

    await page.evaluate(() => window.setMounted(false));
    await until("the conn is gone", async () => (await curfew.tabs("rea" + version)).length === 0);
    assert.equal(await page.evaluate(() => window.handle.current), null);
    await page.evaluate(() => window.setMounted(true));
    await becomes(page, "ready");
    await curfew.revoke("rea" + version, session.sid, { reason: "superseded" });
    await until("the end is told", async () => (await page.evaluate(() => window.seen.heard)).includes("superseded 7"));
    await holds("once", async () => (await page.evaluate(() => window.seen.heard)).length === 2, 500);
    assert.deepEqual(errors, []);
  });
}
