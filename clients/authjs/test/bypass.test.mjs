// Linking an account decodes the cookie and runs no callback: who holds a revoked cookie could sign in with an account of their own, have it linked to the
// victim, and be the victim from then on.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { curfew } from "@curfew/authjs";
import { withRevocation } from "@curfew/authjs/authjs";

import { Adapter } from "./rig/adapter.mjs";
import { config, start } from "./rig/app.mjs";
import { Browser } from "./rig/browser.mjs";
import { Provider } from "./rig/provider.mjs";
import { Server } from "./rig/server.mjs";

let server, provider;
const closing = [];

before(async () => {
  server = await Server.start();
  provider = await Provider.start();
});

after(async () => {
  for (const close of closing) await close();
  await provider?.stop();
  await server?.stop();
});

/** application has alice, who signs in with her account at the provider. */
async function application(wrap) {
  const adapter = new Adapter();
  const session = { strategy: "jwt" };
  const own = await server.options({ register: false });
  closing.push(() => curfew(own).close());
  const app = await start(wrap(config({ adapter: adapter.methods(), session, providers: [provider.config()] }), own));
  closing.push(app.close);
  provider.next = { id: "alice-1", name: "alice", email: "alice@example.com" };
  const alice = new Browser(app.url);
  await alice.oauth("fake");
  assert.equal((await alice.session()).user.name, "alice");
  const victim = adapter.accounts.get("fake/alice-1");
  return { app, adapter, alice, victim };
}

/** attack signs in with the copy of a revoked cookie and an account of the attacker's. */
async function attack({ alice, adapter }) {
  const thief = alice.copy();
  const { sid } = await alice.session();
  if (sid) assert.equal(await server.state(sid, "x"), "active");
  await alice.signOut();
  provider.next = { id: "attacker-1", name: "attacker", email: "attacker@example.com" };
  await thief.oauth("fake");
  return { session: await thief.session(), owner: adapter.accounts.get("fake/attacker-1") };
}

test("trap: a check in the jwt callback alone is passed by linking an account", async () => {
  // What one would write first: it refuses the revoked session at every read.
  const naive = await application((plain) => {
    const over = new Set();
    return {
      ...plain,
      callbacks: {
        jwt({ token, user }) {
          if (user) return { ...token, sid: crypto.randomUUID() };
          return over.has(token.sid) ? null : token;
        },
        session: ({ session, token }) => ({ ...session, sid: token.sid }),
      },
      events: { signOut: ({ token }) => void over.add(token.sid) },
    };
  });
  const { session, owner } = await attack(naive);
  assert.equal(owner, naive.victim, "the attacker's account is the victim's now");
  assert.equal(session.user.name, "alice");
});

test("trap: with Curfew the attacker gets an account of their own and nothing of the victim's", async () => {
  const guarded = await application((plain, own) => withRevocation(plain, own));
  const { session, owner } = await attack(guarded);
  assert.notEqual(owner, guarded.victim);
  assert.equal(session.user.name, "attacker");
  assert.deepEqual(guarded.adapter.linked.filter(({ user }) => user === guarded.victim).map(({ account }) => account), ["alice-1"]);
});

test("trap: while Curfew is away, an unchecked cookie links nothing either", async () => {
  const guarded = await application((plain, own) => withRevocation(plain, { ...own, timeoutMs: 300, maxStaleMs: 0, cacheMs: 0, onUnavailable() {} }));
  const thief = guarded.alice.copy();
  await server.freeze();
  try {
    provider.next = { id: "attacker-2", name: "attacker", email: "attacker2@example.com" };
    await thief.oauth("fake");
  } finally {
    server.thaw();
  }
  assert.notEqual(guarded.adapter.accounts.get("fake/attacker-2"), guarded.victim);
});

test("linking an account while signed in still works", async () => {
  const { alice, adapter, victim } = await application((plain, own) => withRevocation(plain, own));
  provider.next = { id: "alice-2", name: "alice", email: "other@example.com" };
  await alice.oauth("fake");
  assert.equal(adapter.accounts.get("fake/alice-2"), victim);
  assert.equal((await alice.session()).user.name, "alice");
});
