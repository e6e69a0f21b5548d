// Several processes of one application: how soon each of them knows, by asking and by following the stream; and a crash with a sign-out in the outbox.
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, test } from "node:test";

import { Browser } from "./rig/browser.mjs";
import { instance } from "./rig/processes.mjs";
import { Front } from "./rig/front.mjs";
import { Server, until } from "./rig/server.mjs";

let server, front, options;
let closing = [];

before(async () => {
  server = await Server.start();
  front = await Front.start(server);
  options = await server.options({ url: front.url });
});

afterEach(async () => {
  server.thaw();
  for (const close of closing.splice(0).reverse()) await close();
});

after(async () => {
  await front?.stop();
  await server?.stop();
});

async function started(own = {}, folder) {
  const one = await instance({ ...options, ...own }, folder);
  closing.push(() => one.kill());
  return one;
}

/** elsewhere is the same browser at another instance. */
const elsewhere = (browser, { url }) => new Browser(url, { jar: new Map(browser.jar) });

test("two instances that ask: the other one knows within two seconds, and passes until then at most what it has just asked", async () => {
  const [one, two] = await Promise.all([started(), started()]);
  const alice = await new Browser(one.url).signIn();
  const there = elsewhere(alice, two);
  assert.equal((await there.copy().get("/api/me")).status, 200);
  const fresh = elsewhere(alice, two);
  await alice.signOut();
  const ended = performance.now();
  let passed = 0;
  await until("the other instance knows", async () => {
    const begun = performance.now();
    if ((await there.copy().get("/api/me")).status === 401) return true;
    passed = begun - ended;
    return false;
  });
  assert.ok(passed <= 2000, `it passed ${passed} ms after the sign-out`);
  assert.equal((await fresh.get("/api/me")).status, 401);
});

test("an instance that follows the stream knows within milliseconds, and asks nobody", async () => {
  const [one, two] = await Promise.all([started(), started({ sync: "stream" })]);
  await new Browser(two.url).get("/ready");
  const took = [];
  for (let i = 0; i < 10; i++) {
    const alice = await new Browser(one.url).signIn();
    const there = elsewhere(alice, two);
    assert.equal((await there.copy().get("/api/me")).status, 200);
    await alice.signOut();
    const begun = performance.now();
    await until("the follower knows", async () => (await there.copy().get("/api/me")).status === 401, 4000);
    took.push(performance.now() - begun);
  }
  took.sort((a, b) => a - b);
  assert.ok(took[5] < 200 && took[9] < 1500, `${took.map(Math.round)} ms`);
  const stats = (await new Browser(two.url).get("/stats")).body;
  assert.equal(stats.asked, 0);
});

test("a follower whose server is gone is stale after its budget: it refuses what it knows, and what it doesn't isn't served", async () => {
  const own = { sync: "stream", stalenessBudgetMs: 1000, cacheMs: 0, maxStaleMs: 0 };
  const two = await started(own);
  await new Browser(two.url).get("/ready");
  const [alice, bob] = [await new Browser(two.url).signIn("alice"), await new Browser(two.url).signIn("bob")];
  const thief = bob.copy();
  await bob.signOut();
  assert.equal((await alice.get("/api/me")).status, 200);
  front.down.add("check");
  front.beating = false;
  try {
    assert.equal((await alice.get("/api/me")).status, 200, "fresh until the budget is used up");
    await until("it is stale", async () => (await alice.get("/api/me")).status === 401, 5000);
    assert.equal((await alice.session()).error, "RevocationUnavailable");
    assert.equal(await thief.copy().session(), null, "revoked stays revoked");
    front.down.delete("check");
    await until("the gate is asked instead", async () => (await alice.get("/api/me")).status === 200);
  } finally {
    front.down.clear();
    front.beating = true;
  }
});

test("a follower of a server that is killed refuses after its budget what it can't tell, keeps what it knows, and is fresh again with the server", async () => {
  const two = await started({ url: server.url, sync: "stream", stalenessBudgetMs: 1500, cacheMs: 0, maxStaleMs: 0, timeoutMs: 300 });
  await new Browser(two.url).get("/ready");
  const [alice, bob] = [await new Browser(two.url).signIn("alice"), await new Browser(two.url).signIn("bob")];
  const thief = bob.copy();
  const { sid } = await alice.session();
  await server.call("POST", "/v1/revocations", { scope: "user", user: "u-bob" });
  await until("the follower knows", async () => (await thief.copy().get("/api/me")).status === 401);
  await server.kill();
  try {
    await until("it is stale", async () => (await alice.copy().get("/api/me")).status === 401, 5000);
    assert.equal((await alice.session()).error, "RevocationUnavailable");
    assert.equal(await thief.copy().session(), null);
  } finally {
    await server.run();
  }
  await until("it is fresh again", async () => (await alice.get("/api/me")).status === 200);
  await server.call("POST", "/v1/revocations", { scope: "session", session: sid });
  await until("it follows again", async () => (await alice.copy().get("/api/me")).status === 401);
  assert.equal(await thief.session(), null);
});

test("a follower that was cut off catches up where it was, and misses nothing", async () => {
  const own = { sync: "stream", cacheMs: 0, maxStaleMs: 0 };
  const two = await started(own);
  await new Browser(two.url).get("/ready");
  const browsers = await Promise.all(Array.from({ length: 5 }, (_, i) => new Browser(two.url).signIn(`cut-${i}`)));
  const ids = await Promise.all(browsers.map(async (browser) => (await browser.session()).sid));
  front.down.add("stream");
  front.cut();
  await until("nobody follows", () => front.streams === 0);
  for (const session of ids) await server.call("POST", "/v1/revocations", { scope: "session", session });
  front.down.clear();
  await until("it follows again", () => front.streams === 1);
  await until("it knows all", async () => (await Promise.all(browsers.map((browser) => browser.copy().get("/api/me")))).every(({ status }) => status === 401));
  assert.match(front.calls.filter(({ path }) => path === "/v1/revocations/stream").at(-1).query, /^\?since=[1-9]/, "it went on from there");
});

test("a crash with a sign-out in the outbox: the next process publishes it", async () => {
  const folder = join(mkdtempSync(join(tmpdir(), "curfew-outbox-")), "outbox");
  closing.push(() => rmSync(folder, { recursive: true, force: true }));
  const own = { url: server.url, onError: "open", register: false };
  const one = await started(own, folder);
  const alice = await new Browser(one.url).signIn("crashed");
  const { sid } = await alice.session();
  const csrf = await alice.csrf();
  await server.kill();
  await alice.fetch("/auth/signout", { method: "POST", form: { csrfToken: csrf } });
  const files = readdirSync(folder);
  assert.equal(files.length, 1);
  assert.equal(statSync(join(folder, files[0])).mode & 0o777, 0o600);
  assert.equal(statSync(folder).mode & 0o777, 0o700);
  await one.kill("SIGKILL");
  await server.run();
  assert.equal(await server.state(sid, "u-crashed"), "active", "nobody has published it yet");
  await started(own, folder);
  await server.revoked(sid, "u-crashed");
  await until("the outbox is empty", () => readdirSync(folder).length === 0);
});
