// What nobody but Curfew may change: the session's id and its auth time. And what reads a cookie without asking.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { decode, encode, getToken } from "@auth/core/jwt";
import { curfew } from "@curfew/authjs";
import { getTokenChecked, withRevocation } from "@curfew/authjs/authjs";

import { config, secret, start } from "./rig/app.mjs";
import { Browser } from "./rig/browser.mjs";
import { Server, until } from "./rig/server.mjs";

const cookieName = "authjs.session-token";
let server, options;
const closing = [];

before(async () => {
  server = await Server.start();
  options = await server.options({ register: false });
  closing.push(() => curfew(options).close());
});

after(async () => {
  for (const close of closing) await close();
  await server?.stop();
});

async function app(more = {}, own = options) {
  const started = await start(withRevocation(config(more), own));
  closing.push(started.close);
  return started;
}

const read = (browser) => decode({ token: browser.sessionCookie, secret, salt: cookieName });
const headersOf = (browser) => ({ cookie: `${cookieName}=${browser.sessionCookie}` });

test("trap: what a browser sends with update() moves neither the session nor its auth time", async () => {
  const { url } = await app({ callbacks: { jwt: ({ token, trigger, session }) => (trigger === "update" ? { ...token, ...session } : token) } });
  const alice = await new Browser(url).signIn();
  const before = await read(alice);
  await alice.update({ sid: "another", auth_time_ms: 9e12, auth_time: 9e9, name: "Alice" });
  const now = await read(alice);
  assert.equal(now.name, "Alice", "the application takes what it is sent");
  for (const claim of ["sid", "auth_time_ms", "auth_time"]) assert.equal(now[claim], before[claim], claim);
});

test("trap: an application's callback that returns a new object loses no claim", async () => {
  const { url } = await app({ callbacks: { jwt: ({ token, user }) => ({ sub: token.sub, name: user?.name ?? token.name, sid: "the application's own" }) } });
  const alice = await new Browser(url).signIn();
  const before = await read(alice);
  assert.notEqual(before.sid, "the application's own");
  await alice.session();
  const now = await read(alice);
  for (const claim of ["sid", "auth_time_ms", "auth_time"]) assert.equal(now[claim], before[claim], claim);
  const thief = alice.copy();
  await alice.signOut();
  assert.equal((await thief.get("/api/me")).status, 401);
});

test("a configuration that was wrapped twice works as if once, in an outage too, and its decoder is none to read with", async () => {
  const own = { ...options, apiKey: await server.key(), timeoutMs: 300, cacheMs: 0, maxStaleMs: 0, onUnavailable() {} };
  closing.push(() => curfew(own).close());
  const twice = withRevocation(withRevocation(config(), own), own);
  const started = await start(twice);
  closing.push(started.close);
  const alice = await new Browser(started.url).signIn("twice");
  const thief = alice.copy();
  const cookie = alice.sessionCookie;
  await server.freeze();
  try {
    assert.equal((await alice.session()).error, "RevocationUnavailable");
    assert.equal(alice.sessionCookie, cookie);
    assert.equal(await getTokenChecked({ req: { headers: headersOf(thief) }, secret, secureCookie: false, decode: twice.jwt.decode }, own), null);
  } finally {
    server.thaw();
  }
  await until("the session is back", async () => (await alice.session()).user?.name === "twice");
  await alice.signOut();
  assert.equal(await thief.copy().session(), null);
  assert.equal(await getTokenChecked({ req: { headers: headersOf(thief) }, secret, secureCookie: false, decode: twice.jwt.decode }, own), null);
});

test("names of claims of one's own leave an identity provider's sid alone", async () => {
  const own = { ...options, claims: { session: "curfew_sid", user: "uid" } };
  const { url } = await app({ callbacks: { jwt: ({ token, user }) => (user ? { ...token, sid: "the provider's", uid: "u-named" } : token) } }, own);
  const alice = await new Browser(url).signIn("named");
  const thief = alice.copy();
  const token = await read(alice);
  assert.equal(token.sid, "the provider's");
  assert.equal((await alice.session()).sid, token.curfew_sid);
  await curfew(options).revokeUser("u-named");
  assert.equal(await thief.session(), null);
});

test("an application's callback sees the session's claims at sign-in, and may end a session by null", async () => {
  const seen = [];
  let ended = false;
  const { url } = await app({
    callbacks: {
      jwt({ token, user }) {
        if (user) seen.push(token.sid, token.auth_time_ms);
        return ended ? null : token;
      },
      session: ({ session, token }) => ({ ...session, role: "admin", auth_time_ms: token.auth_time_ms }),
    },
  });
  const alice = await new Browser(url).signIn();
  const session = await alice.session();
  assert.equal(session.sid, seen[0]);
  assert.equal(session.role, "admin");
  ended = true;
  assert.equal(await alice.session(), null);
  assert.equal(alice.sessionCookie, "");
});

test("trap: a session callback that returns null ends nothing; the check does", async () => {
  const { url } = await app({ callbacks: { session: () => null } });
  const alice = await new Browser(url).signIn();
  assert.equal(await alice.session(), null);
  assert.notEqual(alice.sessionCookie, "", "the cookie stays, and is renewed");
  const thief = alice.copy();
  await alice.signOut();
  await thief.session();
  assert.equal(thief.sessionCookie, "");
});

test("trap: getToken takes a revoked cookie, getTokenChecked doesn't", async () => {
  const { url } = await app();
  const alice = await new Browser(url).signIn();
  const thief = alice.copy();
  const params = { req: { headers: headersOf(thief) }, secret, secureCookie: false };
  assert.equal((await getTokenChecked(params, options)).name, "alice");
  assert.equal(await getTokenChecked({ ...params, raw: true }, options), thief.sessionCookie);
  await alice.signOut();
  assert.equal((await getToken(params)).name, "alice");
  assert.equal(await getTokenChecked(params, options), null);
  assert.equal(await getTokenChecked({ ...params, raw: true }, options), null);
});

test("trap: getTokenChecked takes a revoked token as a bearer no more than as a cookie", async () => {
  const { url } = await app();
  const alice = await new Browser(url).signIn();
  const params = { req: { headers: { authorization: `Bearer ${encodeURIComponent(alice.sessionCookie)}` } }, secret, secureCookie: false };
  assert.equal((await getTokenChecked(params, options)).name, "alice");
  await alice.signOut();
  assert.equal(await getTokenChecked(params, options), null);
});

/** legacy returns a browser with a cookie from before Curfew was installed. */
async function legacy(url, name) {
  const token = await encode({ token: { sub: `u-${name}`, name }, secret, salt: cookieName, maxAge: 3600 });
  return new Browser(url, { jar: new Map([[cookieName, token]]) });
}

test("a cookie from before is adopted: its copies are the same session, and end with it", async () => {
  const { url } = await app();
  const alice = await legacy(url, "legacy");
  const thief = alice.copy();
  const { sid } = await alice.session();
  assert.match(sid, /^adopted-/);
  assert.equal((await thief.session()).sid, sid, "the copy can't get away as another session");
  const copyOfAdopted = alice.copy();
  await alice.signOut();
  for (const browser of [thief, copyOfAdopted]) assert.equal(await browser.session(), null);
});

test("a cookie from before is dated by its signature, so that logging out everywhere ends it, whenever it is first seen", async () => {
  const { url } = await app();
  const seen = await legacy(url, "dated");
  const unseen = await legacy(url, "dated");
  assert.ok(await seen.session());
  await curfew(options).revokeUser("u-dated");
  assert.equal(await seen.session(), null);
  assert.equal(await unseen.session(), null);
  assert.ok(await (await new Browser(url).signIn("dated")).session());
});

test("an application with an encoder of its own, which writes no jti, has its cookies adopted too", async () => {
  const jwt = {
    encode: async ({ token }) => Buffer.from(JSON.stringify({ iat: Math.floor(Date.now() / 1000), ...token })).toString("base64url"),
    decode: async ({ token }) => JSON.parse(Buffer.from(token, "base64url").toString()),
  };
  const { url } = await app({ jwt });
  const token = await jwt.encode({ token: { sub: "u-plain", name: "plain" } });
  const alice = new Browser(url, { jar: new Map([[cookieName, token]]) });
  const thief = alice.copy();
  const { sid } = await alice.session();
  assert.match(sid, /^adopted-/);
  assert.equal(JSON.parse(Buffer.from(alice.sessionCookie, "base64url").toString()).sid, sid);
  await alice.signOut();
  assert.equal(await thief.session(), null);
});

test("with legacyTokens \"deny\" a cookie from before is over", async () => {
  const own = { ...options, legacyTokens: "deny" };
  const { url } = await app({}, own);
  const alice = await legacy(url, "denied");
  assert.equal(await alice.session(), null);
  assert.equal(alice.sessionCookie, "");
  assert.ok(await (await new Browser(url).signIn("denied")).session());
});

test("trap: a token that lacks claims, or has them in a wrong form, doesn't pass for another session", async () => {
  const { url } = await app({}, { ...options, onError: "closed", maxStaleMs: 0, onUnavailable() {} });
  const at = Date.now();
  const odd = [
    { sid: "", auth_time_ms: at }, { sid: 7e300, auth_time_ms: at }, { sid: "s\u0000", auth_time_ms: at }, { sid: "x".repeat(257), auth_time_ms: at },
    { sid: "s-3", auth_time_ms: -5 }, { sid: "s-4", auth_time_ms: "now" },
  ];
  for (const [i, claims] of odd.entries()) {
    const token = await encode({ token: { sub: `u-odd-${i}`, ...claims }, secret, salt: cookieName, maxAge: 3600 });
    const browser = new Browser(url, { jar: new Map([[cookieName, token]]) });
    assert.match((await browser.session()).sid, /^(s-\d|adopted-.*)$/, JSON.stringify(claims));
    await curfew(options).revokeUser(`u-odd-${i}`);
    assert.equal(await browser.session(), null, JSON.stringify(claims));
  }
  // Nobody's token can't be checked, and an auth time far ahead can't be believed.
  for (const claims of [{ name: "nobody", sid: "s-1", auth_time_ms: Date.now() }, { sub: "u-odd", sid: "s-2", auth_time_ms: Date.now() + 3600_000 }]) {
    const token = await encode({ token: claims, secret, salt: cookieName, maxAge: 3600 });
    const browser = new Browser(url, { jar: new Map([[cookieName, token]]) });
    assert.equal((await browser.session()).error, "RevocationUnavailable", JSON.stringify(claims));
    assert.equal((await browser.get("/api/me")).status, 401);
  }
});

test("absoluteMaxAge counts from the sign-in, which no read moves", async () => {
  const own = { ...options, apiKey: await server.key(), absoluteMaxAge: 2 };
  closing.push(() => curfew(own).close());
  const { url } = await app({}, own);
  const alice = await new Browser(url).signIn("aged");
  const { auth_time_ms: begun } = await read(alice);
  assert.ok(await alice.session());
  await until("it is over", async () => (await alice.session()) === null);
  assert.ok(Date.now() - begun >= 2000, "not before its time");
});

test("while secrets rotate, a cookie under the old one is checked like any other", async () => {
  const older = "an older secret of these tests, still in use";
  const { url } = await app({ secret: [secret, older] });
  const old = await start(withRevocation(config({ secret: older }), options));
  closing.push(old.close);
  const alice = await new Browser(old.url).signIn("rotated");
  const here = new Browser(url, { jar: new Map(alice.jar) });
  const thief = here.copy();
  assert.equal((await here.session()).user.name, "rotated");
  const renewed = here.copy();
  await here.signOut();
  assert.equal(await thief.session(), null, "under the old secret");
  assert.equal(await renewed.session(), null, "under the new one");
});

test("two applications under one secret: the one without Curfew renews a cookie, which is over at the other all the same", async () => {
  const { url } = await app();
  const other = await start(config());
  closing.push(other.close);
  const alice = await new Browser(url).signIn();
  const stolen = new Browser(other.url, { jar: new Map(alice.jar) });
  await alice.signOut();
  assert.equal((await stolen.session()).user.name, "alice", "nothing is checked there");
  const back = new Browser(url, { jar: new Map(stolen.jar) });
  assert.equal(await back.session(), null);
});
