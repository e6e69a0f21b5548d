// What the tests of the console stand on: the built binary with a fleet of two processes, people who are signed in, tabs that are open, and Debian's chromium.

import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const root = new URL("../..", import.meta.url).pathname;
/** DEADLINE is for what takes moments. */
export const DEADLINE = 10_000;
/** Screenshots are for people who look at a run; git doesn't keep them. */
export const screenshots = join(root, "test/e2e/screenshots");

/** deployment builds the command, unless CURFEW_BINARY names it, and starts a process with everything. Flags that are given come last. */
export async function deployment(...flags) {
  const dir = mkdtempSync(join(tmpdir(), "curfew-console-"));
  let binary = process.env.CURFEW_BINARY;
  if (!binary) {
    binary = join(dir, "curfew");
    execFileSync("go", ["build", "-o", binary, "./cmd/curfew"], { cwd: root, stdio: "inherit" });
  }
  const web = createServer((_, r) => {
    r.setHeader("Content-Type", "text/html");
    r.end('<!doctype html><link rel="icon" href="data:,"><title>app</title>');
  });
  web.listen(0, "127.0.0.1");
  await once(web, "listening");
  const origin = `http://localhost:${web.address().port}`;
  const data = join(dir, "data");
  const processes = [];
  const main = await serve(binary, processes, ["--data-dir", data, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--nats-listen", "127.0.0.1:0", "--allowed-origins", origin, "--ledger-sync-interval", "10s", ...flags]);
  const key = readFileSync(main.admin_key_file, "utf8").trim();
  return {
    dir, origin, key, api: main.url, admin: main.admin_url.replace("127.0.0.1", "localhost"), console: main.console_url.replace("127.0.0.1", "localhost"),
    /** join starts one more process, which has a replica of its own. */
    join: () => serve(binary, processes, ["--data-dir", join(dir, "second"), "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--roles", "gate", "--nats-url", readFileSync(main.nats_url_file, "utf8").trim()]),
    async call(method, path, body, headers = {}) {
      const answer = await fetch(main.url + path, { method, headers: { Authorization: `Bearer ${key}`, "Content-Type": "application/json", ...headers }, body: body && JSON.stringify(body) });
      if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
      return answer.json();
    },
    /** publish puts bytes on a topic of the ledger, past the API, as a publisher does that is broken. */
    async publish(topic, text) {
      const to = new URL(readFileSync(main.nats_url_file, "utf8").trim());
      const socket = connect(Number(to.port), to.hostname);
      const said = createInterface({ input: socket })[Symbol.asyncIterator]();
      await said.next(); // INFO
      socket.write(`CONNECT ${JSON.stringify({ user: decodeURIComponent(to.username), pass: decodeURIComponent(to.password), verbose: false })}\r\nPUB ${topic} ${text.length}\r\n${text}\r\nPING\r\n`);
      const { value } = await said.next();
      socket.end();
      if (value !== "PONG") throw new Error(value);
    },
    async close() {
      for (const child of processes.reverse()) {
        child.kill("SIGCONT");
        child.kill("SIGTERM");
        if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
      }
      web.close();
      web.closeAllConnections();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

async function serve(binary, processes, args) {
  const child = spawn(binary, ["serve", "--json", "--log-level", "error", ...args], { stdio: ["ignore", "pipe", "inherit"], env: { PATH: process.env.PATH } });
  processes.push(child);
  let text = "";
  for await (const line of createInterface({ input: child.stdout })) {
    text += line;
    try {
      return { ...JSON.parse(text), child };
    } catch {
      // There is more of it.
    }
  }
  throw new Error("curfew serve didn't start");
}

export const launch = () => chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"] });

/** visit opens the console, and keeps what its browser has complained of. */
export async function visit(browser, at, { width = 1280, height = 860, colorScheme = "light", path = "" } = {}) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme, reducedMotion: "reduce", hasTouch: width < 800, timezoneId: "Europe/Berlin", locale: "en-GB" });
  const page = await context.newPage();
  page.setDefaultTimeout(DEADLINE);
  page.complaints = [];
  // A refused call is told by the page; the browser notes it as well.
  page.on("console", (m) => ["error", "warning"].includes(m.type()) && !/Failed to load resource/.test(m.text()) && page.complaints.push(m.text()));
  page.on("pageerror", (e) => page.complaints.push(String(e)));
  await page.goto(at.console + path);
  return page;
}

/** signIn does as a person does. */
export async function signIn(page, at) {
  await page.getByLabel("API key").fill(at.key);
  await page.getByRole("button", { name: "Sign in", exact: true }).click();
  await page.getByRole("navigation", { name: "Pages" }).or(page.getByRole("button", { name: "Menu" })).first().waitFor();
}

const agents = {
  "Firefox on Linux": "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0",
  "Safari on iPhone": "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1",
  "Chrome on Windows": "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
};

/** person signs somebody in on three devices. */
export async function person(at, user) {
  const sessions = [];
  for (const [i, user_agent] of Object.values(agents).entries()) {
    sessions.push(await at.call("POST", "/v1/sessions", { session: `${user}-session-${i}`, user, user_agent, device: `${user}-device-${i}`, client: "web-shop", ip: `203.0.113.${i + 7}` }));
  }
  return sessions;
}

/** tabs opens one for each session, in a browser. They stay until their page is closed. */
export async function tabs(browser, at, sessions) {
  const page = await (await browser.newContext()).newPage();
  await page.goto(at.origin);
  for (const s of sessions) {
    const { ticket } = await at.call("POST", "/v1/tickets", { user: s.user, session: s.session, auth_time: s.auth_time, origin: at.origin });
    await page.evaluate(({ url, ticket }) => new Promise((resolve, reject) => {
      const ws = new WebSocket(url, ["curfew.v1", "ticket." + ticket]);
      ws.onmessage = (m) => {
        const frame = JSON.parse(m.data);
        if (frame.type === "ready") resolve();
        if (frame.type === "logout") ws.send(JSON.stringify({ type: "ack", id: frame.id, outcome: "signed_out" }));
      };
      ws.onerror = () => reject(new Error("the conn failed"));
    }), { url: at.api.replace(/^http/, "ws") + "/v1/connect", ticket });
  }
  return page;
}

/** shoot keeps a picture. */
export async function shoot(page, name) {
  mkdirSync(screenshots, { recursive: true });
  await page.evaluate(() => scrollTo(0, 0));
  await page.screenshot({ path: join(screenshots, `console-${name}.png`), fullPage: true });
}
