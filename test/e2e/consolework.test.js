// What operators do in the console: they follow events, log people out and see it arrive, and find out which replica is late. All of it by the keyboard as well.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { deployment, launch, person, shoot, signIn, tabs, visit } from "./consolerig.js";

let at, browser, second;

before(async () => {
  at = await deployment();
  browser = await launch();
  second = await at.join();
});

after(async () => {
  await browser?.close();
  await at?.close();
});

const revoke = (session, more = {}) => at.call("POST", "/v1/revocations", { scope: "session", session, user: "grace", reason: "admin", ...more });
const list = (page) => page.getByRole("grid", { name: "Events" });

async function opened(path, options) {
  const page = await visit(browser, at, options);
  await signIn(page, at);
  await page.goto(at.console + path);
  return page;
}

async function closed(page) {
  assert.deepEqual(page.complaints, []);
  await page.context().close();
}

test("the key stays out of the browser's reach, and signing out ends it", async () => {
  const page = await visit(browser, at);
  await page.getByLabel("API key").fill("cfw_0123456789abcdef_" + "0".repeat(64));
  await page.keyboard.press("Enter");
  await page.getByRole("alert").getByText("The API key is unknown or revoked").waitFor();
  await signIn(page, at);
  const secret = at.key.slice(-64);
  const found = await page.evaluate(() => document.cookie + JSON.stringify(localStorage) + JSON.stringify(sessionStorage) + document.documentElement.outerHTML);
  assert.ok(!found.includes(secret) && !found.includes("__Host-"));
  const [cookie] = await page.context().cookies();
  assert.deepEqual([cookie.name, cookie.httpOnly, cookie.secure, cookie.sameSite], ["__Host-curfew-console", true, true, "Strict"]);
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByText("You have signed out.").waitFor();
  assert.deepEqual(await page.context().cookies(), []);
  await page.context().addCookies([cookie]);
  await page.reload();
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  await closed(page);
});

// The key that somebody has signed in with is revoked while the page is open.
test("a revoked key leads back to the sign-in", async () => {
  const made = await at.call("POST", "/v1/keys", { name: "night shift", tenant: "default", scopes: ["admin", "read", "sessions", "publish", "check"] });
  const page = await visit(browser, at);
  await signIn(page, { key: made.key });
  await page.getByText("night shift").waitFor();
  await at.call("DELETE", "/v1/keys/" + made.id);
  await page.getByText("Your session is over").waitFor();
  await closed(page);
});

test("events come in, wait while it is paused, and are filtered", async () => {
  const page = await opened("#/events");
  await page.getByText("Live", { exact: true }).waitFor();
  await revoke("first-one");
  await list(page).getByText("first-one").waitFor();
  await page.getByRole("button", { name: "Pause" }).click();
  await Promise.all(["second-one", "third-one"].map((s) => revoke(s)));
  await page.getByRole("button", { name: "2 new since the pause: show them" }).waitFor();
  assert.equal(await list(page).getByText("second-one").count(), 0);
  await page.getByRole("button", { name: "2 new" }).click();
  await list(page).getByText("second-one").waitFor();
  await page.getByLabel("Reason").selectOption("compromised");
  await page.getByText("No event of the ledger matches").waitFor();
  await revoke("of-no-interest");
  await revoke("of-interest", { reason: "compromised" });
  await list(page).getByText("of-interest", { exact: true }).waitFor();
  assert.equal(await list(page).getByText("of-no-interest").count(), 0);
  await page.reload();
  await list(page).getByText("of-interest", { exact: true }).waitFor();
  assert.equal(await page.getByLabel("Reason").inputValue(), "compromised");
  await page.getByLabel("User").fill("nobody else");
  await page.keyboard.press("Enter");
  await page.getByText("No event of the ledger matches").waitFor();
  await closed(page);
});

// Thousands of events are some dozens of rows in the page, older ones are loaded on the way down, and what is looked at stays where it is.
test("a long list", async () => {
  for (let i = 0; i < 4; i++) await at.call("POST", "/v1/revocations", Array.from({ length: 500 }, (_, n) => ({ scope: "session", session: `long-${i * 500 + n}`, user: `u-${n}`, reason: "policy" })));
  const page = await opened("#/events");
  await list(page).getByText("long-1999").waitFor();
  await list(page).focus();
  const rows = async () => Number(await list(page).getAttribute("aria-rowcount")) - 1;
  while ((await rows()) < 2000) {
    const before = await rows();
    await page.keyboard.press("End");
    await page.waitForFunction((n) => Number(document.querySelector("[role=grid]").getAttribute("aria-rowcount")) - 1 > n, before);
  }
  assert.ok((await page.locator(".virtual-row").count()) < 80);
  await page.evaluate(() => { document.querySelector("[role=grid]").scrollTop = 20_000; });
  const inView = () => page.evaluate(() => {
    const frame = document.querySelector("[role=grid]").getBoundingClientRect();
    return [...document.querySelectorAll(".virtual-row")].map((r) => ({ y: r.getBoundingClientRect().y - frame.y, text: r.children[2].textContent })).filter(({ y }) => y > 60).sort((a, b) => a.y - b.y)[0];
  });
  await page.locator(".virtual-row[aria-rowindex='592']").waitFor();
  const was = await inView();
  const counted = await rows();
  await revoke("above-all-that");
  await page.waitForFunction((n) => Number(document.querySelector("[role=grid]").getAttribute("aria-rowcount")) - 1 > n, counted);
  await page.waitForFunction((top) => document.querySelector("[role=grid]").scrollTop > top, 20_000);
  assert.equal((await inView()).text, was.text);
  await closed(page);
});

test("a stream that was cut off goes on where it ended", async () => {
  const page = await opened("#/events");
  await revoke("before-the-cut");
  await list(page).getByText("before-the-cut").waitFor();
  await page.route(/follow=true/, (route) => route.abort());
  await page.getByLabel("User").fill("grace");
  await page.keyboard.press("Enter");
  await page.getByText(/^Cut off, again in/).waitFor();
  await revoke("during-the-cut");
  await page.unroute(/follow=true/);
  await list(page).getByText("during-the-cut").waitFor();
  await page.getByText("Live", { exact: true }).waitFor();
  assert.equal(await list(page).getByText("during-the-cut").count(), 1);
  await page.context().close(); // the browser has told of the cut
});

// What a key may not read isn't nothing, and isn't worth asking for again.
test("events that a key may not read are refused, and not called none", async () => {
  const made = await at.call("POST", "/v1/keys", { name: "keys alone", tenant: "default", scopes: ["admin"] });
  const page = await visit(browser, at);
  await signIn(page, { key: made.key });
  let asked = 0, measured = 0;
  page.on("request", (r) => {
    if (r.url().includes("/api/v1/revocations?")) asked++;
    if (r.url().includes("/console/metrics")) measured++;
  });
  await page.goto(at.console + "#/overview");
  await page.getByText("of all tenants together, and shown to operators").waitFor();
  await page.getByText("What the process finds").waitFor();
  await page.goto(at.console + "#/events");
  await page.getByText("Refused", { exact: true }).waitFor();
  await page.getByText("The API key lacks the scope read").waitFor();
  await page.getByText("Nothing could be read yet.").waitFor();
  assert.equal(await page.getByText("Nothing has been revoked yet").count(), 0);
  assert.equal(asked, 1);
  assert.equal(measured, 0);
  await closed(page);
});

// What others have chosen is text, whatever it looks like.
test("nothing of an event becomes markup", async () => {
  const evil = `<img src=x onerror="document.title='owned'">`;
  await at.call("POST", "/v1/revocations", { scope: "user", user: evil, reason: "admin", reason_admin: evil, initiator: { type: "admin", id: evil } });
  const page = await opened("#/events");
  await list(page).getByText(evil).first().click();
  await page.getByRole("dialog").getByText(evil).first().waitFor();
  await page.goto(at.console + "#/person?user=" + encodeURIComponent(evil));
  await page.getByRole("cell", { name: evil }).first().waitFor();
  assert.equal(await page.locator("img:not([role])").count(), 0);
  assert.equal(await page.title(), "Person – Curfew");
  await closed(page);
});

test("one session is logged out, then the others", async () => {
  const sessions = await person(at, "lin");
  await tabs(browser, at, sessions);
  const page = await opened("#/person?user=lin");
  await page.getByRole("button", { name: "Log out Firefox on Linux, session lin-session-0" }).click();
  const dialog = page.getByRole("dialog", { name: "Log out this session" });
  await dialog.getByRole("button", { name: "Log out this session" }).click();
  assert.ok(await dialog.isVisible(), "it takes a reason");
  await dialog.getByLabel("Reason").selectOption("compromised");
  await dialog.getByLabel("Note for operators (optional)").fill("ticket 17");
  await dialog.getByRole("button", { name: "Log out this session" }).click();
  const receipt = page.getByRole("region", { name: "What has become of the logout" });
  await receipt.getByText(/1 of 1 tabs: 1 signed out/).waitFor();
  await receipt.getByText(/by 2 of 2 replicas/).waitFor();
  await page.getByRole("row", { name: /Firefox on Linux.*ended/ }).waitFor();
  await page.getByRole("button", { name: "Others: log out all but Safari on iOS" }).click();
  await page.getByRole("dialog").getByLabel("Reason").selectOption("user_logout");
  await page.getByRole("dialog").getByRole("button", { name: "Log out the other sessions" }).click();
  await receipt.getByText("lin logged out but for one session").waitFor();
  await receipt.getByText(/1 of 1 tabs: 1 signed out/).waitFor();
  await page.getByRole("row", { name: /Safari on iOS.*active/ }).waitFor();
  const { revocations } = await at.call("GET", "/v1/revocations?user=lin");
  assert.deepEqual(revocations.map(({ event: { data } }) => [data.reason, data.reason_admin, data.initiator.type]), [["compromised", "ticket 17", "admin"], ["user_logout", undefined, "admin"]]);
  await closed(page);
});

// From the sign-in to the receipt without a mouse.
test("log out everywhere by the keyboard alone", async () => {
  await tabs(browser, at, await person(at, "ada"));
  const page = await visit(browser, at);
  await page.getByLabel("API key").waitFor();
  await page.keyboard.insertText(at.key); // the field has the focus
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Overview" }).waitFor();
  await page.keyboard.press("g");
  await page.keyboard.press("p");
  await page.getByRole("heading", { name: "Person" }).waitFor();
  await page.keyboard.press("/");
  await page.keyboard.type("ada");
  await page.keyboard.press("Enter");
  await page.getByText("ada-session-0").first().waitFor();
  const focused = () => page.evaluate(() => document.activeElement?.textContent);
  for (let i = 0; (await focused()) !== "Log out everywhere…"; i++) {
    assert.ok(i < 30, "the tab key doesn't get there");
    await page.keyboard.press("Tab");
  }
  await page.keyboard.press("Enter");
  const dialog = page.getByRole("dialog", { name: "Log out everywhere" });
  await dialog.getByText(/3 that are registered.*3 open tabs are told at once/).waitFor();
  const label = () => page.evaluate(() => document.activeElement?.labels?.[0]?.textContent ?? document.activeElement?.textContent);
  const tabTo = async (name) => {
    for (let i = 0; (await label()) !== name; i++) {
      assert.ok(i < 12, `the tab key doesn't get to ${name}`);
      await page.keyboard.press("Tab");
      assert.ok(await page.evaluate(() => document.activeElement === document.body || document.querySelector("dialog").contains(document.activeElement)), "the focus stays in the dialog");
    }
  };
  await tabTo("Reason");
  await page.keyboard.type("comp");
  await tabTo("Message to the person (optional)");
  await page.keyboard.type("Call the help desk.");
  await tabTo("Type the user's id to confirm");
  await page.keyboard.type("adam");
  await page.keyboard.press("Enter");
  await dialog.getByText("What you typed isn't the user's id.").waitFor();
  await page.keyboard.press("Backspace");
  await shoot(page, "keyboard-logout-1280-light");
  await page.keyboard.press("Enter");
  const receipt = page.getByRole("region", { name: "What has become of the logout" });
  await receipt.getByText(/3 of 3 tabs: 3 signed out/).waitFor();
  await receipt.getByText(/by 2 of 2 replicas/).waitFor();
  await page.getByText("Applied by all replicas, and nothing more is to come of any tab.").waitFor({ state: "attached" });
  await page.waitForFunction(() => [...document.querySelectorAll("tbody tr.over")].length >= 3);
  await shoot(page, "receipt-1280-light");
  const { revocations: [entry] } = await at.call("GET", "/v1/revocations?user=ada&order=newest&limit=1");
  assert.deepEqual([entry.event.data.reason, entry.event.data.reason_user], ["compromised", "Call the help desk."]);
  await page.keyboard.press("?");
  await page.getByRole("dialog", { name: "Keys" }).waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  await closed(page);
});

test("a replica that isn't heard is shown as silent, a receipt names it as late, and once it is back it is fresh", async () => {
  const page = await opened("#/replicas");
  const card = page.getByRole("listitem").filter({ hasText: `:${second.child.pid}` });
  await card.getByText("fresh").waitFor();
  second.child.kill("SIGSTOP");
  await card.getByText("silent").waitFor();
  await page.getByText("1 of 2").waitFor();
  await shoot(page, "replica-silent-1280-light");
  await person(at, "kim");
  await page.goto(at.console + "#/person?user=kim");
  await page.getByRole("button", { name: "Log out everywhere…" }).click();
  await page.getByLabel("Reason").selectOption("compromised");
  await page.getByLabel("Type the user's id to confirm").fill("kim");
  await page.getByRole("dialog").getByRole("button", { name: "Log out everywhere" }).click();
  const receipt = page.getByRole("region", { name: "What has become of the logout" });
  await receipt.getByText(/by 1 of 2 replicas/).waitFor();
  await receipt.getByText(new RegExp(`:${second.child.pid} hasn't yet`)).waitFor();
  await shoot(page, "receipt-late-1280-light");
  second.child.kill("SIGCONT");
  await receipt.getByText(/by 2 of 2 replicas/).waitFor();
  await receipt.getByRole("link", { name: "Signed receipt" }).click();
  await page.getByText(/applied by 2\/2 replicas/).waitFor();
  await page.getByText("Signed form").click();
  const token = await page.getByLabel("The signed receipt").textContent();
  assert.deepEqual(JSON.parse(Buffer.from(token.split(".")[0], "base64url")).typ, "curfew-receipt");
  await page.goto(at.console + "#/replicas");
  await card.getByText("fresh").waitFor();
  await page.getByText("2 of 2").waitFor();
  await closed(page);
});

// Nothing is sent before its plan was seen; then it is seen to go on, and can be stopped and taken up again.
test("a replay from its plan to its end", async () => {
  await at.call("POST", "/v1/revocations", Array.from({ length: 200 }, (_, i) => ({ scope: "session", session: `again-${i}`, user: `u-${i}`, reason: "account_disabled" })));
  const page = await opened("#/replays");
  await page.getByText("There was none.").waitFor();
  await page.getByLabel("Events a second, at most").fill("40");
  await page.getByLabel("Reason").selectOption("account_disabled");
  await page.getByRole("button", { name: "Plan", exact: true }).click();
  await page.getByText("Dry run: nothing was sent.").waitFor();
  const plan = page.getByRole("region", { name: "Plan", exact: true });
  await plan.getByText("tenant default, reason account disabled").waitFor();
  await shoot(page, "replay-plan-1280-light");
  assert.deepEqual((await at.call("GET", "/v1/replays")).replays, []);
  await plan.getByRole("button", { name: "Run it: send 200 events" }).click();
  await page.getByText("running", { exact: true }).waitFor();
  await page.waitForFunction(() => document.querySelector("table progress")?.value > 0);
  await shoot(page, "replay-running-1280-light");
  await page.getByRole("button", { name: /^Cancel the replay/ }).click();
  await page.getByText("cancelled", { exact: true }).waitFor();
  await page.getByRole("button", { name: /^Details of the replay/ }).click();
  await page.getByRole("dialog", { name: "Replay" }).getByText(/^curfew replay resume /).waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: /^Resume the replay/ }).click();
  await page.getByText("done", { exact: true }).waitFor();
  const { replays: [replay] } = await at.call("GET", "/v1/replays");
  assert.deepEqual([replay.state, replay.sent], ["done", 200]);
  // What can't be planned is said, and nothing is kept.
  await page.getByLabel("To", { exact: true }).selectOption("webhook");
  await page.getByLabel("URL").fill("ftp://example.com/");
  await page.getByRole("button", { name: "Plan", exact: true }).click();
  await page.getByRole("alert").waitFor();
  await closed(page);
});

// A message that no consumer understands is there with its reason, can be looked at, and goes for good.
test("parked messages", async () => {
  const page = await opened("#/parked");
  await page.getByText("Nothing is parked.").waitFor();
  for (const text of ['{"bad":1}', "<b>bad</b>"]) await at.publish("curfew.v1.default.00.session", text);
  await page.reload();
  await page.getByRole("row").nth(2).waitFor();
  await page.getByRole("button", { name: "Show the message at 2" }).click();
  await page.getByLabel("What it holds").getByText("<b>bad</b>").waitFor();
  await page.keyboard.press("Escape");
  await shoot(page, "parked-1280-light");
  await page.getByRole("button", { name: "Drop the message at 1" }).click();
  await page.getByRole("button", { name: "Drop it" }).click();
  await page.getByRole("row").nth(2).waitFor({ state: "detached" });
  await page.getByRole("button", { name: "Retry the message at 2" }).click();
  await page.getByRole("button", { name: "Put it back" }).click();
  await page.getByText(/^Put back: it lies in CURFEW at \d+\.$/).first().waitFor();
  // It is as bad as it was, and so is parked anew.
  await page.getByRole("button", { name: "Show the message at 3" }).waitFor();
  await closed(page);
});

// Another page of this machine, of which the browser sends the cookie along, can neither read, write nor frame.
test("other pages get nothing", async () => {
  const page = await opened("#/overview");
  const evil = await page.context().newPage();
  await evil.goto(at.origin);
  const got = await evil.evaluate(async (console_) => {
    const attempt = async (path, init) => {
      try {
        const r = await fetch(console_ + path, { credentials: "include", ...init });
        return r.type === "opaque" ? "opaque" : r.status;
      } catch {
        return "refused";
      }
    };
    return [
      await attempt("api/v1/revocations"), await attempt("session"), await attempt("api/v1/users/grace/logout", { method: "POST", body: '{"scope":"everywhere"}', headers: { "Content-Type": "application/json" } }),
      await attempt("api/v1/users/grace/logout", { method: "POST", mode: "no-cors", body: '{"scope":"everywhere"}', headers: { "Content-Type": "text/plain" } }),
    ];
  }, at.console);
  assert.ok(got.every((v) => v === "refused" || v === "opaque"), String(got));
  const { revocations } = await at.call("GET", "/v1/revocations?user=grace&scope=user");
  assert.deepEqual(revocations, []);
  const framed = await evil.evaluate((url) => new Promise((resolve) => {
    const frame = document.createElement("iframe");
    frame.onload = () => { try { resolve(frame.contentDocument?.body.textContent ?? "blocked"); } catch { resolve("blocked"); } };
    frame.src = url;
    document.body.append(frame);
  }), at.console);
  assert.equal(framed, "blocked");
  assert.equal(evil.frames().some((f) => f.url() === at.console), false);
  await page.context().close();
});

// A fleet of hundreds is a picture, and those that need a look come first.
test("a large fleet", async () => {
  const report = (i, more = {}) => JSON.stringify({ v: 1, id: `simulated${i}`, name: `${i < 150 ? "billing" : "search"}-${i}`, group: i < 150 ? "billing" : "search", version: "v2.1.0", stream: "s", position: 40 + (i % 3), fresh: true, staleness_ms: 200 + i, budget_ms: 15_000, ...more });
  const page = await opened("#/replicas");
  for (let i = 0; i < 300; i += 100) await Promise.all(Array.from({ length: 100 }, (_, n) => at.publish("curfew.live.replica.reports", report(i + n, (i + n) % 60 === 7 ? { fresh: false, staleness_ms: 21_000 } : {}))));
  await page.waitForFunction(() => document.querySelectorAll(".squares .square").length === 302);
  await page.getByText("The 24 that need a look first, of 302.").waitFor();
  assert.equal(await page.locator(".replica").count(), 24);
  await shoot(page, "fleet-1280-light");
  await closed(page);
});
