// What an application's answers mean, with a real one over HTTP.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { Application } from "../dist/application.js";

let server, url;
// answer is what the server does next; asked are its requests.
let answer;
const asked = [];

before(async () => {
  server = createServer((request, response) => {
    asked.push(request);
    answer(response, request);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  url = `http://127.0.0.1:${server.address().port}/session`;
});
after(() => {
  server.closeAllConnections();
  server.close();
});

const says = (status, body) => (response) => response.writeHead(status, { "Content-Type": "application/json" }).end(body);
const application = (t, options) => {
  const errors = [];
  const a = new Application({ url: "", ticket: url, sessionUrl: url, onError: (e) => errors.push(e.message), ...options });
  t.after(() => a.close());
  return Object.assign(a, { errors });
};

test("who is signed in", async (t) => {
  const cases = [
    ["nobody, as Auth.js 5 says", 200, "null", { signedIn: false }],
    ["nobody, as NextAuth.js 4 says", 200, "{}", { signedIn: false }],
    ["nobody, by the status", 401, "not even JSON", { signedIn: false }],
    ["somebody", 200, '{"user":{"name":"ada"}}', { signedIn: true, session: undefined }],
    ["somebody, with a session's name", 200, '{"user":{},"sid":"s1"}', { signedIn: true, session: "s1" }],
    ["somebody, with a name that is none", 200, '{"user":{},"sid":7}', { signedIn: true, session: undefined }],
    ["somebody, while revocations can't be checked", 200, '{"error":"RevocationUnavailable"}', { signedIn: true, session: undefined }],
  ];
  for (const [name, status, body, want] of cases) {
    answer = says(status, body);
    assert.deepEqual(await application(t).verdict(), want, name);
  }
});

test("what decides nothing is asked again", async (t) => {
  const undecided = [says(500, "null"), says(503, "{}"), says(403, "null"), says(404, "null"), says(429, "null"), says(200, ""), says(200, "<!doctype html>"), says(200, "false"), says(200, '""'), says(200, "0"),
    (response) => response.destroy()];
  for (const [i, undecidedAnswer] of undecided.entries()) {
    let n = 0;
    answer = (...a) => (n++ ? says(200, "null")(...a) : undecidedAnswer(...a));
    const a = application(t);
    assert.deepEqual(await a.verdict(), { signedIn: false });
    assert.equal(n, 2, String(i));
    assert.equal(a.errors.length, 1, String(i));
  }
});

test("the application's own way to tell", async (t) => {
  let n = 0;
  const a = application(t, { verify: () => { if (!n++) throw new Error("away"); return { signedIn: true, session: "s9" }; } });
  assert.deepEqual(await a.verdict(), { signedIn: true, session: "s9" });
  assert.deepEqual(a.errors, ["away"]);
});

test("a verify that returns no verdict decides nothing", async (t) => {
  const answers = [undefined, null, {}, "yes", { signedIn: undefined }, { signedIn: false }];
  const a = application(t, { verify: () => answers.shift() });
  assert.deepEqual(await a.verdict(), { signedIn: false });
  assert.equal(answers.length, 0);
});

test("the question is put after the call, and those who wait share it", async (t) => {
  const waiting = [];
  answer = (response) => waiting.push(response);
  const a = application(t);
  const begun = asked.length;
  const first = a.verdict();
  while (waiting.length < 1) await new Promise(setImmediate);
  const [second, third] = [a.verdict(), a.verdict()];
  await new Promise((resolve) => { setTimeout(resolve, 50); });
  assert.equal(asked.length, begun + 1, "the next isn't asked before the first is answered");
  says(200, '{"sid":"old"}')(waiting[0]);
  assert.equal((await first).session, "old");
  while (waiting.length < 2) await new Promise(setImmediate);
  says(200, "null")(waiting[1]);
  assert.deepEqual([await second, await third], [{ signedIn: false }, { signedIn: false }]);
  assert.equal(asked.length, begun + 2);
});

test("once closed, it asks no more and never answers", async (t) => {
  answer = says(500, "");
  const a = application(t);
  let resolved = false;
  void a.verdict().then(() => { resolved = true; });
  while (!a.errors.length) await new Promise(setImmediate);
  a.close();
  const n = asked.length;
  await new Promise((resolve) => { setTimeout(resolve, 700); });
  assert.deepEqual([asked.length, resolved], [n, false]);
});

test("tickets, in whatever way they come", async (t) => {
  const response = (status, body) => new Response(body, { status });
  const cases = [
    ["text", () => "t1", "t1"], ["an object", () => ({ ticket: "t1" }), "t1"], ["a response", () => response(200, '{"ticket":"t1"}'), "t1"],
    ["nothing", () => undefined, undefined], ["null", () => null, undefined], ["no text", () => "", undefined], ["an object without", () => ({}), undefined],
    ["401", () => response(401, "x"), undefined], ["null in a response", () => response(200, "null"), undefined],
  ];
  for (const [name, ticket, want] of cases) assert.equal(await application(t, { ticket }).ticket(), want, name);
  for (const status of [403, 404, 429, 500, 503]) await assert.rejects(application(t, { ticket: () => response(status, "") }).ticket(), new RegExp(status));
  answer = (r, request) => says(200, JSON.stringify({ ticket: request.method }))(r);
  assert.equal(await application(t).ticket(), "POST");
});

test("touches", async (t) => {
  assert.deepEqual([application(t).touches, application(t, { touchUrl: url }).touches, application(t, { touch() {} }).touches], [false, true, true]);
  for (const [touch, want] of [[() => {}, true], [() => true, true], [() => false, false], [() => new Response(null, { status: 500 }), false], [() => Promise.reject(new Error("away")), false]]) {
    assert.equal(await application(t, { touch }).touch(), want, String(touch));
  }
  answer = says(200, "{}");
  assert.equal(await application(t, { touchUrl: url }).touch(), true);
  answer = says(401, "{}");
  assert.equal(await application(t, { touchUrl: url }).touch(), false);
  assert.equal(await application(t).touch(), false);
});
