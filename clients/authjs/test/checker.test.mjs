// How often the gate is asked, and who gets whose answer.
import assert from "node:assert/strict";
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, test } from "node:test";
import { inspect } from "node:util";
import { curfew } from "@curfew/authjs";
import { withRevocation } from "@curfew/authjs/authjs";

import { config, start } from "./rig/app.mjs";
import { Browser } from "./rig/browser.mjs";
import { Front } from "./rig/front.mjs";
import { serve } from "./rig/serve.mjs";
import { Server, until } from "./rig/server.mjs";

let server, front;
let closing = [];

before(async () => {
  server = await Server.start();
  front = await Front.start(server);
});

afterEach(async () => {
  front.down.clear();
  front.hang.clear();
  for (const close of closing.splice(0).reverse()) await close();
});

after(async () => {
  await front?.stop();
  await server?.stop();
});

async function client(own = {}) {
  const options = { url: front.url, apiKey: await server.key(), onUnavailable() {}, ...own };
  closing.push(() => curfew(options).close());
  return curfew(options);
}

let n = 0;
const session = (user = "u") => ({ session: `checked-${n++}`, user, authTimeMs: Date.now() });

/** asked counts the questions that an action takes. */
async function asked(action) {
  const before = front.count("/v1/check");
  await action();
  return front.count("/v1/check") - before;
}

test("what isn't set is as it is documented: 300 ms for a check, kept for 2 s, closed in an outage, and never more than 2 s or, for a sign-out, 1.5 s", () => {
  const { timeoutMs, cacheMs, onError, legacyTokens, sync, register, publishTimeoutMs } = curfew({ url: "http://127.0.0.1:1", apiKey: "cfw_a_b" }).settings;
  assert.deepEqual({ timeoutMs, cacheMs, onError, legacyTokens, sync, register, publishTimeoutMs }, {
    timeoutMs: 300, cacheMs: 2000, onError: "closed", legacyTokens: "adopt", sync: "check", register: true, publishTimeoutMs: 1000,
  });
  assert.throws(() => curfew({ url: "http://127.0.0.1:1", apiKey: "cfw_a_b", cacheMs: 2001 }), /cacheMs can be 2000 at most/);
  assert.throws(() => curfew({ url: "http://127.0.0.1:1", apiKey: "cfw_a_b", publishTimeoutMs: 1501 }), /publishTimeoutMs can be 1500 at most/);
});

test("many reads at once are one question", async () => {
  const checks = await client();
  const one = session();
  assert.equal(await asked(async () => {
    const verdicts = await Promise.all(Array.from({ length: 50 }, () => checks.check(one)));
    assert.ok(verdicts.every(({ state }) => state === "active"));
  }), 1);
});

test("over HTTP too: fifty requests with one cookie are one question", async () => {
  const options = { url: front.url, apiKey: await server.key() };
  const app = await start(withRevocation(config(), options));
  closing.push(() => curfew(options).close(), app.close);
  const alice = await new Browser(app.url).signIn();
  const copies = Array.from({ length: 50 }, () => alice.copy());
  assert.equal(await asked(async () => {
    const answers = await Promise.all(copies.map((copy) => copy.get("/api/me")));
    assert.ok(answers.every(({ status }) => status === 200));
  }), 1);
});

test("trap: two users never share an answer, though the session id be the same", async () => {
  const checks = await client();
  const authTimeMs = Date.now();
  await server.call("POST", "/v1/revocations", { scope: "user", user: "mallory", cutoff: new Date(authTimeMs + 1000).toISOString() });
  const [ofAda, ofMallory, later] = await Promise.all([
    checks.check({ session: "same", user: "ada", authTimeMs }), checks.check({ session: "same", user: "mallory", authTimeMs }),
    checks.check({ session: "same", user: "mallory", authTimeMs: authTimeMs + 2000 }),
  ]);
  assert.deepEqual([ofAda.state, ofMallory.state, later.state], ["active", "revoked", "active"]);
});

test("trap: parts that read the same when they are joined aren't the same session", async () => {
  const checks = await client();
  const authTimeMs = Date.now();
  assert.equal(await asked(async () => {
    for (const [session, user] of [['a","b', "c"], ["a", 'b","c'], ["a", "b,c"], ["a,b", "c"]]) await checks.check({ session, user, authTimeMs });
  }), 4);
});

test("an active answer is kept for cacheMs and no longer, a revoked one for good", async () => {
  const checks = await client({ cacheMs: 300 });
  const one = session();
  assert.equal(await asked(() => checks.check(one).then(() => checks.check(one))), 1);
  await server.call("POST", "/v1/revocations", { scope: "session", session: one.session });
  await until("it is asked again", async () => (await checks.check(one)).state === "revoked", 2000);
  assert.equal(await asked(async () => {
    for (let i = 0; i < 10; i++) assert.equal((await checks.check(one)).state, "revoked");
  }), 0);
});

test("a longer cache than two seconds is refused, and so is what else is wrong, all at once and without the key", () => {
  assert.throws(() => curfew({ url: "http://curfew.example.com", apiKey: "cfw secret", cacheMs: 5000, onError: "maybe" }), (error) => {
    assert.equal(error.code, "invalid_config");
    for (const part of ["url must be https", "apiKey", "cacheMs can be 2000", "onError must be"]) assert.ok(error.message.includes(part), error.message);
    return !error.message.includes("secret");
  });
});

test("trap: a server that is logged, as an object or as JSON, shows no key", async () => {
  const apiKey = await server.key();
  const checks = await client({ apiKey });
  for (const text of [inspect(checks, { depth: Infinity }), JSON.stringify(checks), JSON.stringify({ ...checks.settings })]) {
    assert.ok(text.includes(front.url));
    assert.ok(!text.includes(apiKey), text.replaceAll(apiKey, "THE KEY"));
  }
});

test("after a failure the gate is left alone for a second, and then one question tries it", async () => {
  const checks = await client({ cacheMs: 0 });
  front.down.add("check");
  assert.equal(await asked(async () => {
    for (let i = 0; i < 20; i++) assert.equal((await checks.check(session())).state, "undetermined");
  }), 1);
  front.down.clear();
  const begun = performance.now();
  await until("it is asked again", async () => (await checks.check(session())).state === "active", 3000);
  assert.ok(performance.now() - begun > 500);
});

test("nobody waits for longer than the timeout, whoever asked first", async () => {
  const checks = await client({ timeoutMs: 200 });
  front.hang.add("check");
  const one = session();
  const first = checks.check(one);
  await until("the question is under way", () => front.calls.at(-1)?.body?.session === one.session);
  const begun = performance.now();
  assert.equal((await checks.check(one)).state, "undetermined");
  assert.equal((await first).state, "undetermined");
  assert.ok(performance.now() - begun < 1500);
});

test("trap: an answer from before a logout doesn't count after it, whoever waits for it", async () => {
  const one = session("raced");
  let release;
  const held = new Promise((resolve) => (release = resolve));
  const real = globalThis.fetch;
  const slow = await client({
    fetch: async (url, init) => {
      const answer = await real(url, init);
      if (String(url).endsWith("/v1/check") && !release.done) await held;
      return answer;
    },
    timeoutMs: 5000,
  });
  const early = slow.check(one);
  await until("the gate has answered that it is active", () => front.calls.some((call) => call.path === "/v1/check" && call.body.session === one.session));
  const receipt = await slow.revokeUser("raced");
  release.done = true;
  release();
  assert.equal((await early).state, "revoked", "what this process revoked meanwhile counts");
  assert.equal((await slow.check(one)).state, "revoked");
  await slow.check(session("somebody"));
  assert.equal(front.calls.at(-1).headers["curfew-position"], String(receipt.position), "and the gate is told what it must know by now");
});

test("whoever has just revoked something isn't told otherwise by a gate that lags", async () => {
  const checks = await client();
  const one = session("lagging");
  assert.equal((await checks.check(one)).state, "active");
  await checks.revokeUser("lagging");
  assert.equal((await checks.check(one)).state, "revoked");
  const stats = checks.stats();
  assert.equal(stats.revocationsStored, 1);
});

test("trap: a ledger that was made anew never gets to an old position, so that isn't asked for for ever", async (t) => {
  const checks = await client();
  const { position } = await checks.revokeUser("anew");
  await checks.check(session());
  assert.equal(front.calls.at(-1).headers["curfew-position"], String(position));
  t.mock.timers.enable({ apis: ["Date"], now: Date.now() + 61000 });
  await checks.check({ ...session(), authTimeMs: Date.now() - 100000 });
  assert.equal(front.calls.at(-1).headers["curfew-position"], undefined);
});

test("trap: an answer from before the machine slept isn't an answer of now", async (t) => {
  const checks = await client();
  const one = session();
  await checks.check(one);
  t.mock.timers.enable({ apis: ["Date"], now: Date.now() + 3000 });
  assert.equal(await asked(() => checks.check(one)), 1);
});

test("a kept connection that the other end has closed isn't an outage", async () => {
  let broken = 0;
  const checks = await client({
    fetch: (url, init) => (broken++ === 0 ? Promise.reject(new TypeError("fetch failed")) : fetch(url, init)),
  });
  assert.equal((await checks.check(session())).state, "active");
});

test("all bundles of a process share one memory for a server and a key", async () => {
  const options = { url: front.url, apiKey: await server.key() };
  const copy = mkdtempSync(join(tmpdir(), "curfew-bundle-"));
  closing.push(() => rmSync(copy, { recursive: true }));
  cpSync(new URL("../dist", import.meta.url), copy, { recursive: true });
  writeFileSync(join(copy, "package.json"), '{"type":"module"}');
  const other = await import(join(copy, "index.js"));
  assert.notEqual(other.curfew, curfew);
  const [mine, theirs] = [curfew(options), other.curfew(options)];
  closing.push(() => mine.close());
  const one = session();
  assert.equal(await asked(async () => {
    await mine.check(one);
    await theirs.check(one);
  }), 1);
  await theirs.revokeSession(one);
  assert.equal(await asked(async () => assert.equal((await mine.check(one)).state, "revoked")), 0);
  const stranger = curfew({ ...options, apiKey: await server.key() });
  closing.push(() => stranger.close());
  assert.equal(await asked(() => stranger.check(session())), 1);
});

test("the key goes to the server and nowhere else: a redirect isn't followed", async () => {
  const seen = [];
  const thief = await serve((req, res) => {
    seen.push(req.headers.authorization);
    res.end('{"state":"active"}');
  });
  const redirecting = await serve((req, res) => res.writeHead(307, { Location: `${thief.url}/v1/check` }).end());
  closing.push(thief.close, redirecting.close);
  const checks = await client({ url: redirecting.url });
  assert.equal((await checks.check(session())).state, "undetermined");
  assert.deepEqual(seen, []);
});
