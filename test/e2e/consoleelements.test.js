// What each page of the console is there to show, held against what was done: numbers of plots, what a person has, what a replica says of itself, and each filter of the live events.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { deployment, launch, person, signIn, tabs, visit } from "./consolerig.js";

let at, browser, page;

before(async () => {
  at = await deployment();
  browser = await launch();
  await at.join();
  await tabs(browser, at, (await person(at, "ada")).slice(0, 2));
  page = await visit(browser, at);
  await signIn(page, at);
});

after(async () => {
  await browser?.close();
  await at?.close();
});

/** figure waits until a figure of the page has a value. */
const figure = (name, value) => page.locator("dl.figures > div").filter({ hasText: name }).getByText(value).waitFor();

/** numbers returns what a plot's table holds: an array for each moment, the newest first. */
const numbers = (title) => page.locator(".plot").filter({ has: page.getByRole("heading", { name: title }) }).locator("tbody tr").evaluateAll((rows) => rows.map((r) => [...r.querySelectorAll("td")].map((c) => c.textContent)));

test("the overview plots what happens: events, how long they take, checks by state, and tabs", async () => {
  const auth_time = new Date().toISOString();
  await at.call("POST", "/v1/revocations?wait=applied", [{ scope: "session", session: "plotted", user: "u", reason: "admin" }, { scope: "session", session: "plotted-2", user: "u", reason: "admin" }]);
  await at.call("POST", "/v1/check", [{ session: "plotted", user: "u", auth_time }, { session: "goes-on", user: "u", auth_time }, { session: "goes-on", user: "u", auth_time }, { session: "whose" }]);
  const some = (rows, column) => rows.some((r) => Number(r[column]) > 0);
  const shown = async () => {
    const [events, propagation, checks, open] = [await numbers("Events"), await numbers("Propagation"), await numbers("Checks"), await numbers("Open tabs")];
    return some(events, 0) && some(propagation, 0) && some(propagation, 1) && [0, 1, 2].every((c) => some(checks, c)) && open[0]?.[0] === "2" && open[0]?.[1] === "0";
  };
  const ends = Date.now() + 20_000;
  while (!(await shown())) {
    assert.ok(Date.now() < ends, JSON.stringify([await numbers("Events"), await numbers("Propagation"), await numbers("Checks"), await numbers("Open tabs")]));
    await page.waitForResponse((r) => r.url().includes("/console/metrics"));
  }
  for (const row of await numbers("Propagation")) if (row[0] !== "–") assert.ok(Number(row[0]) <= Number(row[1]), `p50 ${row[0]}, p99 ${row[1]}`);
  for (const line of ["Events", "Propagation", "Checks", "Open tabs"]) {
    const drawn = await page.locator(".plot").filter({ has: page.getByRole("heading", { name: line }) }).locator("path.line").evaluateAll((paths) => paths.filter((p) => p.getAttribute("d")).length);
    assert.ok(drawn > 0, `${line} isn't drawn`);
  }
  await figure("Replicas fresh", "2 of 2");
  await figure("Open tabs here", "2");
});

test("a person has sessions, devices, open tabs and a history", async () => {
  await at.call("POST", "/v1/revocations", { scope: "session", session: "ada-lost-phone", user: "ada", reason: "compromised", reason_admin: "ticket 9" });
  await page.goto(at.console + "#/person?user=ada");
  await figure("Sessions that go on", "3");
  await figure("Devices", "3");
  await figure("Open tabs", "2");
  const panel = (name) => page.locator(".panel").filter({ has: page.getByRole("heading", { name, exact: true }) });
  await panel("Sessions").getByRole("row", { name: /Firefox on Linux web-shop · 203\.0\.113\..*active.*ada-session-0/ }).waitFor();
  assert.equal(await panel("Sessions").locator("tbody tr").count(), 3);
  for (const session of ["ada-session-0", "ada-session-1"]) await panel("Open tabs").getByRole("row", { name: new RegExp(`${session}.*WebSocket`) }).waitFor();
  assert.equal(await panel("Open tabs").locator("tbody tr").count(), 2);
  await panel("History").getByRole("row", { name: /session.*ada-lost-phone.*compromised.*ticket 9.*system/ }).waitFor();
});

test("a replica says its position, how old its proof is of how much, its version and how long its lease lasts", async () => {
  const { position } = await at.call("POST", "/v1/revocations?wait=applied", { scope: "session", session: "for-the-position", user: "u", reason: "admin" });
  const { replicas } = await at.call("GET", "/v1/replicas");
  await page.goto(at.console + "#/replicas");
  await page.locator(".replica").nth(1).waitFor();
  for (const { name, group, version } of replicas) {
    const card = page.getByRole("listitem").filter({ has: page.getByRole("heading", { name: new RegExp(`^${name}`) }) });
    assert.equal(await card.locator(".sub").textContent(), `${group} · ${version}`);
    const pair = (what) => card.locator("dl.pairs > div").filter({ hasText: what }).locator("dd").textContent();
    assert.ok(Number((await pair("Position")).replace(/\D.*/, "")) >= position, await pair("Position"));
    assert.match(await pair("Proof"), /^[\d.]+ m?s old of 15(\.0)? s$/);
    assert.match(await pair("Lease"), /^[\d.]+ m?s left$/);
    await card.getByRole("img", { name: /^Age of the proof/ }).waitFor();
  }
  assert.equal(await page.locator(".squares .square-ok").count(), 2, "the picture has a square for each");
});

test("each filter of the live events leaves out what isn't meant", async () => {
  const list = page.getByRole("grid", { name: "Events" });
  for (const [session, more] of Object.entries({ "f-one": { user: "fay" }, "f-two": { user: "guy", reason: "policy", initiator: { type: "policy" } } })) {
    await at.call("POST", "/v1/revocations", { scope: "session", session, reason: "admin", ...more });
  }
  await at.call("POST", "/v1/revocations", { scope: "device", device: "f-three", reason: "admin" });
  const all = ["f-one", "f-two", "f-three"];
  for (const [label, value, kept] of [["User", "fay", "f-one"], ["Session", "f-two", "f-two"], ["Ends", "device", "f-three"], ["Reason", "policy", "f-two"], ["By", "policy", "f-two"], [/^Tenant/, "globex", ""]]) {
    await page.goto(at.console + "#/events");
    for (const target of all) await list.getByText(target, { exact: true }).waitFor();
    const field = page.getByRole("form", { name: "Filters" }).getByLabel(label);
    if (["Ends", "Reason", "By"].includes(label)) await field.selectOption(value);
    else {
      await field.fill(value);
      await page.keyboard.press("Enter");
    }
    if (kept === "") await page.getByText("No event of the ledger matches").waitFor();
    else await page.getByText(/^All \d+ that match are shown\.$/).waitFor();
    for (const target of all) {
      await list.getByText(target, { exact: true }).waitFor({ state: target === kept ? "visible" : "detached" });
    }
  }
  assert.deepEqual(page.complaints, []);
});
