// A front of a real server that can be told to fail in one thing and not in another, and counts what it is asked. The stream of revocations it
// serves itself, after the text of the API, from the real server's history.
import { createServer } from "node:http";
import { once } from "node:events";

const problem = (status, code) => ({ status, body: { type: "about:blank", title: code, status, code, detail: code, retry: status === 503 } });

export class Front {
  #server;
  #web;
  #streams = new Set();
  calls = [];
  /** down: what doesn't answer: "sessions", "stream", "check", "publish" or "all". */
  down = new Set();
  /** hang: what never answers. */
  hang = new Set();
  /** beating: whether beats are written. */
  beating = true;
  maxAgeMs = 30 * 24 * 3600 * 1000;
  budgetMs = 15000;

  static async start(server) {
    const front = new Front();
    front.#server = server;
    front.#web = createServer((req, res) => front.#handle(req, res).catch((error) => res.destroy(error)));
    front.#web.listen(0, "127.0.0.1");
    await once(front.#web, "listening");
    front.url = `http://127.0.0.1:${front.#web.address().port}`;
    return front;
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
    const headers = Object.fromEntries(["authorization", "content-type", "idempotency-key", "curfew-position"].flatMap((name) => (req.headers[name] ? [[name, req.headers[name]]] : [])));
    const got = await fetch(this.#server.url + req.url, { method: req.method, headers, body: raw.length ? raw : undefined });
    res.writeHead(got.status, { "Content-Type": got.headers.get("content-type") ?? "application/json" });
    res.end(await got.text());
  }

  #answer(res, { status, body }) {
    res.writeHead(status, { "Content-Type": status < 300 ? "application/json" : "application/problem+json", "Cache-Control": "no-store" });
    res.end(JSON.stringify(body));
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
