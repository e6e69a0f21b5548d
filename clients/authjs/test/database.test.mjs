// Sessions in a database: the cookie holds the session's token, which is a secret and never leaves.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, before, test } from "node:test";
import { curfew } from "@curfew/authjs";
import { withRevocation } from "@curfew/authjs/authjs";

import { Adapter } from "./rig/adapter.mjs";
import { config, start } from "./rig/app.mjs";
import { Browser } from "./rig/browser.mjs";
import { Provider } from "./rig/provider.mjs";
import { Front } from "./rig/front.mjs";
import { Server, until } from "./rig/server.mjs";

let server, front, provider;
const closing = [];

before(async () => {
  server = await Server.start();
  front = await Front.start(server);
  provider = await Provider.start();
});

after(async () => {
  for (const close of closing) await close();
  await provider?.stop();
  await front?.stop();
  await server?.stop();
});

async function application({ session = {}, ...own } = {}) {
  const adapter = new Adapter();
  const signedOut = [];
  const options = await server.options({ url: front.url, ...own });
  const events = { signOut: (message) => void signedOut.push(message) };
  const app = await start(withRevocation(config({ adapter: adapter.methods(), session: { strategy: "database", ...session }, events, providers: [provider.config()] }), options));
  closing.push(app.close, () => curfew(options).close());
  const signIn = async (name) => {
    provider.next = { id: name, name, email: `${name}@example.com` };
    const browser = new Browser(app.url);
    await browser.oauth("fake");
    return browser;
  };
  return { adapter, options, signIn, signedOut, app };
}

const hashed = (token) => createHash("sha256").update(token).digest("hex");

test("trap: deleteSession returns nothing in most adapters — the sign-out is published all the same, under the hash of the token", async () => {
  const { adapter, signIn, signedOut } = await application();
  const alice = await signIn("alice");
  const token = alice.sessionCookie;
  assert.equal((await alice.session()).sid, hashed(token));
  const row = { ...adapter.sessions.get(token) };
  await alice.signOut();
  assert.deepEqual(signedOut, [{ session: undefined }]);
  await server.revoked(hashed(token), "x");
  const stored = JSON.stringify(await server.events({ session: hashed(token) }));
  assert.ok(stored.includes(row.userId) && !stored.includes(token), "the event names the user, and holds no token");
  assert.ok(front.calls.every((call) => !JSON.stringify(call).includes(token)), "and no call of the API does");
});

test("a session that was ended elsewhere isn't found, though its row is there; then the row goes too", async () => {
  const { adapter, signIn } = await application({ cacheMs: 0 });
  const alice = await signIn("bea");
  const thief = alice.copy();
  const token = alice.sessionCookie;
  assert.ok(await thief.session());
  await server.call("POST", "/v1/revocations", { scope: "session", session: hashed(token) });
  assert.ok(adapter.sessions.has(token));
  assert.equal(await thief.session(), null);
  assert.equal(thief.sessionCookie, "");
  assert.ok(!adapter.sessions.has(token));
});

test("everywhere ends sessions of a database, dated by the registry, and a new login works at once", async () => {
  const { options, signIn } = await application({ cacheMs: 0 });
  const [laptop, phone] = [await signIn("cora"), await signIn("cora")];
  for (let i = 0; i < 10; i++) {
    const browser = await signIn("cora");
    const session = await browser.session();
    assert.equal(session.user.name, "cora", `turn ${i}`);
    await curfew(options).signOutEverywhere(session);
    assert.equal(await browser.session(), null);
  }
  assert.equal(await laptop.session(), null);
  assert.equal(await phone.session(), null);
});

test("trap: each write moves the row's only date — it isn't written while the session may have ended", async () => {
  const { adapter, options, signIn } = await application({ session: { updateAge: 0 }, cacheMs: 2000 });
  const alice = await signIn("dora");
  const thief = alice.copy();
  const token = thief.sessionCookie;
  const { userId, expires } = adapter.sessions.get(token);
  // Another process logs the user out; this one has an answer from just before in its memory.
  const authTimeMs = expires.getTime() - 30 * 24 * 3600 * 1000;
  assert.equal((await curfew(options).check({ session: hashed(token), user: userId, authTimeMs })).state, "active");
  await server.call("POST", "/v1/revocations", { scope: "user", user: userId });
  assert.ok(await thief.session(), "the answer from just before");
  assert.equal(adapter.sessions.get(token).expires.getTime(), expires.getTime(), "but nothing is written behind the cutoff");
  assert.equal(await thief.session(), null);
});

test("closed, while Curfew is away: no session, and neither the cookie nor the row is deleted", async () => {
  const { adapter, signIn } = await application({ cacheMs: 0, maxStaleMs: 0, onUnavailable() {} });
  const alice = await signIn("emma");
  const token = alice.sessionCookie;
  front.down.add("check");
  try {
    assert.equal(await alice.session(), null);
    assert.equal((await alice.get("/api/me")).status, 401);
    assert.equal(alice.sessionCookie, token);
    assert.ok(adapter.sessions.has(token));
    provider.next = { id: "attacker", name: "attacker", email: "attacker@example.com" };
    const thief = alice.copy();
    await thief.oauth("fake");
    assert.ok(!adapter.linked.some(({ account }) => account === "attacker"), "nothing is linked to somebody who couldn't be checked");
  } finally {
    front.down.clear();
  }
  await until("the session is back", async () => (await alice.session())?.user.name === "emma");
});

test("without a session callback a browser is shown a name, and the application's own server the whole row, as without Curfew", async () => {
  const { adapter, options, signIn } = await application();
  const alice = await signIn("gwen");
  const shown = await alice.session();
  assert.deepEqual(Object.keys(shown).sort(), ["expires", "sid", "user"]);
  assert.deepEqual(Object.keys(shown.user).sort(), ["email", "name"]);
  // next-auth's auth() calls the configuration's callback so.
  const wrapped = withRevocation(config({ adapter: adapter.methods(), session: { strategy: "database" } }), options);
  const { session, user } = await wrapped.adapter.getSessionAndUser(alice.sessionCookie);
  const own = await wrapped.callbacks.session({ session: { ...session, user }, user });
  assert.deepEqual([own.user.id, own.sid, typeof own.expires], [user.id, shown.sid, "string"]);
});

test("the clean-up of an expired session is told as such", async () => {
  const { adapter, signIn } = await application();
  const alice = await signIn("fay");
  const token = alice.sessionCookie;
  adapter.sessions.set(token, { ...adapter.sessions.get(token), expires: new Date(Date.now() - 1000) });
  assert.equal(await alice.session(), null);
  const [{ event }] = await server.events({ session: hashed(token) });
  assert.equal(event.data.reason, "idle_timeout");
});
