// A front of a real server that can be told to fail in one thing and not in another, to hold back beats, and counts what it is asked.
import { serve } from "./serve.mjs";

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

  static async start(server) {
    const front = new Front();
    front.#server = server;
    front.#web = await serve((req, res) => front.#handle(req, res).catch((error) => res.destroy(error)));
    front.url = front.#web.url;
    return front;
  }

  async stop() {
    for (const end of this.#streams) end();
    await this.#web.close();
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
    this.calls.push({ method: req.method, path, query: url.search, headers: req.headers, body: raw.length ? JSON.parse(raw.toString()) : undefined });
    const kind = path === "/v1/revocations/stream" ? "stream" : path === "/v1/check" ? "check" : /\/sessions/.test(path) ? "sessions" : "publish";
    if (this.hang.has(kind) || this.hang.has("all")) return;
    if (this.down.has(kind) || this.down.has("all")) return this.#answer(res, problem(503, "registry_unavailable"));
    if (kind === "stream") return this.#stream(req, res);
    const headers = Object.fromEntries(["authorization", "content-type", "idempotency-key", "curfew-position"].flatMap((name) => (req.headers[name] ? [[name, req.headers[name]]] : [])));
    const got = await fetch(this.#server.url + req.url, { method: req.method, headers, body: raw.length ? raw : undefined });
    res.writeHead(got.status, { "Content-Type": got.headers.get("content-type") ?? "application/json" });
    res.end(await got.text());
  }

  #answer(res, { status, body }) {
    res.writeHead(status, { "Content-Type": status < 300 ? "application/json" : "application/problem+json", "Cache-Control": "no-store" });
    res.end(JSON.stringify(body));
  }

  /** stream passes the real one on, but for the beats when they are to stop. */
  async #stream(req, res) {
    const abort = new AbortController();
    const end = () => {
      abort.abort();
      this.#streams.delete(end);
      res.destroy();
    };
    res.on("close", end);
    const got = await fetch(this.#server.url + req.url, { headers: { authorization: req.headers.authorization }, signal: abort.signal });
    res.writeHead(got.status, { "Content-Type": got.headers.get("content-type") });
    this.#streams.add(end);
    let rest = "";
    try {
      for await (const chunk of got.body.pipeThrough(new TextDecoderStream())) {
        const frames = (rest + chunk).split("\n\n");
        rest = frames.pop();
        for (const frame of frames) if (this.beating || !/^event: beat$/m.test(frame)) res.write(`${frame}\n\n`);
      }
    } catch {
      // It was cut off, by a test or by the follower.
    }
    end();
  }
}
