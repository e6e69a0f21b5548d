// An application of Next.js, installed as a user installs it: from its own package.json and the packed package, in a folder of its own.
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before } from "node:test";

import { freePort, Server, until } from "./server.mjs";

const here = new URL("../..", import.meta.url).pathname;

export class NextApp {
  #dir;
  #child;
  url;

  /** build copies an application, installs it and builds it, without any of its secrets. */
  static build(name) {
    const app = new NextApp();
    app.#dir = mkdtempSync(join(tmpdir(), `curfew-${name}-`));
    cpSync(join(here, "test/apps", name), app.#dir, { recursive: true });
    const run = (command, args, cwd = app.#dir) => {
      try {
        return execFileSync(command, args, { cwd, stdio: "pipe", env: app.#env() }).toString();
      } catch (error) {
        throw new Error(`${command} ${args.join(" ")}: ${error.stdout}\n${error.stderr}`);
      }
    };
    const [{ filename }] = JSON.parse(run("npm", ["pack", "--json", "--ignore-scripts", "--pack-destination", app.#dir], here));
    run("npm", ["install", "--no-audit", "--no-fund", "--no-package-lock", "--prefer-offline"]);
    run("npm", ["install", "--no-audit", "--no-fund", "--no-package-lock", "--prefer-offline", "--no-save", `./${filename}`]);
    app.log = run("npx", ["next", "build"]);
    return app;
  }

  #env(more) {
    return { PATH: process.env.PATH, HOME: process.env.HOME, NEXT_TELEMETRY_DISABLED: "1", ...more };
  }

  async start(env) {
    const port = await freePort();
    this.url = `http://localhost:${port}`;
    // The server itself and no shell around it, so that it ends when it is told to.
    const next = join(this.#dir, "node_modules/next/dist/bin/next");
    const secrets = { AUTH_SECRET: "a secret of these tests, not of anybody", AUTH_TRUST_HOST: "true", NEXTAUTH_SECRET: "a secret of these tests, not of anybody", NEXTAUTH_URL: this.url };
    this.#child = spawn(process.execPath, [next, "start", "-p", String(port)], { cwd: this.#dir, stdio: ["ignore", "pipe", "pipe"], env: this.#env({ ...secrets, ...env }) });
    this.output = "";
    for (const stream of [this.#child.stdout, this.#child.stderr]) stream.on("data", (chunk) => (this.output = (this.output + chunk).slice(-20000)));
    await until("next start answers", async () => {
      if (this.#child.exitCode !== null) throw new Error(`next start ended: ${this.output}`);
      return (await fetch(`${this.url}/api/auth/csrf`).catch(() => null))?.status === 200;
    }, 60000).catch((error) => {
      throw new Error(`${error.message}: ${this.output}`);
    });
  }

  async stop() {
    if (this.#child && this.#child.exitCode === null && this.#child.signalCode === null) {
      const gone = once(this.#child, "exit");
      this.#child.kill("SIGTERM");
      const timer = setTimeout(() => this.#child.kill("SIGKILL"), 5000);
      await gone;
      clearTimeout(timer);
    }
    this.#child = undefined;
  }

  /** another serves the same build a second time. */
  another() {
    const app = new NextApp();
    app.#dir = this.#dir;
    return app;
  }

  remove() {
    rmSync(this.#dir, { recursive: true, force: true });
  }
}

/** site is an application for all tests of a file: `app` has Curfew, `plain` is the same without it, and `server` is what Curfew runs on. */
export function site(name) {
  const made = {};
  before(async () => {
    made.server = await Server.start();
    made.app = NextApp.build(name);
    made.plain = made.app.another();
    const env = { CURFEW_URL: made.server.url, CURFEW_API_KEY: await made.server.key() };
    await made.app.start(env);
    await made.plain.start({ ...env, WITHOUT_CURFEW: "yes" });
  });
  after(async () => {
    made.server?.thaw();
    await made.plain?.stop();
    await made.app?.stop();
    made.app?.remove();
    await made.server?.stop();
  });
  return made;
}
