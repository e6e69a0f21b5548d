// A real `curfew serve`, built from this repository.
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

const root = new URL("../../../..", import.meta.url).pathname;

export async function freePort() {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address();
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

/** until waits for a condition and says what it waited for if that doesn't come. */
export async function until(what, condition, ms = 15000) {
  const end = Date.now() + ms;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > end) throw new Error(`waited ${ms} ms for: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Server is one process, which can be frozen, killed and started again over the same ledger. */
export class Server {
  #dir = mkdtempSync(join(tmpdir(), "curfew-authjs-"));
  /** CURFEW_BINARY is one that was built already. */
  #binary = process.env.CURFEW_BINARY ?? join(this.#dir, "curfew");
  #child;
  #args;
  url;
  adminKey;

  static async start(args = []) {
    const server = new Server();
    if (!process.env.CURFEW_BINARY) execFileSync("go", ["build", "-o", server.#binary, "./cmd/curfew"], { cwd: root });
    server.#args = args;
    server.url = `http://127.0.0.1:${await freePort()}`;
    await server.run();
    server.adminKey = readFileSync(join(server.#dir, "data", "admin.key"), "utf8").trim();
    return server;
  }

  async run() {
    const args = ["serve", "--listen", new URL(this.url).host, "--admin-listen", "", "--data-dir", join(this.#dir, "data"), ...this.#args];
    this.#child = spawn(this.#binary, args, { stdio: ["ignore", "ignore", "pipe"], env: { PATH: process.env.PATH, HOME: this.#dir } });
    let log = "";
    this.#child.stderr.on("data", (chunk) => (log = (log + chunk).slice(-4000)));
    await until("curfew serve answers", async () => {
      if (this.#child.exitCode !== null) throw new Error(`curfew serve ended: ${log}`);
      const key = this.adminKey ?? "cfw_none";
      const answer = await fetch(`${this.url}/v1/check`, { method: "POST", headers: { Authorization: `Bearer ${key}`, "Content-Type": "application/json" }, body: "[]" }).catch(() => null);
      return answer && (answer.status === 200 || (!this.adminKey && answer.status === 401));
    });
    if (this.adminKey) await this.fresh();
  }

  /** fresh waits until the gate can tell. */
  async fresh() {
    const auth_time = new Date().toISOString();
    await until("the gate is fresh", async () => (await this.call("POST", "/v1/check", { session: "nobody's", user: "nobody", auth_time })).body.state === "active");
  }

  async call(method, path, body, key = this.adminKey) {
    const headers = { Authorization: `Bearer ${key}` };
    if (body !== undefined) headers["Content-Type"] = "application/json";
    const response = await fetch(this.url + path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
    const text = await response.text();
    const answer = { status: response.status, body: text ? JSON.parse(text) : null };
    if (path === "/v1/revocations" && answer.status === 200) await this.#applied(answer.body.position);
    return answer;
  }

  /** applied waits until the gate knows what lies at a position. */
  async #applied(position) {
    if (!position) return;
    const headers = { Authorization: `Bearer ${this.adminKey}`, "Content-Type": "application/json", "Curfew-Position": String(position) };
    await fetch(`${this.url}/v1/check`, { method: "POST", headers, body: JSON.stringify({ session: "s" }) }).then((answered) => answered.text());
  }

  /** options are those of an application that has time: on a busy machine a check may take longer than a person would wait. */
  async options(own = {}) {
    return { url: this.url, apiKey: await this.key(), timeoutMs: 5000, registerTimeoutMs: 5000, ...own };
  }

  /** key makes an API key, which is an application's memory of its own: two of them in one process are like two processes. */
  async key(scopes = ["publish", "check", "sessions"]) {
    const made = await this.call("POST", "/v1/keys", { name: "test", tenant: "default", scopes });
    if (!made.body.key) throw new Error(`no key: ${JSON.stringify(made)}`);
    return made.body.key;
  }

  /** events returns what the ledger holds about a user. */
  async events(query) {
    return (await this.call("GET", `/v1/revocations?limit=1000&${new URLSearchParams(query)}`)).body.revocations;
  }

  /** session returns a session as it is listed. */
  async session(sid) {
    return (await this.call("GET", `/v1/sessions/${encodeURIComponent(sid)}`)).body;
  }

  /** revoked waits until a session is over: a revocation that is stored takes a moment to be known. */
  async revoked(session, user, authTimeMs) {
    await until("the session is revoked", async () => (await this.state(session, user, authTimeMs)) === "revoked");
  }

  async state(session, user, authTimeMs = Date.now()) {
    return (await this.call("POST", "/v1/check", { session, user, auth_time: new Date(authTimeMs).toISOString() })).body.state;
  }

  /** freeze stops the process, and returns once all of its threads have stopped. */
  async freeze() {
    this.#child.kill("SIGSTOP");
    const tasks = `/proc/${this.#child.pid}/task`;
    const stopped = (task) => readFileSync(`${tasks}/${task}/stat`, "utf8").replace(/^.*\) /s, "").startsWith("T");
    await until("the server has stopped", () => readdirSync(tasks).every(stopped));
  }

  thaw() {
    this.#child.kill("SIGCONT");
  }

  async kill() {
    if (!this.#child || this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const gone = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await gone;
  }

  async stop() {
    await this.kill();
    rmSync(this.#dir, { recursive: true, force: true });
  }
}
