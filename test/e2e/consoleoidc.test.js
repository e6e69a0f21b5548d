// Signing in at an OpenID provider of another site, in a browser: the cookie is SameSite=Strict, and must be there once the browser has come back from elsewhere.

import assert from "node:assert/strict";
import { createHash, generateKeyPairSync, sign } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import { after, before, test } from "node:test";

import { deployment, launch, shoot, visit } from "./consolerig.js";

let at, browser, provider;
// person is who signs in at the provider.
let person;

/** idp is a provider with a page, which signs, and checks PKCE. */
async function idp() {
  const { publicKey, privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const codes = new Map();
  const server = createServer(async (q, r) => {
    const url = new URL(q.url, server.url);
    const json = (body, status = 200) => r.writeHead(status, { "Content-Type": "application/json" }).end(JSON.stringify(body));
    switch (url.pathname) {
      case "/.well-known/openid-configuration":
        return json({ issuer: server.url, authorization_endpoint: server.url + "/authorize", token_endpoint: server.url + "/token", jwks_uri: server.url + "/keys", id_token_signing_alg_values_supported: ["RS256"] });
      case "/keys":
        return json({ keys: [{ ...publicKey.export({ format: "jwk" }), kid: "k", alg: "RS256", use: "sig" }] });
      case "/authorize": {
        const code = String(codes.size + 1);
        codes.set(code, url.searchParams);
        const back = `${url.searchParams.get("redirect_uri")}?${new URLSearchParams({ code, state: url.searchParams.get("state") })}`;
        return r.writeHead(200, { "Content-Type": "text/html" }).end(`<!doctype html><title>Provider</title><a id="yes" href="${back.replaceAll("&", "&amp;")}">Yes, it is me</a>`);
      }
      case "/token": {
        let body = "";
        for await (const part of q) body += part;
        const form = new URLSearchParams(body);
        const asked = codes.get(form.get("code"));
        codes.delete(form.get("code"));
        if (!asked || createHash("sha256").update(form.get("code_verifier")).digest("base64url") !== asked.get("code_challenge")) return json({ error: "invalid_grant" }, 400);
        const now = Math.floor(Date.now() / 1000);
        const part = (v) => Buffer.from(JSON.stringify(v)).toString("base64url");
        const head = `${part({ alg: "RS256", kid: "k" })}.${part({ iss: server.url, aud: "console", iat: now, exp: now + 60, nonce: asked.get("nonce"), ...person })}`;
        return json({ access_token: "x", token_type: "Bearer", id_token: `${head}.${sign("sha256", Buffer.from(head), privateKey).toString("base64url")}` });
      }
    }
    return r.writeHead(404).end();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  server.url = `http://127.0.0.1:${server.address().port}`;
  return server;
}

/** freePort is one that nobody has at the moment: the provider must know the console's before it starts. */
async function freePort() {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  return port;
}

before(async () => {
  provider = await idp();
  const port = await freePort();
  at = await deployment("--admin-listen", `127.0.0.1:${port}`, "--console-oidc-issuer", provider.url, "--console-oidc-client-id", "console", "--console-oidc-redirect-url", `http://localhost:${port}/console/oidc/callback`,
    "--console-oidc-operators", "sre=default", "--console-oidc-admins", "support=default");
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await at?.close();
  provider?.close();
  provider?.closeAllConnections();
});

async function come() {
  const page = await visit(browser, at);
  await page.getByRole("button", { name: "Sign in with your provider" }).click();
  await page.getByText("Yes, it is me").click();
  return page;
}

test("an operator comes from the provider", async () => {
  person = { sub: "u1", name: "Ida Ohm", groups: ["staff", "sre"] };
  const page = await come();
  await page.getByRole("heading", { name: "Overview" }).waitFor();
  await page.getByText("Ida Ohm").waitFor();
  await page.getByText("operator · tenant default").waitFor();
  await page.getByRole("link", { name: "Live events" }).click();
  await page.getByText("Live", { exact: true }).waitFor();
  await at.call("POST", "/v1/revocations", { scope: "session", session: "seen-by-ida", user: "u", reason: "admin" });
  await page.getByRole("grid").getByText("seen-by-ida").waitFor();
  // What he does bears his mark.
  await page.goto(at.console + "#/person?user=u");
  await page.getByRole("button", { name: "Log out everywhere…" }).click();
  await page.getByLabel("Reason").selectOption("compromised");
  await page.getByLabel("Type the user's id to confirm").fill("u");
  await page.getByRole("dialog").getByRole("button", { name: "Log out everywhere" }).click();
  await page.getByRole("region", { name: "What has become of the logout" }).waitFor();
  const { revocations: [entry] } = await at.call("GET", "/v1/revocations?order=newest&limit=1");
  assert.match(entry.event.data.initiator.id, /^oidc-[0-9a-f]{16}$/);
  assert.deepEqual(page.complaints, []);
  await page.context().close();
});

test("an admin sees what is for admins", async () => {
  person = { sub: "u2", name: "Max", groups: "support" };
  const page = await come();
  await page.getByText("admin · tenant default").waitFor();
  assert.equal(await page.getByRole("link", { name: "Replays" }).count(), 0);
  await page.goto(at.console + "#/replicas");
  await page.locator(".replica h2").getByText("1", { exact: true }).waitFor();
  await page.context().close();
});

test("somebody who is granted nothing is told so", async () => {
  person = { sub: "u3", name: "Eve", groups: ["staff"] };
  const page = await come();
  await page.getByRole("alert").getByText("gives that nothing").waitFor();
  await shoot(page, "signin-refused-1280-light");
  assert.deepEqual((await page.context().cookies()).filter(({ name }) => name === "__Host-curfew-console"), []);
  await page.context().close();
});
