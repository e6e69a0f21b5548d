// The whole, as scripts/demo-authjs.sh starts it: curfew serve, the application and the backend, with what lies between them and browsers.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHmac, randomUUID } from "node:crypto";
import { once } from "node:events";
import { cpSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { Front } from "./front.mjs";
import { Network } from "./network.mjs";
import { freePorts } from "./ports.mjs";
import { until } from "./until.mjs";

const root = new URL("../../../..", import.meta.url).pathname;
const built = new URL("../build", import.meta.url).pathname;
export const script = join(root, "scripts/demo-authjs.sh");

export class Deployment {
  output = "";
  front = new Front();
  network = new Network();

  #options;

  /** A deployment takes options of the script. */
  constructor(options = []) {
    this.#options = options;
  }

  /** start starts what `npm test` has built before. */
  async start() {
    try {
      await this.#start();
    } catch (error) {
      await this.stop();
      throw error;
    }
    return this;
  }

  async #start() {
    this.dir = mkdtempSync(join(tmpdir(), "curfew-demo-"));
    cpSync(join(built, "bin"), join(this.dir, "bin"), { recursive: true });
    await Promise.all([this.front.start(), this.network.start()]);
    const [port, curfewPort, backendPort] = [await freePorts(), await freePorts(3), await freePorts()];
    this.front.port = port;
    this.network.port = curfewPort;
    this.url = this.front.url;
    this.api = `http://127.0.0.1:${curfewPort}`;
    this.backend = `http://127.0.0.1:${backendPort}`;
    this.chat = `ws://127.0.0.1:${backendPort}/chat`;
    const ports = Object.entries({ port, "curfew-port": curfewPort, "backend-port": backendPort }).flatMap(([name, value]) => [`--${name}`, String(value)]);
    this.ports = [port, curfewPort, curfewPort + 1, curfewPort + 2, backendPort];
    const args = ["--no-build", "--data-dir", this.dir, "--origin", this.url, "--gateway", this.network.url, ...ports, ...this.#options];
    this.process = spawn(script, args, { stdio: ["ignore", "pipe", "pipe"], env: { PATH: process.env.PATH, HOME: process.env.HOME, TMPDIR: tmpdir() } });
    for (const stream of [this.process.stdout, this.process.stderr]) stream.on("data", (chunk) => (this.output += chunk));
    await until("the script says that all is started", () => {
      assert.equal(this.process.exitCode, null, this.output);
      return this.output.includes("Ctrl-C ends everything");
    }, 60_000);
  }

  /** pid returns the process id of curfew, backend or app. */
  pid(name) {
    return Number(readFileSync(join(this.dir, "run", `${name}.pid`), "utf8"));
  }

  /** call calls the Curfew API, as its operator. */
  async call(method, path, body) {
    const key = readFileSync(join(this.dir, "curfew/admin.key"), "utf8").trim();
    const headers = { Authorization: `Bearer ${key}`, ...(body && { "Content-Type": "application/json" }) };
    const answer = await fetch(this.api + path, { method, headers, body: body && JSON.stringify(body) });
    const text = await answer.text();
    assert.equal(answer.status, 200, `${method} ${path}: ${text}`);
    return JSON.parse(text);
  }

  revoke(user, reason) {
    return this.call("POST", "/v1/revocations", { scope: "user", user, reason });
  }

  /** conns returns the open conns of a user at the gateway. */
  async conns(user) {
    return (await this.call("GET", `/v1/users/${user}/tabs`)).gateways.flatMap(({ tabs }) => tabs);
  }

  /** sessions returns a user's sessions that go on. */
  async sessions(user) {
    return (await this.call("GET", `/v1/users/${user}/sessions?ended=false`)).sessions;
  }

  /** token signs as the application does, for whomever. */
  token(claims) {
    const key = readFileSync(join(this.dir, "backend.key"), "utf8").trim();
    const now = Math.floor(Date.now() / 1000);
    const parts = [{ alg: "HS256", typ: "JWT" }, { aud: "demobackend", iat: now, exp: now + 30, jti: randomUUID(), ...claims }];
    const signed = parts.map((part) => Buffer.from(JSON.stringify(part)).toString("base64url")).join(".");
    return `${signed}.${createHmac("sha256", key).update(signed).digest("base64url")}`;
  }

  /** notes asks the backend itself. */
  notes({ sub, sid, auth_time_ms }, headers = {}) {
    const token = this.token({ sub, sid, auth_time_ms });
    return fetch(`${this.backend}/api/notes`, { headers: { Authorization: `Bearer ${token}`, "X-User-ID": sub, "X-Session-ID": sid, ...headers } });
  }

  async stop(signal = "SIGINT") {
    if (this.process && this.process.exitCode === null && this.process.signalCode === null) {
      const gone = once(this.process, "exit");
      this.process.kill(signal);
      [this.exitCode] = await gone;
    }
    this.front.stop();
    this.network.stop();
    if (this.dir) rmSync(this.dir, { recursive: true, force: true });
  }
}
