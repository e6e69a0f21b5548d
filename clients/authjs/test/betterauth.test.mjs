// Better Auth with its cookie cache, in which a session outlives its row.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { betterAuth } from "better-auth";
import { memoryAdapter } from "better-auth/adapters/memory";
import { curfew } from "@curfew/authjs";
import { revocation } from "@curfew/authjs/better-auth";

import { Front } from "./rig/front.mjs";
import { Server, until } from "./rig/server.mjs";

const base = "http://localhost:3000";
let server, front;
const closing = [];

before(async () => {
  server = await Server.start();
  front = await Front.start(server);
});

after(async () => {
  for (const close of closing) await close();
  await front?.stop();
  await server?.stop();
});

async function application(own) {
  const options = own && (await server.options({ url: front.url, ...own }));
  if (options) closing.push(() => curfew(options).close());
  const db = { user: [], session: [], account: [], verification: [] };
  const auth = betterAuth({
    baseURL: base, secret: "a secret of these tests, not of anybody", database: memoryAdapter(db), emailAndPassword: { enabled: true },
    session: { cookieCache: { enabled: true, maxAge: 300 } }, rateLimit: { enabled: false }, logger: { disabled: true }, plugins: options ? [revocation(options)] : [],
  });
  const call = async (path, jar, body) => {
    const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join("; ");
    const response = await auth.handler(new Request(`${base}/api/auth${path}`, {
      method: body ? "POST" : "GET", headers: { cookie, origin: base, ...(body && { "content-type": "application/json" }) }, body: body && JSON.stringify(body),
    }));
    for (const line of response.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(line);
      if (value === "" || /max-age=0/i.test(line)) jar.delete(name);
      else jar.set(name, value);
    }
    return { status: response.status, body: await response.json().catch(() => null) };
  };
  const signUp = async (name) => {
    const jar = new Map();
    const got = await call("/sign-up/email", jar, { name, email: `${name}@example.com`, password: "correct horse" });
    assert.equal(got.status, 200, JSON.stringify(got.body));
    return jar;
  };
  const session = async (jar) => (await call("/get-session", jar)).body;
  return { call, signUp, session, options, db };
}

test("trap: the cookie cache keeps a copied cookie alive after the sign-out, for reading and for acting", async () => {
  const { call, signUp, session } = await application();
  const alice = await signUp("alice");
  const thief = new Map(alice);
  await call("/sign-out", alice, {});
  assert.equal((await session(thief)).user.name, "alice");
  assert.equal((await call("/list-sessions", new Map(thief))).status, 200);
});

test("with Curfew the copy is over with its session, cached or not, for reading and for acting", async () => {
  const { call, signUp, session } = await application({});
  const alice = await signUp("bea");
  const read = await session(new Map(alice));
  assert.equal(read.user.name, "bea");
  assert.equal((await server.session(read.session.id)).user, read.user.id, "it is listed");
  const thief = new Map(alice);
  await call("/sign-out", alice, {});
  await server.revoked(read.session.id, read.user.id);
  assert.equal((await call("/list-sessions", new Map(thief))).status, 401);
  assert.equal(await session(thief), null);
});

test("a session that was ended elsewhere is refused, though its row is there", async () => {
  const { signUp, session, db } = await application({ cacheMs: 0 });
  const jar = await signUp("cora");
  const { user } = await session(jar);
  await server.call("POST", "/v1/revocations", { scope: "user", user: user.id });
  assert.equal(db.session.length, 1);
  assert.equal(await session(jar), null);
});

test("closed, while Curfew is away: no session, no cookie is deleted, and the session is back", async () => {
  const { signUp, session, call } = await application({ cacheMs: 0, maxStaleMs: 0, onUnavailable() {} });
  const jar = await signUp("dora");
  front.down.add("check");
  const before = new Map(jar);
  assert.equal((await call("/get-session", jar)).status, 503);
  assert.equal((await call("/list-sessions", jar)).status, 401, "Better Auth's middleware takes whatever goes wrong for nobody");
  for (const [name, value] of before) if (name.includes("session_token")) assert.equal(jar.get(name), value);
  front.down.clear();
  await until("the session is back", async () => (await session(jar))?.user?.name === "dora");
});
