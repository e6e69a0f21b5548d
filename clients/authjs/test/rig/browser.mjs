// A browser as far as Auth.js sees one: it keeps cookies, posts forms and doesn't follow redirects unless told to.
export class Browser {
  constructor(base, { basePath = "/auth", headers = {}, jar = new Map() } = {}) {
    this.base = base;
    this.basePath = basePath;
    this.headers = headers;
    this.jar = jar;
  }

  /** copy is a thief's: it holds what the cookies are now. */
  copy() {
    return new Browser(this.base, { basePath: this.basePath, headers: this.headers, jar: new Map(this.jar) });
  }

  get sessionCookie() {
    return [...this.jar].filter(([name]) => name.includes("session-token")).map(([, value]) => value).join("");
  }

  async fetch(url, { method = "GET", form, json, headers = {} } = {}) {
    const cookie = [...this.jar].map(([name, value]) => `${name}=${value}`).join("; ");
    const response = await fetch(new URL(url, this.base), {
      method, redirect: "manual", headers: { ...this.headers, ...(cookie && { cookie }), ...(json !== undefined && { "content-type": "application/json" }), ...headers },
      body: form ? new URLSearchParams(form) : json !== undefined ? JSON.stringify(json) : undefined,
    });
    for (const line of response.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(line);
      if (value === "" || /max-age=0/i.test(line) || /expires=Thu, 01 Jan 1970/i.test(line)) this.jar.delete(name);
      else this.jar.set(name, value);
    }
    const text = await response.text();
    let body = text;
    try {
      body = JSON.parse(text);
    } catch {
      // A page.
    }
    return { status: response.status, headers: response.headers, body, cookies: response.headers.getSetCookie() };
  }

  get(url) {
    return this.fetch(url);
  }

  async csrf() {
    return (await this.get(`${this.basePath}/csrf`)).body.csrfToken;
  }

  async signIn(email = "alice") {
    const csrfToken = await this.csrf();
    const got = await this.fetch(`${this.basePath}/callback/credentials`, { method: "POST", form: { csrfToken, email } });
    if (!this.sessionCookie) throw new Error(`sign-in failed: ${got.status} ${got.headers.get("location")}`);
    return this;
  }

  /** oauth signs in by a provider, following its redirects. */
  async oauth(provider) {
    const csrfToken = await this.csrf();
    let got = await this.fetch(`${this.basePath}/signin/${provider}`, { method: "POST", form: { csrfToken } });
    for (let hops = 0; got.status === 302 && hops < 5; hops++) {
      const to = new URL(got.headers.get("location"), this.base);
      if (to.origin === this.base && !to.pathname.includes("/callback/")) break;
      got = to.origin === this.base ? await this.get(to.href) : await other(to);
    }
    return got;
  }

  async signOut() {
    return this.fetch(`${this.basePath}/signout`, { method: "POST", form: { csrfToken: await this.csrf() } });
  }

  async session() {
    return (await this.get(`${this.basePath}/session`)).body;
  }

  async update(data) {
    return (await this.fetch(`${this.basePath}/session`, { method: "POST", json: { csrfToken: await this.csrf(), data } })).body;
  }
}

/** other calls another host, which gets none of the cookies. */
async function other(url) {
  const response = await fetch(url, { redirect: "manual" });
  return { status: response.status, headers: response.headers, body: await response.text(), cookies: [] };
}
