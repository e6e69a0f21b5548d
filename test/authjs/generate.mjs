// Makes session cookies with the real Auth.js 5 (@auth/core) and NextAuth.js 4, one JSON file a case, in the form that
// revocation/revocationhttp/authjs_golden_test.go reads:
//
//   npm ci && node generate.mjs FOLDER
//
// The files in revocation/revocationhttp/testdata/authjs were written by it. A run makes other cookies each time (iv, jti, iat), so they are
// written anew only when a case is added or Auth.js changes.
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";

import { Auth } from "@auth/core";
import * as v5 from "@auth/core/jwt";
import Credentials from "@auth/core/providers/credentials";
// The classes that cut cookies into chunks aren't exported.
import { SessionStore as Store5 } from "./node_modules/@auth/core/lib/utils/cookie.js";

const require = createRequire(import.meta.url);
const v4 = require("next-auth/jwt");
const { SessionStore: Store4 } = require("./node_modules/next-auth/core/lib/cookie.js");

const secret = "a secret of these tests, not of anybody";
const older = "an older secret of these tests, still in use";
const century = 100 * 365 * 24 * 60 * 60;
const claims = {
  name: "Ada", email: "ada@example.com", picture: null, sub: "u-ada", sid: "5a1f0c9e-6f5e-4c7e-9a43-6f6f0d6b1a01",
  auth_time_ms: 1767225600123, device_id: "laptop", client_id: "web",
};
const session = { id: claims.sid, user: claims.sub, device: claims.device_id, client: claims.client_id, auth_time_ms: claims.auth_time_ms };
const big = { ...claims, roles: Array.from({ length: 700 }, (_, i) => `role-${i}`) };
const quiet = { debug() {}, warn() {}, error: console.error };

const made = {
  5: `@auth/core ${JSON.parse(await readFile("node_modules/@auth/core/package.json", "utf8")).version}`,
  4: `next-auth ${JSON.parse(await readFile("node_modules/next-auth/package.json", "utf8")).version}`,
};

// cookie encodes claims as a version of Auth.js does, and cuts them as it does.
async function cookie(version, name, token, secrets = [secret]) {
  const option = { name, options: {} };
  const value =
    version === 5
      ? await v5.encode({ token, secret: secrets[0], salt: name, maxAge: century })
      : await v4.encode({ token, secret: secrets[0], maxAge: century });
  const store = version === 5 ? new Store5(option, {}, quiet) : new Store4(option, { cookies: {}, headers: {} }, quiet);
  const cookies = store.chunk(value, {}).map(({ name, value }) => ({ name, value }));
  // What goes out must come back: the claims are those that Auth.js itself reads.
  const decode = version === 5 ? { token: value, secret: secrets[0], salt: name } : { token: value, secret: secrets[0] };
  return { made_by: made[version], cookie_name: name, secrets, cookies, claims: await (version === 5 ? v5 : v4).decode(decode), session };
}

// signIn goes through a sign-in and a read of the session, and returns the cookies that a browser then has.
async function signIn() {
  const jar = new Map();
  const config = {
    secret, trustHost: true, basePath: "/auth", logger: quiet, session: { strategy: "jwt", maxAge: century },
    providers: [Credentials({ credentials: { email: {} }, authorize: () => ({ id: claims.sub, name: claims.name }) })],
    callbacks: {
      jwt({ token, user }) {
        return user ? { ...token, sid: claims.sid, auth_time_ms: claims.auth_time_ms } : token;
      },
    },
  };
  const call = async (path, body) => {
    const response = await Auth(
      new Request(`https://app.example.com/auth/${path}`, {
        method: body ? "POST" : "GET",
        headers: { cookie: [...jar].map(([name, value]) => `${name}=${value}`).join("; ") },
        body: body && new URLSearchParams(body),
      }),
      config,
    );
    for (const line of response.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(line);
      jar.set(name, value);
    }
    return response;
  };
  const { csrfToken } = await (await call("csrf")).json();
  await call("callback/credentials", { csrfToken, email: claims.email });
  const { user } = await (await call("session")).json();
  if (user?.name !== claims.name) throw new Error("Auth.js doesn't know its own session");
  const name = "__Secure-authjs.session-token";
  return {
    made_by: made[5], cookie_name: name, secrets: [secret], cookies: [...jar].map(([name, value]) => ({ name, value })),
    claims: await v5.decode({ token: jar.get(name), secret, salt: name }),
    session: { id: claims.sid, user: claims.sub, auth_time_ms: claims.auth_time_ms },
  };
}

const { sid, auth_time_ms, ...plain } = claims;
const cases = {
  "v5-https": await cookie(5, "__Secure-authjs.session-token", claims),
  "v5-http": await cookie(5, "authjs.session-token", claims),
  "v5-chunked": await cookie(5, "__Secure-authjs.session-token", big),
  "v5-own-name": await cookie(5, "shop-session", claims),
  "v5-rotated": { ...(await cookie(5, "authjs.session-token", claims, [older])), secrets: [secret, older] },
  "v5-auth-time": {
    ...(await cookie(5, "authjs.session-token", { ...plain, sid, auth_time: 1767225600 })), session: { ...session, auth_time_ms: 1767225600000 },
  },
  "v5-without-sid": {
    ...(await cookie(5, "authjs.session-token", plain)), session: { user: claims.sub, device: claims.device_id, client: claims.client_id },
  },
  "v5-signed-in": await signIn(),
  "v4-https": await cookie(4, "__Secure-next-auth.session-token", claims),
  "v4-http": await cookie(4, "next-auth.session-token", claims),
  "v4-chunked": await cookie(4, "__Secure-next-auth.session-token", big),
  "v4-own-name": await cookie(4, "shop-session", claims),
};

const folder = process.argv[2];
if (!folder) throw new Error("usage: node generate.mjs FOLDER");
await mkdir(folder, { recursive: true });
for (const [name, content] of Object.entries(cases)) {
  await writeFile(join(folder, `${name}.json`), JSON.stringify(content, null, 2) + "\n");
}
console.log(`${Object.keys(cases).length} cases in ${folder}, by ${made[5]} and ${made[4]}`);
