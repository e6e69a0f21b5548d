// Every page of the console at the width of a desk and of a phone, light and dark: what axe finds, whether anything sticks out, and pictures for people to look at.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import axe from "axe-core";

import { deployment, launch, person, shoot, signIn, tabs, visit } from "./consolerig.js";

let at, browser, waited;

before(async () => {
  at = await deployment();
  browser = await launch();
  await at.join();
  await tabs(browser, at, await person(at, "ada"));
  const reasons = ["admin", "compromised", "password_changed", "policy", "user_logout"];
  await at.call("POST", "/v1/revocations", Array.from({ length: 300 }, (_, i) => ({
    scope: i % 7 === 3 ? "user" : "session", ...(i % 7 === 3 ? {} : { session: `8f14e45f-ceea-467f-a1b2-${i}` }), user: `u-${i % 40}`, reason: reasons[i % 5],
    initiator: i % 2 ? { type: "admin", id: "helpdesk-2" } : { type: "system" },
  })));
  await at.call("POST", "/v1/revocations", { scope: "session", session: "ada-old-laptop", user: "ada", reason: "password_changed", reason_admin: "Asked for by phone, ticket 4711" });
  await at.publish("curfew.v1.default.00.session", '{"specversion":"0.1"}');
  await at.call("POST", "/v1/replays", { filter: { reason: "policy" }, target: { kind: "file" }, execute: true });
  waited = await at.call("POST", "/v1/users/lin/logout?wait=shown", { scope: "everywhere", reason: "compromised" });
  await at.call("POST", "/v1/check", [{ session: "8f14e45f-ceea-467f-a1b2-1", user: "u-1", auth_time: new Date().toISOString() }, { session: "s", user: "u", auth_time: new Date().toISOString() }]);
});

after(async () => {
  await browser?.close();
  await at?.close();
});

const sizes = [{ width: 1280, height: 860 }, { width: 390, height: 844 }];
const pages = [
  { name: "overview", path: "#/overview", ready: (page) => page.getByText("freshness").and(page.locator("strong")).waitFor() },
  { name: "events", path: "#/events", ready: (page) => page.getByRole("row").nth(8).waitFor() },
  { name: "person", path: "#/person?user=ada", ready: (page) => page.getByText("ada-old-laptop").waitFor() },
  { name: "receipts", path: "#/receipts", ready: (page) => page.getByRole("rowheader").first().waitFor() },
  { name: "receipt", path: "#/receipts?event=", ready: (page) => page.getByText(/^applied by 2\/2 replicas/).waitFor() },
  { name: "replays", path: "#/replays", ready: (page) => page.getByText("done", { exact: true }).waitFor() },
  { name: "parked", path: "#/parked", ready: (page) => page.getByRole("rowheader").first().waitFor() },
  { name: "replicas", path: "#/replicas", ready: (page) => page.locator(".replica").nth(1).waitFor() },
];

/** sound fails for what axe finds, for what sticks out of the screen, and for what the browser has complained of: that includes whatever the policy forbids. */
async function sound(page, name) {
  const violations = await page.evaluate(async (source) => {
    if (!window.axe) (0, eval)(source);
    const found = await window.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] });
    return found.violations.map((v) => `${v.id}: ${v.help}: ${v.nodes.map((n) => n.html.slice(0, 160)).slice(0, 3).join(" | ")}`);
  }, axe.source);
  assert.deepEqual(violations, [], name);
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${name} sticks out of the screen`);
  assert.deepEqual(page.complaints, [], name);
  await shoot(page, name);
}

for (const { width, height } of sizes) {
  for (const colorScheme of ["light", "dark"]) {
    const kind = `${width}-${colorScheme}`;
    test(`every page at ${width} px, ${colorScheme}`, async () => {
      const page = await visit(browser, at, { width, height, colorScheme });
      await page.getByLabel("API key").waitFor();
      await sound(page, `signin-${kind}`);
      await signIn(page, at);
      for (const p of pages) {
        await page.goto(at.console + p.path + (p.name === "receipt" ? waited.id : ""));
        await p.ready(page);
        assert.equal(await page.evaluate(() => document.activeElement?.tagName), "H1", `${p.name}: who goes there is at its heading`);
        await sound(page, `${p.name}-${kind}`);
      }
      await page.goto(at.console + "#/events");
      await page.getByRole("row").nth(3).click();
      await page.getByRole("dialog", { name: "Event" }).waitFor();
      await sound(page, `event-${kind}`);
      await page.keyboard.press("Escape");
      await page.goto(at.console + "#/person?user=ada");
      await page.getByRole("button", { name: "Log out everywhere…" }).click();
      await page.getByRole("dialog", { name: "Log out everywhere" }).waitFor();
      await sound(page, `logout-${kind}`);
      await page.keyboard.press("Escape");
      if (width < 760) await page.getByRole("button", { name: "Menu" }).click();
      await page.getByRole("button", { name: /^Keys/ }).click();
      await sound(page, `keys-${kind}`);
      await page.keyboard.press("Escape");
      await page.context().close();
    });
  }
}

// The looks can be chosen, and stay chosen.
test("colours and clock", async () => {
  const page = await visit(browser, at, { colorScheme: "light" });
  await signIn(page, at);
  const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const light = await background();
  await page.getByRole("button", { name: "Dark" }).click();
  assert.notEqual(await background(), light);
  await page.goto(at.console + "#/events");
  const first = page.getByRole("row").nth(1).locator("time");
  const local = await first.textContent();
  await page.getByRole("button", { name: "UTC" }).click();
  const utc = await first.textContent();
  assert.match(utc, / UTC$/);
  const stored = new Date(await first.getAttribute("datetime"));
  assert.ok(utc.startsWith(stored.toISOString().slice(0, 23).replace("T", " ")), `${utc} is ${stored.toISOString()}`);
  assert.notEqual(local.slice(0, 13), utc.slice(0, 13), "Berlin isn't Greenwich");
  await page.reload();
  assert.match(await page.getByRole("row").nth(1).locator("time").textContent(), / UTC$/);
  assert.notEqual(await background(), light);
  await page.context().close();
});

// What a plot shows can be walked through, and read as a table.
test("plots without eyes", async () => {
  const page = await visit(browser, at);
  await signIn(page, at);
  const plot = page.getByRole("img", { name: /^Checks, per second/ });
  await page.getByRole("group", { name: "Time shown" }).getByRole("button", { name: "1 h" }).click();
  await page.waitForFunction(() => !document.querySelector(".plot-empty"));
  await plot.focus();
  await page.keyboard.press("ArrowLeft");
  assert.match(await page.locator(".plot [role=status]").textContent(), /^\d\d:\d\d: active [\d.]+, revoked [\d.]+, undetermined [\d.]+$/);
  await page.getByText("As a table").first().click();
  assert.ok(await page.getByRole("region", { name: "Events as a table" }).getByRole("row").count() > 1);
  await shoot(page, "plot-table-1280-light");
  await page.context().close();
});

