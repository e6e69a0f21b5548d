// The demonstration in a real browser: two contexts (two devices) with two tabs each; logging out the other devices signs out exactly
// the right tabs, within a second.

import assert from "node:assert/strict";
import { spawn, execFileSync } from "node:child_process";
import { mkdtempSync, mkdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";

const root = new URL("../..", import.meta.url).pathname;
const shots = new URL("screenshots", import.meta.url).pathname;
let dir, demo, browser, page;
const printed = [];
let output;

before(async () => {
  dir = mkdtempSync(join(tmpdir(), "curfew-e2e-"));
  mkdirSync(shots, { recursive: true });
  const binary = join(dir, "curfew");
  execFileSync("go", ["build", "-o", binary, "./cmd/curfew"], { cwd: root, stdio: "inherit" });
  demo = spawn(binary, ["demo", "--listen", "127.0.0.1:0"], { cwd: dir, stdio: ["ignore", "pipe", "inherit"] });
  page = await new Promise((resolve, reject) => {
    demo.once("exit", (code) => reject(new Error("the demo ended with " + code)));
    output = createInterface({ input: demo.stdout });
    output.on("line", (line) => {
      printed.push(line);
      const found = line.match(/^Open (\S+) in/);
      if (found) resolve(found[1]);
    });
  });
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
});

after(async () => {
  await browser?.close();
  if (demo && demo.exitCode === null) {
    const ended = new Promise((resolve) => demo.once("exit", resolve));
    demo.kill("SIGTERM");
    assert.equal(await ended, 0, "the demo ends cleanly on SIGTERM");
  }
  rmSync(dir, { recursive: true, force: true });
});

// device opens two tabs that share their cookies, signs in with the first, and waits until both have their conn.
async function device(user) {
  const context = await browser.newContext({ viewport: { width: 1000, height: 760 } });
  const first = await context.newPage();
  await first.goto(page);
  await first.click(`[data-user=${user}]`);
  await live(first);
  const second = await context.newPage();
  await second.goto(page);
  await live(second);
  return { context, tabs: [first, second] };
}

// printedLine resolves with the first line that the demo has printed or will print that matches.
async function printedLine(pattern) {
  for (;;) {
    const line = printed.find((l) => pattern.test(l));
    if (line) return line;
    await new Promise((resolve) => output.once("line", resolve));
  }
}

const live = (tab) => tab.locator("#conn.live").waitFor();
const signedOut = (tab) => tab.locator("#signed-out").waitFor({ timeout: 5000 });
const isSignedIn = (tab) => tab.locator("#signed-in").isVisible();

// timeOf resolves with how long after now each tab shows that it is signed out.
async function timeOf(tabs) {
  const began = performance.now();
  return Promise.all(tabs.map(async (t) => { await signedOut(t); return performance.now() - began; }));
}

test("log out my other devices signs out exactly the other device's tabs, within a second", async () => {
  const laptop = await device("ada");
  const phone = await device("ada");
  const stranger = await device("grace");
  await laptop.tabs[0].locator("#tabs tr").nth(1).waitFor();
  await laptop.tabs[0].screenshot({ path: join(shots, "signed-in.png") });

  const waiting = timeOf(phone.tabs);
  await laptop.tabs[0].click("[data-scope=others]");
  for (const ms of await waiting) assert.ok(ms < 1000, `signed out after ${Math.round(ms)} ms`);
  await phone.tabs[0].screenshot({ path: join(shots, "signed-out.png") });
  assert.equal(await phone.tabs[1].locator("#notice").textContent(), "You were signed out from another device.");

  for (const t of [...laptop.tabs, ...stranger.tabs]) assert.ok(await isSignedIn(t), "every other tab stays signed in");
  // Nothing may come late either: the kept tabs' next answer from the application is still 200.
  for (const t of [...laptop.tabs, ...stranger.tabs]) {
    assert.equal(await t.evaluate(async () => (await fetch("/me")).status), 200);
    assert.equal(await t.locator("#conn").textContent(), "live");
  }
  // The demo prints a line with the event's latencies.
  const line = await printedLine(/UserLoggedOutEverywhere/);
  assert.match(line, /stored [\d.]+ ms.*applied [\d.]+ ms.*shown [\d.]+ ms.*the last of 2 tabs/);

  // The copied cookie of the phone is refused.
  assert.equal(await phone.tabs[0].evaluate(async () => (await fetch("/me")).status), 401);

  // Signing in again works at once: a logout is a cutoff and no block.
  await phone.tabs[0].click("[data-user=ada]");
  await live(phone.tabs[0]);
  for (const d of [laptop, phone, stranger]) await d.context.close();
});

test("log out here ends this session's tabs only, and everywhere ends the rest", async () => {
  const laptop = await device("linus");
  const phone = await device("linus");
  let waiting = timeOf(laptop.tabs);
  await laptop.tabs[1].click("[data-scope=here]");
  await waiting;
  await laptop.tabs[1].locator("#notice", { hasText: "You signed out." }).waitFor();
  for (const t of phone.tabs) assert.ok(await isSignedIn(t));

  waiting = timeOf(phone.tabs);
  await phone.tabs[1].click("[data-scope=everywhere]");
  await waiting;
  for (const d of [laptop, phone]) await d.context.close();
});

test("a tab that was offline when it happened learns it when it comes back", async () => {
  const laptop = await device("grace");
  const phone = await device("grace");
  await phone.context.setOffline(true);
  await laptop.tabs[0].click("[data-scope=others]");
  await laptop.tabs[0].locator("#result", { hasText: "stored in" }).waitFor();
  await phone.context.setOffline(false);
  await phone.tabs[0].reload();
  await signedOut(phone.tabs[0]);
  for (const d of [laptop, phone]) await d.context.close();
});

test("signing in reaches the tabs that were open before, and signing in anew moves them to the new session", async () => {
  const context = await browser.newContext({ viewport: { width: 1000, height: 760 } });
  const [first, second] = [await context.newPage(), await context.newPage()];
  for (const t of [first, second]) {
    await t.goto(page);
    await t.locator("#signed-out").waitFor();
  }
  await first.click("[data-user=ada]");
  for (const t of [first, second]) await live(t);

  // Another sign-in of the same browser, of which the second tab isn't told; then the session that it was connected with is ended.
  const before = await second.locator("#session").textContent();
  const other = await context.newPage();
  await other.goto(page);
  await live(other);
  await other.evaluate(async () => {
    await fetch("/log-out", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ scope: "here" }) });
    await fetch("/sign-in", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ user: "ada" }) });
  });
  for (const t of [first, second, other]) {
    await t.locator("#session").filter({ hasNotText: before }).waitFor();
    await live(t);
  }
  // Their conns are the new session's: what ends it reaches them.
  const waiting = timeOf([first, second, other]);
  await second.click("[data-scope=here]");
  await waiting;
  await context.close();
});
