// A thief with the copy of a revoked cookie, at every route of Auth.js: with the gate up and away, and as a race with the sign-out.
import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { decode, encode } from "@auth/core/jwt";
import WebAuthn from "@auth/core/providers/webauthn";
import { curfew } from "@curfew/authjs";
import { withRevocation } from "@curfew/authjs/authjs";

import { Adapter } from "./rig/adapter.mjs";
import { config, secret, start } from "./rig/app.mjs";
import { Browser } from "./rig/browser.mjs";
import { Front } from "./rig/front.mjs";
import { Provider } from "./rig/provider.mjs";
import { Server } from "./rig/server.mjs";

const cookieName = "authjs.session-token";
let server, front, provider;
let closing = [];

before(async () => {
  server = await Server.start();
  front = await Front.start(server);
  provider = await Provider.start();
});

afterEach(async () => {
  front.down.clear();
  for (const close of closing.splice(0).reverse()) await close();
});

after(async () => {
  await provider?.stop();
  await front?.stop();
  await server?.stop();
});

/** site is an application with every kind of provider, and alice, who is signed in. */
async function site({ own = {}, wrap = true, more = {} } = {}) {
  const adapter = new Adapter();
  const links = [];
  const methods = {
    ...adapter.methods(), async createVerificationToken(token) {
      adapter.invite = token;
      return token;
    },
    async useVerificationToken({ token }) {
      const invite = adapter.invite?.token === token ? adapter.invite : null;
      adapter.invite = undefined;
      return invite;
    },
    async getAccount() {
      return null;
    },
    async getAuthenticator() {
      return null;
    },
    async createAuthenticator(authenticator) {
      return authenticator;
    },
    async listAuthenticatorsByUserId() {
      return [];
    },
    async updateAuthenticatorCounter() {
      return null;
    },
  };
  const email = { id: "email", type: "email", name: "Email", maxAge: 600, from: "app@example.com", sendVerificationRequest: ({ url }) => void links.push(url) };
  const plain = config({ adapter: methods, session: { strategy: "jwt" }, experimental: { enableWebAuthn: true }, ...more });
  plain.providers = [...plain.providers, provider.config(), email, WebAuthn({})];
  const options = await server.options({ url: front.url, onUnavailable() {}, ...own });
  const app = await start(wrap ? withRevocation(plain, options) : plain);
  closing.push(() => curfew(options).close(), app.close);
  provider.next = { id: "alice-1", name: "alice", email: "alice@example.com" };
  const alice = new Browser(app.url);
  await alice.oauth("fake");
  assert.equal((await alice.session()).user.name, "alice");
  return { app, adapter, alice, links, options, victim: adapter.accounts.get("fake/alice-1") };
}

/** names reports whether an answer tells of alice, in its body or in what its cookies hold, but for the one that was sent. */
async function names(answer, victim, known) {
  const text = `${JSON.stringify(answer.body)} ${answer.headers.get("location")}`;
  if (text.includes("alice") || text.includes(victim)) return true;
  for (const line of answer.cookies) {
    const [, name, value] = /^([^=]+)=([^;]*)/.exec(line);
    if (!value || value === known) continue;
    const claims = await decode({ token: value, secret, salt: name }).catch(() => null);
    if (claims && (claims.sub === victim || JSON.stringify(claims).includes("alice"))) return true;
  }
  return false;
}

/** raid asks every route with a copy of one cookie, and returns those that told of alice. */
async function raid(stolen, victim) {
  const told = [];
  const fresh = () => stolen.copy();
  const ask = async (name, action) => {
    const thief = fresh();
    const answer = await action(thief);
    if (await names(answer, victim, stolen.sessionCookie)) told.push(name);
    return answer;
  };
  await ask("session", (thief) => thief.get("/auth/session"));
  await ask("update", async (thief) => thief.fetch("/auth/session", { method: "POST", json: { csrfToken: await thief.csrf(), data: { name: "x" } } }));
  for (const page of ["csrf", "providers", "signin", "signout", "error", "verify-request", "signin/fake"]) await ask(page, (thief) => thief.get(`/auth/${page}`));
  await ask("signin fake", async (thief) => thief.fetch("/auth/signin/fake", { method: "POST", form: { csrfToken: await thief.csrf() } }));
  await ask("signin email", async (thief) => thief.fetch("/auth/signin/email", { method: "POST", form: { csrfToken: await thief.csrf(), email: "thief@example.com" } }));
  for (const action of ["", "?action=register", "?action=authenticate"]) await ask(`webauthn-options${action}`, (thief) => thief.get(`/auth/webauthn-options/webauthn${action}`));
  await ask("callback webauthn", async (thief) => thief.fetch("/auth/callback/webauthn", { method: "POST", form: { csrfToken: await thief.csrf(), action: "register", data: "{}" } }));
  await ask("callback credentials", async (thief) => thief.fetch("/auth/callback/credentials", { method: "POST", form: { csrfToken: await thief.csrf(), email: "thief" } }));
  await ask("callback fake", (thief) => thief.get("/auth/callback/fake?code=code&state=none"));
  await ask("me", (thief) => thief.get("/api/me"));
  await ask("signout", async (thief) => thief.fetch("/auth/signout", { method: "POST", form: { csrfToken: await thief.csrf() } }));
  return told;
}

test("trap: without Curfew a thief is alice at each route that reads the cookie, after her sign-out", async () => {
  const { alice, victim } = await site({ wrap: false });
  const thief = alice.copy();
  await alice.signOut();
  assert.deepEqual(await raid(thief, victim), ["session", "update", "webauthn-options?action=register", "me"]);
});

test("with Curfew no route tells anything of alice, and the raid leaves one event", async () => {
  const { alice, adapter, victim } = await site();
  const thief = alice.copy();
  const { sid } = await alice.session();
  await alice.signOut();
  assert.deepEqual(await raid(thief, victim), []);
  assert.equal((await server.events({ session: sid })).length, 1, "signing out of what is over publishes nothing");
  assert.deepEqual(adapter.linked.filter(({ user }) => user === victim).map(({ account }) => account), ["alice-1"]);
});

test("the same while the gate is away, for a cookie that nobody has checked here", async () => {
  const { alice, victim } = await site({ own: { cacheMs: 0, maxStaleMs: 0 } });
  const thief = alice.copy();
  front.down.add("check");
  assert.deepEqual(await raid(thief, victim), []);
});

test("a magic link and the thief's cookie together are the link's session and nobody else's", async () => {
  const { alice, links } = await site();
  const thief = alice.copy();
  await alice.signOut();
  await thief.fetch("/auth/signin/email", { method: "POST", form: { csrfToken: await thief.csrf(), email: "thief@example.com" } });
  await thief.get(links[0]);
  assert.equal((await thief.session()).user.email, "thief@example.com");
});

test("trap: options for a passkey that were fetched before the sign-out don't make the thief alice after it", async () => {
  const { alice, adapter, victim } = await site();
  const thief = alice.copy();
  const got = await thief.get("/auth/webauthn-options/webauthn?action=register");
  assert.equal(got.status, 200, JSON.stringify(got.body));
  await alice.signOut();
  const answer = await thief.fetch("/auth/callback/webauthn", { method: "POST", form: { csrfToken: await thief.csrf(), action: "register", data: JSON.stringify({ id: "x", rawId: "x", response: {}, type: "public-key" }) } });
  assert.ok(!(await names(answer, victim)));
  assert.equal(await thief.session(), null);
  assert.equal(adapter.linked.length, 1);
});

test("trap: an answer that was under way when alice signed out brings her cookie back — to nobody", async () => {
  let holds = false;
  let underWay, release;
  const reached = new Promise((resolve) => (underWay = resolve));
  const held = new Promise((resolve) => (release = resolve));
  const { alice } = await site({
    more: {
      callbacks: {
        async jwt({ token }) {
          if (holds) {
            holds = false;
            underWay();
            await held;
          }
          return token;
        },
      },
    },
  });
  holds = true;
  const tab = alice.copy();
  const before = tab.sessionCookie;
  const slow = tab.get("/auth/session");
  await reached;
  await alice.signOut();
  release();
  assert.equal((await slow).body.user.name, "alice", "it was checked before the sign-out");
  assert.notEqual(tab.sessionCookie, before, "the browser has a cookie again, newly signed");
  assert.equal((await tab.copy().get("/api/me")).status, 401);
  assert.equal(await tab.session(), null);
});

test("trap: claims that a thief could wish for, under the right secret, open nothing that is over", async () => {
  const { alice, app, victim } = await site({ own: { cacheMs: 0 } });
  const claims = await decode({ token: alice.sessionCookie, secret, salt: cookieName });
  const forge = async (changes) => new Browser(app.url, { jar: new Map([[cookieName, await encode({ token: { ...claims, ...changes }, secret, salt: cookieName })]]) });
  // Without sid, without dates, under marks of our own, with a mark's name in JSON: the user's cutoff still ends it, or it names nobody.
  // They are signed before the cutoff, for signing dates them (iat), and what has no other date goes by that.
  const forged = [];
  for (const changes of [{ sid: undefined }, { sid: null, auth_time_ms: null, auth_time: null }, { auth_time_ms: undefined }, { auth_time_ms: null, auth_time: claims.auth_time }, { curfew: "active" }]) {
    forged.push({ changes, thief: await forge(changes) });
  }
  const nobody = await forge({ sub: undefined, sid: "another" });
  await alice.signOut();
  await server.call("POST", "/v1/revocations", { scope: "user", user: victim });
  for (const { changes, thief } of forged) {
    assert.equal(await thief.session(), null, JSON.stringify(changes));
  }
  assert.equal((await nobody.session()).error, "RevocationUnavailable", "who it is can't be told, so it isn't shown");
});
