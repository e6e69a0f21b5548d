// The registry of sessions and the stream of revocations, after the text of the API, in front of a real server that does everything else. It
// can be told to fail, and counts what it is asked.
import { createServer } from "node:http";
import { once } from "node:events";

const problem = (status, code) => ({ status, body: { type: "about:blank", title: code, status, code, detail: code, retry: status === 503 } });

export class Registry {
  #server;
  #web;
  #streams = new Set();
  #sessions = new Map();
  #touched = new Map();
  calls = [];
  /** down: what doesn't answer: "sessions", "stream", "check", "publish" or "all". */
  down = new Set();
  /** hang: what never answers. */
  hang = new Set();
  /** beating: whether beats are written. */
  beating = true;
  maxAgeMs = 30 * 24 * 3600 * 1000;
  budgetMs = 15000;
  aheadMs = 0;

  static async start(server) {
    const registry = new Registry();
    registry.#server = server;
    registry.#web = createServer((req, res) => registry.#handle(req, res).catch((error) => res.destroy(error)));
    registry.#web.listen(0, "127.0.0.1");
    await once(registry.#web, "listening");
    registry.url = `http://127.0.0.1:${registry.#web.address().port}`;
    return registry;
  }

  async stop() {
    for (const end of this.#streams) end();
    this.#web.closeAllConnections();
    await new Promise((resolve) => this.#web.close(resolve));
  }

  /** cut breaks off all streams. */
  cut() {
    for (const end of [...this.#streams]) end();
  }

  get streams() {
    return this.#streams.size;
  }

  count(path) {
    return this.calls.filter((call) => call.path.startsWith(path)).length;
  }

  session(sid) {
    return this.#sessions.get(sid);
  }

  touched(sid) {
    return this.#touched.get(sid) ?? 0;
  }

  async #handle(req, res) {
    const chunks = [];
    for await (const chunk of req) chunks.push(chunk);
    const raw = Buffer.concat(chunks);
    const url = new URL(req.url, this.url);
    const path = url.pathname;
    this.calls.push({ method: req.method, path, headers: req.headers, body: raw.length ? JSON.parse(raw.toString()) : undefined });
    const kind = path === "/v1/revocations/stream" ? "stream" : path === "/v1/check" ? "check" : /\/sessions/.test(path) ? "sessions" : "publish";
    if (this.hang.has(kind) || this.hang.has("all")) return;
    if (this.down.has(kind) || this.down.has("all")) return this.#answer(res, problem(503, "registry_unavailable"));
    if (kind === "stream") return this.#stream(url, res);
    if (kind === "sessions") return this.#answer(res, await this.#registry(req.method, path, url, raw));
    const headers = Object.fromEntries(["authorization", "content-type", "idempotency-key", "curfew-position"].flatMap((name) => (req.headers[name] ? [[name, req.headers[name]]] : [])));
    const got = await fetch(this.#server.url + req.url, { method: req.method, headers, body: raw.length ? raw : undefined });
    res.writeHead(got.status, { "Content-Type": got.headers.get("content-type") ?? "application/json" });
    res.end(await got.text());
  }

  #answer(res, { status, body }) {
    res.writeHead(status, { "Content-Type": status < 300 ? "application/json" : "application/problem+json", "Cache-Control": "no-store" });
    res.end(JSON.stringify(body));
  }

  async #registry(method, path, url, raw) {
    const user = /^\/v1\/users\/([^/]+)\/sessions$/.exec(path);
    if (user) return { status: 200, body: await this.#list(decodeURIComponent(user[1]), url.searchParams.get("current")) };
    if (method === "POST" && path === "/v1/sessions") return this.#register(JSON.parse(raw.toString()));
    const [, sid, action] = /^\/v1\/sessions\/([^/]+)(\/touch)?$/.exec(path) ?? [];
    const listed = this.#sessions.get(decodeURIComponent(sid ?? ""));
    if (!listed) return problem(404, "session_unknown");
    const ended = (await this.#server.state(listed.session, listed.user, listed.auth_time_ms)) === "revoked";
    if (action && ended) return problem(409, "session_ended");
    if (action) {
      this.#touched.set(listed.session, this.touched(listed.session) + 1);
      return { status: 200, body: { session: listed.session, result: "touched", last_seen_at: new Date().toISOString() } };
    }
    return { status: 200, body: { ...(await this.#shown(listed)), user: listed.user } };
  }

  async #register(body) {
    const known = ["session", "user", "device", "client", "auth_time_ms", "user_agent", "ip", "expires_at"];
    if (!body.user || Object.keys(body).some((name) => !known.includes(name))) return problem(400, "malformed_body");
    const session = body.session ?? crypto.randomUUID();
    const before = this.#sessions.get(session);
    if (before) return before.user === body.user ? { status: 200, body: before } : problem(409, "session_of_another_user");
    // It lies behind each logout of the user that is known.
    const cutoffs = (await this.#server.events({ user: body.user })).map(({ event }) => Date.parse(event.data.cutoff ?? 0));
    const auth_time_ms = body.auth_time_ms ?? Math.max(Date.now() + this.aheadMs, ...cutoffs.map((ms) => ms + 1));
    if ((await this.#server.state(session, body.user, auth_time_ms)) === "revoked") return problem(409, "session_ended");
    const listed = {
      session, user: body.user, device: body.device, client: body.client, auth_time: new Date(auth_time_ms).toISOString(), auth_time_ms, created_at: new Date().toISOString(),
      expires_at: new Date(auth_time_ms + this.maxAgeMs).toISOString(),
    };
    this.#sessions.set(session, listed);
    listed.request = { user_agent: body.user_agent, ip: body.ip };
    return { status: 201, body: { ...listed, request: undefined } };
  }

  async #shown(listed, current) {
    const state = await this.#server.state(listed.session, listed.user, listed.auth_time_ms);
    return {
      session: listed.session, name: "Chrome on Windows", form: "desktop", auth_time: listed.auth_time, created_at: listed.created_at, last_seen_at: listed.created_at,
      expires_at: listed.expires_at, current: listed.session === current, state: state === "revoked" ? "ended" : state,
    };
  }

  async #list(user, current) {
    const all = [...this.#sessions.values()].filter((s) => s.user === user);
    const sessions = (await Promise.all(all.map((s) => this.#shown(s, current)))).filter((s) => s.state !== "ended");
    return { sessions, devices: [{ name: "Chrome on Windows", sessions: sessions.map((s) => s.session) }], more: false };
  }

  async #stream(url, res) {
    res.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-store" });
    const since = Number(url.searchParams.get("since") ?? 0);
    let position = since;
    const send = (event, data) => res.write(`event: ${event}\nid: ${data.position}\ndata: ${JSON.stringify(data)}\n\n`);
    const records = await this.#follow(since, (record) => {
      position = record.position;
      send("revocation", frameOf(record));
    });
    send("synced", { position, at: new Date().toISOString(), max_age_ms: this.maxAgeMs, staleness_budget_ms: this.budgetMs, leeway_ms: 300000 });
    const timer = setInterval(() => this.beating && send("beat", { position, at: new Date().toISOString() }), 200);
    const end = () => {
      clearInterval(timer);
      records.abort();
      this.#streams.delete(end);
      res.destroy();
    };
    this.#streams.add(end);
    res.on("close", end);
  }

  /** follow tells the records after a position, and returns once it has told all that there were. */
  async #follow(since, tell) {
    const abort = new AbortController();
    for (const record of (await this.#server.events({ after: since })) ?? []) {
      tell(record);
      since = record.position;
    }
    const tail = await fetch(`${this.#server.url}/v1/revocations?follow=true&after=${since}`, { headers: { Authorization: `Bearer ${this.#server.adminKey}` }, signal: abort.signal });
    (async () => {
      let rest = "";
      for await (const chunk of tail.body.pipeThrough(new TextDecoderStream())) {
        const lines = (rest + chunk).split("\n");
        rest = lines.pop();
        for (const line of lines) if (line.trim()) tell(JSON.parse(line));
      }
    })().catch(() => {});
    return abort;
  }
}

const scopes = { SessionRevoked: "session", UserLoggedOutEverywhere: "user", DeviceLoggedOut: "device", ClientLoggedOut: "client", TenantLoggedOut: "tenant" };

function frameOf({ position, event }) {
  const { session, user, device, client, cutoff, except, known_sessions, reason, expires_at } = event.data;
  const scope = scopes[event.type.split(".").at(-2)];
  const ids = { session: { session, user }, user: { user }, device: { device }, client: { client }, tenant: {} }[scope];
  return { position, id: event.id, scope, ...ids, cutoff_ms: cutoff && Date.parse(cutoff), except, known_sessions, reason, at: event.time, expires_at };
}
