// The protocol's files, which Go writes and reads too: the schemas, the golden frames, the close codes and the constants.

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";
import * as protocol from "../dist/protocol.js";
import { generate } from "../scripts/generate.js";

const tab = new URL("../../../events/tab/", import.meta.url);
const golden = new URL("testdata/golden/", tab);
const text = (url) => readFileSync(url, "utf8");
const goldenFiles = readdirSync(golden).filter((name) => name.endsWith(".json"));
const serverFrames = Object.keys(protocol.MEMBERS);
const isServers = (name) => serverFrames.includes(name.split(".")[0]);

test("what is generated is what the schemas say", () => {
  assert.equal(text(new URL("../src/protocol.generated.ts", import.meta.url)), generate(), "run npm run generate");
});

test("there are golden frames of every type", () => {
  const types = new Set(goldenFiles.map((name) => name.split(".")[0]));
  assert.deepEqual([...types].sort(), [...serverFrames, "hello", "ack"].sort());
});

for (const name of goldenFiles) {
  const line = text(new URL(name, golden)).trim();
  if (isServers(name)) {
    test(`the decoder reads ${name}`, () => assert.deepEqual(protocol.decode(line), JSON.parse(line)));
    test(`the decoder reads ${name} with members that it doesn't know`, () => {
      const more = { ...JSON.parse(line), color: "red", nested: { type: "logout" } };
      assert.deepEqual(protocol.decode(JSON.stringify(more)), more);
    });
  } else {
    // Go escapes these, JSON doesn't have to; none of the tab's golden frames has one, so that the bytes are the same.
    const frame = JSON.parse(line);
    test(`the encoder writes ${name}`, () => assert.equal(frame.type === "ack" ? protocol.encodeAck(frame) : protocol.encodeHello(frame), line));
  }
}

test("what isn't a frame of the server is none", () => {
  const ready = { type: "ready", session: "s", position: 1, heartbeat_ms: 1 };
  const bad = [
    undefined, null, 1, "", "{", "null", "[]", "1", "{}", '{"type":null}', '{"type":"hello","ticket":"t"}', '{"type":"toString"}', '{"type":"__proto__"}', new ArrayBuffer(2),
    ...[{ session: 1 }, { session: undefined }, { position: "1" }, { position: -1 }, { position: 1.5 }, { position: 2 ** 53 }, { heartbeat_ms: null }, { stream: 1 }, { stream: null }]
      .map((member) => JSON.stringify({ ...ready, ...member })),
    JSON.stringify({ type: "logout", id: "n", scope: "session", reason: ["admin"], at: "now" }),
  ];
  for (const frame of bad) assert.equal(protocol.decode(frame), undefined, String(frame));
  assert.ok(protocol.decode(JSON.stringify(ready)));
});

test("a reason that a newer server sends is read", () => {
  assert.equal(protocol.decode('{"type":"logout","id":"n","scope":"galaxy","reason":"tides","at":"2026-03-01T09:30:00.000Z"}').reason, "tides");
});

test("the close codes mean what the table says", () => {
  const codes = JSON.parse(text(new URL("testdata/close_codes.json", tab)));
  const constants = Object.fromEntries(Object.entries(protocol).filter(([name]) => name.startsWith("CLOSE_")));
  assert.deepEqual(constants, Object.fromEntries(codes.map((c) => ["CLOSE_" + c.name.toUpperCase(), c.code])));
  for (const { code, name, terminal } of codes) {
    const want = code === 4503 ? "ticket" : terminal ? "over" : "retry";
    assert.equal(protocol.meaning(code).then, want, name);
  }
});

test("codes that the table doesn't have go by their range", () => {
  const cases = [
    [1006, "retry"], [1005, "retry"], [1001, "retry"], [3000, "retry"], [4000, "retry"], [4499, "retry"], [4500, "over"], [4502, "over"], [4999, "over"],
  ];
  for (const [code, want] of cases) assert.deepEqual(protocol.meaning(code, "{}"), { then: want }, String(code));
});

test("1012 says when to come back", () => {
  const retry = { then: "retry" };
  const cases = [
    ['{"retry_ms":1500}', { then: "return", afterMs: 1500 }], ['{"retry_ms":0}', { then: "return", afterMs: 0 }],
    ['{"retry_ms":1e300}', { then: "return", afterMs: 300_000 }], ['{"retry_ms":-1}', retry], ['{"retry_ms":"1"}', retry], ["null", retry], ["soon", retry], ["", retry],
  ];
  for (const [reason, want] of cases) assert.deepEqual(protocol.meaning(1012, reason), want, reason);
  assert.deepEqual(protocol.meaning(1013, '{"retry_ms":1500}'), retry, "and no other code");
});

test("a tab offers what tab.go reads", () => {
  const go = text(new URL("tab.go", tab));
  const constant = (name) => go.match(new RegExp(`^(?:const |\\s)${name}\\s+= "([^"]+)"$`, "m"))[1];
  assert.equal(protocol.SUBPROTOCOL, constant("Subprotocol"));
  assert.deepEqual(protocol.offers("t", { after: "n-1", position: 7 }), [
    constant("Subprotocol"), constant("OfferTicket") + "t", constant("OfferAfter") + "n-1", constant("OfferPosition") + "7",
  ]);
  assert.deepEqual(protocol.offers("t", { position: 0 }), ["curfew.v1", "ticket.t"]);
  assert.deepEqual(protocol.offers("t", { after: "not a token" }), ["curfew.v1", "ticket.t"]);
});
