// The pages: what they forbid their scripts and caches, and that anybody can use them.
import assert from "node:assert/strict";
import { test } from "node:test";

import { copied, left, session, signIn, tab } from "./rig/browser.mjs";
import { stand } from "./rig/stand.mjs";
import { until } from "./rig/until.mjs";

const { app, newContext, device } = stand();
const paths = ["/sessions", "/notes", "/chat"];

test("no page is stored, framed, or lets in a script that isn't its own", async (t) => {
  const { context } = await device(t, "ada");
  const call = await copied(context, app);
  for (const path of [...paths, "/signin"]) {
    const { status, headers } = await call(path);
    assert.deepEqual([status, headers.get("Cache-Control")], [200, "no-store"], path);
    const policy = headers.get("Content-Security-Policy");
    assert.match(policy, /default-src 'none'; script-src 'nonce-[\w+/]{22}==' 'strict-dynamic'; /);
    assert.doesNotMatch(policy, /unsafe|\*/);
    assert.match(policy, /frame-ancestors 'none'/);
  }
  const nonces = await Promise.all([1, 2].map(async () => (await call("/notes")).headers.get("Content-Security-Policy")));
  assert.notEqual(nonces[0], nonces[1], "each answer has a word of its own");
  const out = await call("/api/signout", { method: "POST", headers: { "Sec-Fetch-Site": "same-origin" } });
  assert.deepEqual([out.status, out.headers.get("Location"), out.headers.get("Clear-Site-Data"), out.headers.get("Cache-Control")],
    [303, "/signin?reason=user_logout", '"cache", "storage"', "no-store"]);
  assert.deepEqual(out.headers.getSetCookie().filter((line) => line.includes("session-token")).map((line) => line.split(";")[0]), ["authjs.session-token="], "one cookie, and an empty one");
});

test("a script that got into a page doesn't run, and the console complains of nothing else", async (t) => {
  const { context, page } = await device(t, "grace");
  for (const path of paths) {
    await page.goto(app.url + path);
    await page.getByRole("heading", { level: 1 }).waitFor();
  }
  await page.getByText("Connected.").waitFor();
  await until("the gateway lets it in", async () => (await app.conns("grace")).length === 1);
  assert.deepEqual(page.complaints, []);
  await page.evaluate(() => {
    const script = document.createElement("div");
    script.innerHTML = "<img src=x onerror='window.stolen = true'>";
    document.body.append(script);
  });
  await until("the browser refuses it", () => page.complaints.some((said) => said.includes("Content Security Policy")));
  assert.equal(await page.evaluate(() => window.stolen), undefined);

  const other = await tab(context, app, "/notes");
  await until("it asks", () => other.getByLabel("New note").isVisible());
  await app.revoke("grace", "admin");
  await left(other);
  assert.deepEqual(other.complaints.filter((said) => !said.includes("401")), [], "nor of the package's dialogs");
});

test("without a mouse: links first to the content, a dialog that keeps the focus, gives it back, and is told", async (t) => {
  const { page } = await device(t, "linus");
  await page.reload();
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "To the content");
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement.id), "main");
  const button = page.getByRole("button", { name: "Sign out everywhere…" });
  await button.focus();
  await page.keyboard.press("Enter");
  const dialog = page.getByRole("dialog", { name: "Sign out everywhere?" });
  await dialog.waitFor();
  assert.equal(await page.evaluate(() => !!document.activeElement.closest("dialog")), true);
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "hidden" });
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Sign out everywhere…");
  await page.keyboard.press("Enter");
  await page.keyboard.press("Enter");
  await page.getByRole("dialog", { name: "You are signed out everywhere" }).getByRole("status").getByText("2 of 2 services").waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "You are signed out everywhere", "the focus isn't lost with the button");
});

for (const [width, height] of [[1280, 800], [390, 844]]) {
  test(`at ${width} pixels nothing is cut off, and everything has a name`, async (t) => {
    for (const colorScheme of ["light", "dark"]) {
      const { page } = await device(t, "ada", { viewport: { width, height }, colorScheme });
      for (const path of [...paths, "/signin"]) {
        await page.goto(app.url + path);
        await page.getByRole("heading", { level: 1 }).waitFor();
        if (path === "/chat") await page.getByText("Connected.").waitFor();
        assert.equal(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), true, `${path} isn't wider than the screen`);
        assert.deepEqual([await page.getByRole("main").count(), await page.getByRole("heading", { level: 1 }).count()], [1, 1]);
        assert.equal(await page.getByRole("navigation").count(), path === "/signin" ? 0 : 1);
        const nameless = await page.locator("button, a, input:not([type=hidden])").evaluateAll((all) => all.filter((e) => !(e.getAttribute("aria-label") ?? (e.labels?.[0] ?? e).textContent).trim()).length);
        assert.equal(nameless, 0, path);
        const small = await page.locator("button:visible").evaluateAll((all) => all.filter((e) => e.getBoundingClientRect().height < 44).length);
        assert.equal(small, 0, `${path}'s buttons can be hit with a finger`);
        if (process.env.SCREENSHOTS) await page.screenshot({ path: `${process.env.SCREENSHOTS}/${path.slice(1)}-${width}-${colorScheme}.png`, fullPage: true });
      }
    }
  });
}

test("without scripts one can still sign in, sign out other devices, and sign out", async (t) => {
  const other = await device(t, "linus");
  const { page } = await device(t, "linus", { javaScriptEnabled: false });
  await page.getByRole("button", { name: "Sign out other devices" }).click();
  await page.getByText("You are signed out everywhere but here.").waitFor();
  assert.equal(await left(other.page), "user_logout");
  await page.getByRole("button", { name: "Sign out", exact: true }).click();
  await page.getByText("This session has ended: you signed out, here or on another device.").waitFor();
  await page.goto(`${app.url}/sessions`);
  assert.equal(new URL(page.url()).pathname, "/signin");
});

test("a wrong password, a name of nobody, and a link that leads elsewhere", async (t) => {
  const context = await newContext(t);
  const page = await tab(context, app, `/signin?from=${encodeURIComponent("//evil.example")}&reason=${encodeURIComponent("<b>call us</b>")}`);
  assert.equal(await page.getByText("call us").count(), 0);
  for (const [name, password] of [["ada", "wrong"], ["mallory", "correct-horse"], ["constructor", "correct-horse"]]) {
    await page.getByLabel("Name").fill(name);
    await page.getByLabel("Password").fill(password);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByRole("alert").getByText("don’t belong together").waitFor();
    assert.equal(await session(page), null);
    await page.reload();
  }
  await signIn(page, "ada");
  assert.equal(page.url(), `${app.url}/sessions`);
});
