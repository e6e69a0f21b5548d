// An OAuth provider that says yes to everybody, and is whoever its next caller shall be.
import { serve } from "./serve.mjs";

export class Provider {
  #web;
  /** who signs in next. */
  next = { id: "nobody", name: "nobody", email: "nobody@example.com" };

  static async start() {
    const provider = new Provider();
    provider.#web = await serve((req, res) => provider.#handle(req, res));
    provider.url = provider.#web.url;
    return provider;
  }

  stop() {
    return this.#web.close();
  }

  /** config is what Auth.js 5 is told, and what NextAuth.js 4 is. */
  config() {
    return {
      id: "fake", name: "Fake", type: "oauth", clientId: "app", clientSecret: "secret", checks: ["state"],
      authorization: { url: `${this.url}/authorize`, params: { scope: "profile" } }, token: `${this.url}/token`, userinfo: `${this.url}/userinfo`,
      profile: ({ id, name, email }) => ({ id, name, email }),
    };
  }

  async #handle(req, res) {
    const url = new URL(req.url, this.url);
    if (url.pathname === "/authorize") {
      const to = new URL(url.searchParams.get("redirect_uri"));
      to.searchParams.set("code", "code");
      if (url.searchParams.has("state")) to.searchParams.set("state", url.searchParams.get("state"));
      return res.writeHead(302, { Location: to.href }).end();
    }
    for await (const chunk of req) void chunk;
    const body = url.pathname === "/token" ? { access_token: "token", token_type: "bearer" } : this.next;
    res.writeHead(200, { "Content-Type": "application/json" }).end(JSON.stringify(body));
  }
}
