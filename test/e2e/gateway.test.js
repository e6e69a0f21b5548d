// Tabs in a real browser: WebSocket and server-sent events as an application's pages open them, and all that a page of another origin may try with a
// victim's cookies and tickets (cross-site WebSocket hijacking). The evil page differs from the application's by its port alone: it is of the same site, so
// that the browser sends it every cookie, whatever its SameSite.

import assert from "node:assert/strict";
import { spawn, execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";

const root = new URL("../..", import.meta.url).pathname;
const passCookie = "__Host-curfew-notices-"; // and what stands for the origin
// DEADLINE is for what takes moments, and RECONNECTED for what a browser does by itself up to five seconds later.
const DEADLINE = 10_000;
const RECONNECTED = 15_000;

let dir, binary, browser, web, evilWeb, otherWeb;
// Origins: app, sister and abroad are allowed, the last of which is of another site; evil is not, nor is the application's page under another name.
let app, alias, sister, abroad, evil;
// Gateways: tickets is one that takes tickets, sessions one that takes the application's session cookie as well.
let tickets, sessions;

// page is what every origin serves. It opens conns, and tells how they went; stay() are those that a tab keeps, try() what ends by itself.
function page() {
  const tabs = {};
  const open = {
    websocket({ url, protocols, hello }, tell) {
      const ws = new WebSocket(url.replace(/^http/, "ws") + "/v1/connect", protocols);
      ws.onopen = () => {
        tell({ type: "opened", protocol: ws.protocol });
        if (hello) ws.send(JSON.stringify(hello));
      };
      ws.onmessage = (e) => tell(JSON.parse(e.data));
      ws.onclose = (e) => tell({ type: "ended", code: e.code, reason: e.reason });
      return { say: (frame) => ws.send(JSON.stringify(frame)) };
    },
    eventsource({ url }, tell) {
      const es = new EventSource(url + "/v1/notices", { withCredentials: true });
      es.onopen = () => tell({ type: "opened" });
      es.onmessage = (e) => {
        tell({ ...JSON.parse(e.data), lastEventId: e.lastEventId });
      };
      es.onerror = () => tell({ type: es.readyState === EventSource.CLOSED ? "ended" : "reconnecting" });
      return {};
    },
  };
  async function post(url, body, contentType = "application/json") {
    try {
      const got = await fetch(url, { method: "POST", credentials: "include", headers: { "Content-Type": contentType }, body: JSON.stringify(body) });
      return { status: got.status, body: await got.text() };
    } catch (e) {
      return { refused: e.name };
    }
  }
  // loaded resolves with what a page sees of an element that has fetched something.
  const loaded = (element) => new Promise((resolve) => {
    element.onload = () => {
      let readable = null;
      try {
        readable = element.contentDocument && element.contentDocument.URL !== "about:blank" ? element.contentDocument.body.textContent : null;
      } catch { /* another origin's */ }
      resolve({ loaded: readable });
    };
    element.onerror = () => resolve({ refused: "error" });
  });
  const attempts = {
    websocket: (a) => new Promise((resolve) => open.websocket(a, (frame) => resolve(frame.type === "ended" ? { refused: frame.code } : { got: frame }))),
    eventsource: (a) => new Promise((resolve) => open.eventsource(a, (frame) => resolve(frame.type === "ended" ? { refused: "closed" } : { got: frame }))),
    exchange: ({ url, ticket, contentType }) => post(url + "/v1/notices", { ticket }, contentType),
    ack: ({ url, contentType }) => post(url + "/v1/notices/acks", { stream: "a.b", id: "n", outcome: "signed_out" }, contentType),
    read: async ({ url, mode }) => {
      try {
        const got = await fetch(url + "/v1/notices", { credentials: "include", mode });
        return got.type === "opaque" ? { loaded: null } : { got: got.status };
      } catch (e) {
        return { refused: e.name };
      }
    },
    image: ({ url }) => {
      const img = new Image();
      const done = loaded(img);
      img.src = url + "/v1/notices";
      return done;
    },
    frame: ({ url }) => {
      const frame = document.createElement("iframe");
      const done = loaded(frame);
      frame.src = url + "/v1/notices";
      document.body.append(frame);
      return done;
    },
    form: ({ url, ticket, method, enctype }) => {
      const frame = document.createElement("iframe");
      frame.name = "form" + Math.random();
      document.body.append(frame);
      const form = document.createElement("form");
      Object.assign(form, { action: url + "/v1/notices", method, enctype, target: frame.name });
      const field = document.createElement("input");
      // As text/plain it is JSON.
      Object.assign(field, { name: `{"ticket":"${ticket}","a":"`, value: '"}' });
      form.append(field);
      document.body.append(form);
      const done = loaded(frame);
      form.submit();
      return done;
    },
    // The same in a frame whose origin is none ("null").
    sandboxed: (a) => new Promise((resolve) => {
      const frame = document.createElement("iframe");
      frame.sandbox = "allow-scripts allow-forms";
      addEventListener("message", (e) => { if (e.source === frame.contentWindow) resolve(e.data); });
      frame.srcdoc = `<!doctype html><body><script>${page}; page(); attempt(${JSON.stringify(a)}).then((r) => parent.postMessage(r, "*"))<\/script>`;
      document.body.append(frame);
    }),
  };
  // told is what a tab was told, in order.
  window.told = (name) => tabs[name].told;
  window.stay = (kind, name, a) => {
    const told = [];
    tabs[name] = { told };
    tabs[name].tab = open[kind](a, (frame) => told.push(frame));
  };
  window.say = (name, frame) => tabs[name].tab.say(frame);
  window.post = post;
  // What a page gets that nobody refuses may never end.
  window.attempt = (a) => Promise.race([
    a.sandboxed ? attempts.sandboxed({ ...a, sandboxed: false }) : attempts[a.kind](a),
    new Promise((resolve) => { setTimeout(() => resolve({ got: "something that doesn't end" }), a.patience); }),
  ]);
}

// served starts a server of pages, which sees the cookies that come with requests.
async function served() {
  const server = createServer((q, r) => {
    server.cookies = q.headers.cookie ?? "";
    r.setHeader("Content-Type", "text/html");
    r.end(`<!doctype html><link rel="icon" href="data:,"><body><script>${page}; page()</script>`);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return server;
}

// Gateway is a curfew serve, and the network between it and browsers, which can be cut and which notes requests.
class Gateway {
  constructor(name, args) {
    this.dir = join(dir, name);
    mkdirSync(this.dir);
    this.args = args;
    this.requests = [];
    this.links = new Set();
  }

  async start() {
    const env = Object.fromEntries(Object.entries(process.env).filter(([k]) => !k.startsWith("CURFEW_")));
    this.process = spawn(binary, [
      "serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data-dir", join(this.dir, "data"), "--drain-window", "50ms", "--log-level", "error", ...this.args,
    ], { cwd: this.dir, env, stdio: ["ignore", "pipe", "inherit"] });
    await new Promise((resolve, reject) => {
      this.process.once("exit", (code) => reject(new Error("curfew ended with " + code)));
      const found = (line) => {
        this.api = line.match(/^curfew serves (\S+)/)?.[1] ?? this.api;
        this.admin = line.match(/^health and metrics (\S+)/)?.[1] ?? this.admin;
        if (this.api && this.admin) resolve();
      };
      createInterface({ input: this.process.stdout }).on("line", found);
    });
    this.key = readFileSync(join(this.dir, "data", "admin.key"), "utf8").trim();
    await until("the gateway is ready", async () => (await fetch(this.admin + "/readyz")).ok);
    this.network ??= await this.connect();
    this.url = `http://127.0.0.1:${this.network.address().port}`;
  }

  // connect forwards connections to the gateway, wherever it is.
  async connect() {
    const network = net.createServer((from) => {
      if (this.isCut || !this.api) {
        from.destroy();
        return;
      }
      const to = net.connect(new URL(this.api).port, "127.0.0.1");
      from.on("data", (bytes) => this.note(bytes));
      for (const [a, b] of [[from, to], [to, from]]) {
        this.links.add(a);
        a.on("error", () => b.destroy());
        a.on("close", () => { this.links.delete(a); b.destroy(); });
        a.pipe(b);
      }
    });
    network.listen(0, "127.0.0.1");
    await once(network, "listening");
    return network;
  }

  note(bytes) {
    const head = bytes.toString("latin1").split("\r\n\r\n")[0].split("\r\n");
    const [, method, path] = head[0].match(/^(GET|POST|OPTIONS) (\S+) HTTP\/1.1$/) ?? [];
    if (!method) return;
    const headers = Object.fromEntries(head.slice(1).map((line) => [line.slice(0, line.indexOf(":")).toLowerCase(), line.slice(line.indexOf(":") + 2)]));
    this.requests.push({ method, path, ...headers });
  }

  cut() {
    this.isCut = true;
    for (const l of this.links) l.destroy();
  }

  mend() { this.isCut = false; }

  async stop() {
    if (!this.process || this.process.exitCode !== null) return;
    const ended = once(this.process, "exit");
    this.process.kill("SIGTERM");
    assert.equal((await ended)[0], 0, "curfew ends cleanly on SIGTERM");
    this.api = this.admin = undefined;
  }

  async call(path, body) {
    const got = await fetch(this.api + path, {
      method: "POST", headers: { Authorization: "Bearer " + this.key, "Content-Type": "application/json" }, body: JSON.stringify(body),
    });
    assert.equal(got.status, 200, `${path}: ${await got.clone().text()}`);
    return got.json();
  }

  // ticket is what the application's backend does for a tab that has shown its session.
  async ticket(user, session, origin = app) {
    return (await this.call("/v1/tickets", { user, session, auth_time: new Date().toISOString(), origin })).ticket;
  }

  revoke(user, session) { return this.call("/v1/revocations", { scope: "session", session, user, reason: "user_logout" }); }

  // metrics returns a family's values by its one label.
  async metrics(family) {
    const text = await (await fetch(this.admin + "/metrics")).text();
    return Object.fromEntries([...text.matchAll(new RegExp(`^${family}\\{\\w+="([^"]*)"\\} (\\S+)$`, "gm"))].map(([, label, value]) => [label, Number(value)]));
  }

  // conns returns how many conns are open, by transport.
  async conns() { return { websocket: 0, sse: 0, ...await this.metrics("curfew_conns") }; }
}

// until waits for what is true sooner or later.
async function until(what, isSo) {
  const end = performance.now() + DEADLINE;
  while (!await isSo()) {
    assert.ok(performance.now() < end, "it never came to be that " + what);
    await new Promise((resolve) => { setTimeout(resolve, 20); });
  }
}

// device returns a browser with cookies of its own for as long as a test takes. After it no conn is left.
async function device(t) {
  const context = await browser.newContext();
  t.after(async () => {
    await context.close();
    for (const g of [tickets, sessions]) await until("all conns are gone", async () => Object.values(await g.conns()).every((n) => n === 0));
  });
  return context;
}

// tab opens a page of an origin.
async function tab(context, origin) {
  const p = await context.newPage();
  p.setDefaultTimeout(DEADLINE);
  await p.goto(origin);
  return p;
}

// hears resolves with the frame of a type that a page's conn is told, the nth of them.
async function hears(p, name, type, nth = 1, timeout = DEADLINE) {
  try {
    const found = await p.waitForFunction(([name, type, nth]) => told(name).filter((f) => f.type === type)[nth - 1], [name, type, nth], { timeout, polling: 20 });
    return await found.jsonValue();
  } catch (e) {
    throw new Error(`${name} wasn't told ${type} (${nth}), but ${JSON.stringify(await types(p, name))}: ${e.message}`);
  }
}

const types = (p, name) => p.evaluate((name) => told(name).map((f) => f.type), name);
const stay = (p, kind, name, a) => p.evaluate(([kind, name, a]) => stay(kind, name, a), [kind, name, a]);
const post = (p, url, body) => p.evaluate(([url, body]) => post(url, body), [url, body]);

// stream exchanges a ticket and opens a stream of notices.
async function stream(p, gateway, name, user, session, origin = app) {
  const got = await post(p, gateway.url + "/v1/notices", { ticket: await gateway.ticket(user, session, origin) });
  assert.deepEqual(got, { status: 204, body: "" }, "the exchange");
  await stay(p, "eventsource", name, { url: gateway.url });
  return hears(p, name, "ready");
}

// refuses has a page attempt something, and holds the gateway to it: the page learns nothing, no conn is taken, no ticket used up, and the refusal is counted.
async function refuses(gateway, p, what, a, code, seen = {}) {
  const before = { conns: await gateway.conns(), used: (await gateway.metrics("curfew_tickets_total")).used, refused: await gateway.metrics("curfew_refused_total") };
  const from = gateway.requests.length;
  const outcome = await p.evaluate((a) => attempt(a), { url: gateway.url, patience: DEADLINE / 2, ...a });
  assert.ok("refused" in outcome || outcome.loaded === null, `${what}: the page got ${JSON.stringify(outcome)}`);
  const sum = (counts) => Object.values(counts).reduce((a, b) => a + b, 0);
  let refused;
  await until(`${what} is counted`, async () => sum(refused = await gateway.metrics("curfew_refused_total")) > sum(before.refused));
  assert.deepEqual(refused, { ...before.refused, [code]: (before.refused[code] ?? 0) + 1 }, `${what}: refusals`);
  assert.deepEqual(await gateway.conns(), before.conns, `${what}: conns`);
  assert.equal((await gateway.metrics("curfew_tickets_total")).used, before.used, `${what}: used tickets`);
  const [request, more] = gateway.requests.slice(from);
  assert.equal(more, undefined, `${what}: one request`);
  for (const [header, want] of Object.entries(seen)) assert.match(request[header] ?? "(none)", want, `${what}: ${header}`);
}

before(async () => {
  dir = mkdtempSync(join(tmpdir(), "curfew-e2e-"));
  binary = join(dir, "curfew");
  execFileSync("go", ["build", "-o", binary, "./cmd/curfew"], { cwd: root, stdio: "inherit" });
  [web, evilWeb, otherWeb] = await Promise.all([served(), served(), served()]);
  const at = (server, host) => `http://${host}:${server.address().port}`;
  [app, alias, sister, abroad, evil] = [at(web, "127.0.0.1"), at(web, "localhost"), at(otherWeb, "127.0.0.1"), at(otherWeb, "localhost"), at(evilWeb, "127.0.0.1")];

  const secret = join(dir, "authjs.secret");
  writeFileSync(secret, golden.secrets[0], { mode: 0o600 });
  tickets = new Gateway("tickets", ["--allowed-origins", [app, sister, abroad].join()]);
  sessions = new Gateway("sessions", ["--allowed-origins", app, "--tabs-by-session", "--authjs-secret-files", secret, "--max-age", "876000h"]);
  [browser] = await Promise.all([
    chromium.launch({
      executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
      args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
    }),
    tickets.start(), sessions.start(),
  ]);
});

after(async () => {
  await browser?.close();
  for (const server of [web, evilWeb, otherWeb, tickets?.network, sessions?.network]) server?.close();
  for (const g of [tickets, sessions]) {
    for (const l of g?.links ?? []) l.destroy();
    await g?.stop();
  }
  rmSync(dir, { recursive: true, force: true });
});

// golden is a cookie of a real Auth.js.
const golden = JSON.parse(readFileSync(join(root, "revocation/revocationhttp/testdata/authjs/v5-http.json"), "utf8"));

test("a WebSocket, its ticket in hello or offered as a subprotocol", async (t) => {
  const context = await device(t);
  const p = await tab(context, app);
  await stay(p, "websocket", "hello", { url: tickets.url, protocols: ["curfew.v1"], hello: { type: "hello", ticket: await tickets.ticket("wanda", "w-1") } });
  await stay(p, "websocket", "offer", { url: tickets.url, protocols: ["curfew.v1", "ticket." + await tickets.ticket("wanda", "w-2")] });
  for (const [name, session] of [["hello", "w-1"], ["offer", "w-2"]]) {
    assert.equal((await hears(p, name, "opened")).protocol, "curfew.v1");
    assert.equal((await hears(p, name, "ready")).session, session);
  }
  assert.deepEqual(await tickets.conns(), { websocket: 2, sse: 0 });

  const { id } = await tickets.revoke("wanda", "w-1");
  const logout = await hears(p, "hello", "logout");
  assert.deepEqual([logout.id, logout.scope, logout.reason], [id, "session", "user_logout"]);
  await p.evaluate((id) => say("hello", { type: "ack", id, outcome: "signed_out" }), id);
  assert.equal((await hears(p, "hello", "ended")).code, 4501);
  await hears(p, "offer", "sessions_changed");

  await tickets.revoke("wanda", "w-2");
  await hears(p, "offer", "logout");
  assert.equal((await hears(p, "offer", "ended")).code, 4501, "also without an acknowledgement");
  assert.deepEqual(await types(p, "hello"), ["opened", "ready", "logout", "ended"]);
  assert.deepEqual(await types(p, "offer"), ["opened", "ready", "sessions_changed", "logout", "ended"]);
  await until("both conns are gone", async () => (await tickets.conns()).websocket === 0);
});

test("server-sent events by a cookie, which come back by themselves, over a cut network and a restart", async (t) => {
  const context = await device(t);
  const p = await tab(context, app);
  const ready = await stream(p, tickets, "stream", "erin", "e-1");
  assert.equal(ready.session, "e-1");
  const [pass] = (await context.cookies(tickets.url)).filter((c) => c.name.startsWith(passCookie));
  assert.deepEqual([pass.httpOnly, pass.secure, pass.sameSite, pass.path], [true, true, "Strict", "/"]);
  assert.equal(await p.evaluate(() => document.cookie), "", "no page can read it");

  let { position } = await tickets.revoke("erin", "e-2");
  let changed = await hears(p, "stream", "sessions_changed");
  assert.ok(changed.position >= position);
  assert.equal(changed.lastEventId, String(changed.position));

  // What happens while the network is cut is told afterwards, because the browser says what it has heard last.
  tickets.cut();
  await hears(p, "stream", "reconnecting");
  ({ position } = await tickets.revoke("erin", "e-3"));
  tickets.mend();
  await hears(p, "stream", "ready", 2, RECONNECTED);
  const back = tickets.requests.at(-1);
  assert.deepEqual([back.method, back.path, back.origin, back["last-event-id"]], ["GET", "/v1/notices", app, changed.lastEventId]);
  assert.ok(back.cookie.includes(`${pass.name}=${pass.value}`), "by the same cookie");
  changed = await hears(p, "stream", "sessions_changed", 2);
  assert.ok(changed.position >= position);

  // A restart is told, and the new process takes the cookie of the old one.
  await tickets.stop();
  assert.equal((await hears(p, "stream", "close")).code, 1012);
  await tickets.start();
  const again = await hears(p, "stream", "ready", 3, RECONNECTED);
  assert.ok(again.position >= changed.position);
  assert.equal(tickets.requests.at(-1)["last-event-id"], changed.lastEventId);

  const { id } = await tickets.revoke("erin", "e-1");
  assert.equal((await hears(p, "stream", "logout")).id, id);
  assert.deepEqual(await post(p, tickets.url + "/v1/notices/acks", { stream: again.stream, id, outcome: "signed_out" }), { status: 204, body: "" });
  assert.equal((await hears(p, "stream", "close", 2)).code, 4501);
  // It comes back once more by itself, and is told that it needn't.
  await hears(p, "stream", "ended", 1, RECONNECTED);
  assert.equal(tickets.requests.at(-1)["last-event-id"], "over");
  assert.equal((await tickets.metrics("curfew_acks_total")).signed_out, 1);
  await until("the stream is gone", async () => (await tickets.conns()).sse === 0);

  // The cookie outlives the session, and tells no more than that it is over.
  await stay(p, "eventsource", "late", { url: tickets.url });
  await hears(p, "late", "close");
  await hears(p, "late", "ended", 1, RECONNECTED);
  assert.deepEqual(await types(p, "late"), ["opened", "logout", "close", "reconnecting", "ended"]);
});

test("an allowed page of another site has a cookie for its own pages alone, and nobody another's", async (t) => {
  const context = await device(t);
  const far = await tab(context, abroad);
  assert.equal((await stream(far, tickets, "far", "fay", "f-1", abroad)).session, "f-1");
  const [pass] = (await context.cookies()).filter((c) => c.name.startsWith(passCookie));
  assert.equal(pass.sameSite, "None");
  assert.ok(pass.partitionKey, "it is partitioned");
  const p = await tab(context, app);
  await refuses(tickets, p, "a stream by the cookie of another site's pages", { kind: "eventsource" }, "pass_missing");

  assert.equal((await stream(p, tickets, "near", "nan", "n-1")).session, "n-1");
  const other = await tab(context, sister);
  await refuses(tickets, other, "a stream by the cookie of another allowed origin", { kind: "eventsource" }, "pass_missing", { cookie: new RegExp(passCookie) });
  const stolen = await tickets.ticket("nan", "n-1");
  await refuses(tickets, other, "a ticket of another allowed origin", { kind: "websocket", protocols: ["curfew.v1", "ticket." + stolen] }, "ticket_refused");
});

test("a page of another origin gets nothing, with the victim's cookie and a stolen ticket", async (t) => {
  const context = await device(t);
  const victim = await tab(context, app);
  await stream(victim, tickets, "stream", "vic", "v-1");
  await stay(victim, "websocket", "socket", { url: tickets.url, protocols: ["curfew.v1", "ticket." + await tickets.ticket("vic", "v-1")] });
  await hears(victim, "socket", "ready");
  assert.deepEqual(await tickets.conns(), { websocket: 1, sse: 1 });

  const ticket = await tickets.ticket("vic", "v-1");
  const offers = ["curfew.v1", "ticket." + ticket];
  const hello = { type: "hello", ticket };
  const [cookie, none] = [new RegExp(passCookie), /^\(none\)$/];
  const bad = await tab(context, evil);
  const [fromEvil, ofNobody] = [{ origin: new RegExp(`^${evil}$`) }, { origin: /^null$/ }];
  const withCookie = { ...fromEvil, cookie };
  const [no, missing] = ["origin_not_allowed", "origin_missing"];

  await refuses(tickets, bad, "a WebSocket", { kind: "websocket", protocols: ["curfew.v1"] }, no, withCookie);
  await refuses(tickets, bad, "a WebSocket with a ticket in hello", { kind: "websocket", protocols: ["curfew.v1"], hello }, no, withCookie);
  await refuses(tickets, bad, "a WebSocket with a ticket offered", { kind: "websocket", protocols: offers }, no, withCookie);
  await refuses(tickets, bad, "an EventSource", { kind: "eventsource" }, no, withCookie);
  await refuses(tickets, bad, "a fetch", { kind: "read" }, no, withCookie);
  await refuses(tickets, bad, "a fetch that asks nobody", { kind: "read", mode: "no-cors" }, missing, { origin: none, cookie });
  await refuses(tickets, bad, "an exchange", { kind: "exchange", ticket }, no, { ...fromEvil, method: /^OPTIONS$/ });
  await refuses(tickets, bad, "an exchange without a preflight", { kind: "exchange", ticket, contentType: "text/plain" }, no, { ...withCookie, method: /^POST$/ });
  await refuses(tickets, bad, "an acknowledgement", { kind: "ack", contentType: "text/plain" }, no, withCookie);
  await refuses(tickets, bad, "an image", { kind: "image" }, missing, { origin: none, cookie });
  await refuses(tickets, bad, "a frame", { kind: "frame" }, missing, { origin: none, cookie });
  await refuses(tickets, bad, "a form", { kind: "form", method: "post", enctype: "text/plain", ticket }, no, { ...withCookie, method: /^POST$/ });
  await refuses(tickets, bad, "a form by GET", { kind: "form", method: "get", ticket }, missing, { origin: none, cookie });

  const sandboxed = true;
  await refuses(tickets, bad, "a sandboxed WebSocket", { sandboxed, kind: "websocket", protocols: offers }, no, ofNobody);
  await refuses(tickets, bad, "a sandboxed EventSource", { sandboxed, kind: "eventsource" }, no, ofNobody);
  await refuses(tickets, bad, "a sandboxed exchange", { sandboxed, kind: "exchange", ticket, contentType: "text/plain" }, no, ofNobody);
  await refuses(tickets, bad, "a sandboxed image", { sandboxed, kind: "image" }, no, ofNobody);
  await refuses(tickets, bad, "a sandboxed form", { sandboxed, kind: "form", method: "post", enctype: "text/plain", ticket }, no, ofNobody);

  // The application's own page counts only under the name that is allowed.
  const renamed = await tab(context, alias);
  await refuses(tickets, renamed, "a WebSocket from another name of the same server", { kind: "websocket", protocols: offers }, no, { origin: new RegExp(`^${alias}$`) });
  await refuses(tickets, renamed, "an EventSource from another name of the same server", { kind: "eventsource" }, no, { cookie: none });

  // A link, or the address bar.
  const got = await (await context.newPage()).goto(tickets.url + "/v1/notices");
  assert.equal(got.status(), 403);

  // The victim has noticed nothing, and the ticket is still good where it is meant to be.
  assert.deepEqual(await types(victim, "stream"), ["opened", "ready"]);
  assert.deepEqual(await types(victim, "socket"), ["opened", "ready"]);
  await stay(victim, "websocket", "meant", { url: tickets.url, protocols: offers });
  await hears(victim, "meant", "ready");
});

test("tabs by the application's session cookie, and from no other page", async (t) => {
  const context = await device(t);
  const [{ name, value }] = golden.cookies;
  await context.addCookies([{ name, value, domain: "127.0.0.1", path: "/", httpOnly: true, sameSite: "Lax" }]);
  const p = await tab(context, app);
  assert.ok(web.cookies.includes(name), "the application gets the cookie");
  await stay(p, "websocket", "socket", { url: sessions.url, protocols: ["curfew.v1"] });
  await stay(p, "eventsource", "stream", { url: sessions.url });
  for (const own of ["socket", "stream"]) assert.equal((await hears(p, own, "ready")).session, golden.session.id);

  const bad = await tab(context, evil);
  const cookie = new RegExp(`${name}=`);
  await refuses(sessions, bad, "a WebSocket by the session", { kind: "websocket", protocols: ["curfew.v1"] }, "origin_not_allowed", { cookie });
  await refuses(sessions, bad, "an EventSource by the session", { kind: "eventsource" }, "origin_not_allowed", { cookie });
  await refuses(sessions, bad, "an image by the session", { kind: "image" }, "origin_missing", { cookie });
  await refuses(sessions, bad, "a frame by the session", { kind: "frame" }, "origin_missing", { cookie });
  await refuses(sessions, bad, "a fetch by the session", { kind: "read", mode: "no-cors" }, "origin_missing", { cookie });
  await refuses(sessions, bad, "a sandboxed WebSocket by the session", { sandboxed: true, kind: "websocket", protocols: ["curfew.v1"] }, "origin_not_allowed", { origin: /^null$/ });

  for (const own of ["socket", "stream"]) assert.deepEqual(await types(p, own), ["opened", "ready"]);
  await sessions.revoke(golden.session.user, golden.session.id);
  for (const own of ["socket", "stream"]) await hears(p, own, "logout");
  assert.equal((await hears(p, "socket", "ended")).code, 4501);
  assert.equal((await hears(p, "stream", "close")).code, 4501);
});

test("the page of docs/tabs.md follows its browser from one session to the next", async (t) => {
  const [, code] = readFileSync(join(root, "docs/tabs.md"), "utf8").match(/```js\n(.*?)```/s);
  const context = await device(t);
  const p = await tab(context, app);
  let session = "d-1";
  const heard = [];
  let turnedAway = 0;
  await p.exposeFunction("ticket", () => {
    if (session) return tickets.ticket("dora", session);
    turnedAway++;
    return null;
  });
  await p.exposeFunction("over", (frame) => { heard.push(frame.id); return true; });
  await p.exposeFunction("changed", () => heard.push("changed"));
  const acked = async () => (await tickets.metrics("curfew_acks_total")).signed_out ?? 0;
  const before = await acked();
  const isOpen = (n) => until(`${n} streams are open`, async () => (await tickets.conns()).sse === n);

  await p.evaluate(async ([code, url]) => {
    const { notices } = await import("data:text/javascript," + encodeURIComponent(code));
    await notices(url, { ticket, over, changed });
  }, [code, tickets.url]);
  await isOpen(1);
  await tickets.revoke("dora", "d-elsewhere");
  await until("it hears of the other session", () => heard.length === 1);

  // Whoever signs in again is told of the next end too.
  const first = await tickets.revoke("dora", session);
  session = "d-2";
  await until("it hears of the end", () => heard.length === 2);
  await isOpen(0);
  await isOpen(1);
  const second = await tickets.revoke("dora", session);
  session = "";
  await until("it hears of that one's end", () => heard.length === 3);
  assert.deepEqual(heard, ["changed", first.id, second.id]);
  await until("both are acknowledged", async () => await acked() === before + 2);
  await isOpen(0);

  // Nobody is signed in, so its last word is that it has heard.
  await until("it has asked for another ticket", () => turnedAway === 1);
  assert.equal(tickets.requests.at(-1)["last-event-id"], "over");
});
