// The outbox: what it has taken isn't lost, and what it can't take is told.
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, test } from "node:test";
import { curfew, MemoryOutbox } from "@curfew/authjs";
import { FileOutbox } from "@curfew/authjs/node";

import { serve } from "./rig/serve.mjs";
import { until } from "./rig/server.mjs";

let closing = [];

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

function folder() {
  const dir = mkdtempSync(join(tmpdir(), "curfew-outbox-"));
  closing.push(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

const entry = (id, at = 1) => ({ id, path: "/v1/revocations", body: { scope: "session", session: id }, idempotencyKey: `key-${id}`, at });

for (const [name, make] of [["memory", (limit) => new MemoryOutbox(limit)], ["files", (limit) => new FileOutbox(join(folder(), "made"), limit)]]) {
  test(`${name}: what is added is listed until it is removed, and no more than the limit is taken`, async () => {
    const outbox = make(2);
    assert.deepEqual(await outbox.list(), []);
    await outbox.add(entry("b", 2));
    await outbox.add(entry("a", 1));
    await assert.rejects(outbox.add(entry("c")), /full/);
    assert.deepEqual((await outbox.list()).map(({ id }) => id).sort(), ["a", "b"]);
    assert.deepEqual((await outbox.list()).find(({ id }) => id === "b"), entry("b", 2));
    await outbox.remove("a");
    await outbox.remove("a");
    assert.deepEqual((await outbox.list()).map(({ id }) => id), ["b"]);
  });
}

test("files: nobody else may read them, none is ever half there, and one that is broken is passed over", async () => {
  const dir = folder();
  const outbox = new FileOutbox(dir);
  await outbox.add(entry("whole"));
  assert.equal(statSync(join(dir, "whole.json")).mode & 0o777, 0o600);
  writeFileSync(join(dir, "torn.json"), '{"id":"torn"');
  writeFileSync(join(dir, "half.json.tmp"), "{}");
  writeFileSync(join(dir, "other.json"), JSON.stringify(entry("another")));
  assert.deepEqual((await outbox.list()).map(({ id }) => id), ["whole"]);
  assert.ok(!readdirSync(dir).some((file) => file.startsWith("whole") && file.endsWith(".tmp")));
  for (const id of ["../escape", "a/b", "", ".", "x".repeat(101)]) await assert.rejects(outbox.add(entry(id)), /id must be/, id);
});

test("files: what a crash has left half written goes, and what may be being written stays", async () => {
  const dir = folder();
  for (const file of ["old.json.1.tmp", "new.json.2.tmp"]) writeFileSync(join(dir, file), "{");
  utimesSync(join(dir, "old.json.1.tmp"), new Date(0), new Date(0));
  await new FileOutbox(dir).list();
  assert.deepEqual(readdirSync(dir), ["new.json.2.tmp"]);
});

/** api answers publishes with what `next` says and notes what it was asked. */
async function api() {
  const seen = [];
  const web = await serve(async (req, res) => {
    let text = "";
    for await (const chunk of req) text += chunk;
    seen.push({ key: req.headers["idempotency-key"], body: JSON.parse(text) });
    const { status, body } = web.next(seen.length);
    res.writeHead(status, { "Content-Type": "application/json" }).end(JSON.stringify(body));
  });
  closing.push(web.close);
  return Object.assign(web, { seen });
}

const stored = { status: 200, body: { id: "e", scope: "session", position: 3, time: "2026-01-01T00:00:00Z", expires_at: "2026-02-01T00:00:00Z", duplicate: false } };
const problem = (status, code) => ({ status, body: { code, detail: code, retry: status >= 500 } });

function client(web, own = {}) {
  const told = [];
  const options = { url: web.url, apiKey: `cfw_${crypto.randomUUID()}`, onRevocationFailed: (event) => told.push(event.keptIn), onUnavailable() {}, ...own };
  const made = curfew(options);
  closing.push(() => made.close());
  return { made, told };
}

test("three tries under one Idempotency-Key, and the outbox goes on under the same one", async () => {
  const web = await api();
  web.next = (n) => (n <= 3 ? problem(503, "outcome_unknown") : stored);
  const { made, told } = client(web);
  await assert.rejects(made.revokeSession({ session: "s", user: "u" }), { name: "RevocationPendingError" });
  assert.equal(web.seen.length, 3);
  await until("the outbox has published it", () => made.stats().revocationsStored === 1);
  assert.equal(new Set(web.seen.map(({ key }) => key)).size, 1);
  assert.equal(new Set(web.seen.map(({ body }) => JSON.stringify(body))).size, 1);
  assert.deepEqual(told, ["outbox"]);
});

test("trap: a key that is refused keeps revocations waiting for one that isn't, and a call that is refused for good is told to be lost", async () => {
  const web = await api();
  web.next = () => problem(401, "api_key_invalid");
  const outbox = new MemoryOutbox();
  const { made, told } = client(web, { outbox });
  await assert.rejects(made.revokeSession({ session: "s", user: "u" }), { name: "RevocationPendingError" });
  assert.equal(web.seen.length, 1, "trying it at once again is of no use");
  await made.drainOutbox();
  assert.equal((await outbox.list()).length, 1);
  web.next = () => problem(422, "invalid_request");
  await made.drainOutbox();
  assert.equal((await outbox.list()).length, 0);
  assert.deepEqual(told, ["outbox", "nobody"]);
  assert.equal(made.stats().revocationsLost, 1);
});

test("while the API is away a pass tries a few and leaves the rest, and no entry stands in the way of all behind it", async () => {
  const web = await api();
  web.next = () => problem(503, "not_stored");
  const outbox = new MemoryOutbox();
  for (let i = 0; i < 20; i++) await outbox.add(entry(`e-${i}`, i));
  const { made } = client(web, { outbox });
  await until("a pass is over", () => web.seen.length >= 3);
  await made.drainOutbox();
  assert.ok(web.seen.length <= 6, `${web.seen.length}`);
  // One of them is refused as long as it likes; all others go.
  web.next = () => (web.seen.at(-1).body.session === "e-0" ? problem(503, "not_stored") : stored);
  await until("all others are published", async () => (await outbox.list()).length === 1);
});

test("each outbox delivers what it holds, also if another instance with the same key has none", async () => {
  const web = await api();
  web.next = (n) => (n === 1 ? problem(401, "api_key_invalid") : stored);
  const options = { url: web.url, apiKey: `cfw_${crypto.randomUUID()}`, onRevocationFailed() {} };
  const plain = curfew(options);
  closing.push(() => plain.close());
  const outbox = new MemoryOutbox();
  const kept = curfew({ ...options, outbox });
  await assert.rejects(kept.revokeSession({ session: "s" }), { name: "RevocationPendingError" });
  assert.equal((await outbox.list()).length, 1);
  await kept.drainOutbox();
  assert.equal((await outbox.list()).length, 0);
});

test("an outbox that fails is told, and tried again", async () => {
  const web = await api();
  web.next = () => stored;
  let broken = true;
  const memory = new MemoryOutbox();
  await memory.add(entry("left-over"));
  const outbox = { add: (e) => memory.add(e), list: () => (broken ? Promise.reject(new Error("disk")) : memory.list()), remove: (id) => memory.remove(id) };
  const { made, told } = client(web, { outbox });
  await until("it is told", () => told.length > 0);
  broken = false;
  await until("it is published", () => made.stats().revocationsStored === 1);
});
