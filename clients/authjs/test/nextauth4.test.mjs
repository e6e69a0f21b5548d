// NextAuth.js 4, whose routes differ from those of Auth.js 5 in what they do with null.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, afterEach, before, test } from "node:test";
import { curfew } from "@curfew/authjs";
import { checkedDecode, failClosed, getTokenChecked, withRevocation } from "@curfew/authjs/next-auth4";
import { encode, getToken } from "next-auth/jwt";

import { Adapter } from "./rig/adapter.mjs";
import { config, getServerSession, secret, start } from "./rig/app4.mjs";
import { Browser } from "./rig/browser.mjs";
import { Provider } from "./rig/provider.mjs";
import { Server, until } from "./rig/server.mjs";

const cookieName = "next-auth.session-token";
let server, options;
let closing = [];

before(async () => {
  server = await Server.start();
  options = await server.options({ register: false });
});

afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

after(async () => {
  await curfew(options).close();
  await server?.stop();
});

async function app(authOptions, more) {
  const started = await start(authOptions, more);
  closing.push(started.close);
  return { signIn: (name) => new Browser(started.url, { basePath: "/api/auth" }).signIn(name), url: started.url };
}

test("trap: in version 4 a jwt callback that returns null fails open: the session is served", async () => {
  let over = false;
  const { signIn } = await app(config({ callbacks: { jwt: ({ token }) => (over ? null : token) } }));
  const alice = await signIn("alice");
  over = true;
  const got = await alice.copy().get("/api/auth/session");
  assert.equal(got.body.user.name, "alice");
  assert.equal((await alice.copy().get("/api/me")).status, 200);
});

test("a copied cookie is over with its session, and another device isn't", async () => {
  const { signIn } = await app(withRevocation(config(), options));
  const [alice, phone] = [await signIn("alice"), await signIn("alice")];
  const thief = alice.copy();
  assert.equal((await thief.get("/api/me")).body.sid, (await alice.session()).sid);
  await alice.signOut();
  assert.equal((await thief.copy().get("/api/me")).status, 401);
  assert.deepEqual(await thief.session(), {});
  assert.equal(thief.sessionCookie, "");
  assert.equal((await phone.get("/api/me")).status, 200);
});

test("with Curfew a null of the application's own ends the session", async () => {
  let over = false;
  const { signIn } = await app(withRevocation(config({ callbacks: { jwt: ({ token }) => (over ? null : token) } }), options));
  const alice = await signIn("null");
  over = true;
  assert.equal((await alice.copy().get("/api/me")).status, 401);
  assert.deepEqual(await alice.session(), {});
});

test("everywhere, and a new login at once", async () => {
  const { signIn } = await app(withRevocation(config(), options));
  for (let i = 0; i < 10; i++) {
    const browser = await signIn("loop");
    assert.equal((await browser.get("/api/me")).status, 200, `turn ${i}`);
    await curfew(options).signOutEverywhere(await browser.session());
    assert.equal((await browser.get("/api/me")).status, 401, `turn ${i}`);
  }
});

test("trap: getToken and withAuth run no callback — they are given a decoder that checks", async () => {
  const { signIn } = await app(withRevocation(config(), options));
  const alice = await signIn("alice");
  const req = { cookies: { [cookieName]: alice.sessionCookie }, headers: {} };
  const decode = checkedDecode(options);
  assert.equal((await getToken({ req, secret, decode })).name, "alice");
  assert.equal((await getTokenChecked({ req, secret }, options)).name, "alice");
  await alice.signOut();
  assert.equal((await getToken({ req, secret })).name, "alice", "without it a revoked cookie is taken");
  assert.equal(await getToken({ req, secret, decode }), null);
  assert.equal(await getTokenChecked({ req, secret, raw: true }, options), null);
});

test("closed, while Curfew is away: nobody is signed in for failClosed, withAuth's decoder and update(), the cookie stays, and it is back", async () => {
  const own = { ...options, apiKey: await server.key(), timeoutMs: 300, cacheMs: 0, maxStaleMs: 0, onUnavailable() {} };
  const { signIn } = await app(withRevocation(config(), own), { read: failClosed(getServerSession) });
  try {
    const alice = await signIn("alice");
    const { sid } = await alice.session();
    await server.freeze();
    const token = alice.sessionCookie;
    const got = await alice.get("/api/me");
    assert.equal(got.status, 401);
    assert.equal(got.body, null);
    assert.deepEqual({ ...(await alice.session()), expires: undefined }, { error: "RevocationUnavailable", expires: undefined, sid });
    assert.equal((await alice.update({ name: "x" })).error, "RevocationUnavailable");
    assert.equal(alice.sessionCookie, token, "neither deleted nor renewed");
    const req = { cookies: { [cookieName]: token }, headers: {} };
    assert.equal(await getToken({ req, secret, decode: checkedDecode(own) }), null);
    server.thaw();
    await until("the session is back", async () => (await alice.get("/api/me")).status === 200);
    assert.equal((await alice.session()).user.name, "alice");
  } finally {
    server.thaw();
    await curfew(own).close();
  }
});

test("trap: version 4 decodes the cookie for linking accounts too", async () => {
  const provider = await Provider.start();
  closing.push(() => provider.stop());
  const adapter = new Adapter();
  const { url } = await app(withRevocation(config({ adapter: adapter.methods(), session: { strategy: "jwt" }, providers: [provider.config()] }), options));
  provider.next = { id: "alice-1", name: "alice", email: "alice@example.com" };
  const alice = new Browser(url, { basePath: "/api/auth" });
  await alice.oauth("fake");
  const victim = adapter.accounts.get("fake/alice-1");
  assert.ok(victim);
  const thief = alice.copy();
  await alice.signOut();
  provider.next = { id: "attacker-1", name: "attacker", email: "attacker@example.com" };
  await thief.oauth("fake");
  assert.ok(adapter.accounts.get("fake/attacker-1"));
  assert.notEqual(adapter.accounts.get("fake/attacker-1"), victim);
  assert.equal((await thief.session()).user.name, "attacker");
});

test("sessions in a database: the sign-out ends the session under the hash of its token, and a session that was ended elsewhere isn't found", async () => {
  const provider = await Provider.start();
  closing.push(() => provider.stop());
  const own = { ...options, apiKey: await server.key(), cacheMs: 0, register: true };
  closing.push(() => curfew(own).close());
  const adapter = new Adapter();
  const { url } = await app(withRevocation(config({ adapter: adapter.methods(), session: { strategy: "database" }, providers: [provider.config()] }), own));
  const signIn = async () => {
    provider.next = { id: "dora-1", name: "dora", email: "dora@example.com" };
    const browser = new Browser(url, { basePath: "/api/auth" });
    await browser.oauth("fake");
    return browser;
  };
  const [laptop, phone] = [await signIn(), await signIn()];
  const thief = laptop.copy();
  const { sid } = await laptop.session();
  assert.equal(sid, createHash("sha256").update(laptop.sessionCookie).digest("hex"));
  const { user } = await server.session(sid);
  await laptop.signOut();
  await server.revoked(sid, user);
  assert.deepEqual(await thief.session(), {});
  assert.equal((await phone.session()).user.name, "dora");
  await server.call("POST", "/v1/revocations", { scope: "user", user });
  assert.deepEqual(await phone.session(), {});
  assert.equal((await (await signIn()).session()).user.name, "dora");
});

test("a cookie from before is adopted, with the same id as by the decoder for reading", async () => {
  const { url } = await app(withRevocation(config(), options));
  const token = await encode({ token: { sub: "u-legacy", name: "legacy" }, secret });
  const legacy = new Browser(url, { basePath: "/api/auth", jar: new Map([[cookieName, token]]) });
  const read = await checkedDecode(options)({ token, secret });
  assert.equal((await legacy.session()).sid, read.sid);
  await legacy.signOut();
  assert.equal(await checkedDecode(options)({ token, secret }), null);
});
