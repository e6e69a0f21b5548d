import assert from "node:assert/strict";
import { test } from "node:test";
import { message } from "../dist/message.js";

const expiring = { type: "session_expiring", reason: "idle_timeout", at: "2026-03-01T09:30:00.000Z", in_ms: 1 };
const notice = { type: "logout", id: "n", scope: "user", reason: "admin", at: "2026-03-01T09:30:00.000Z" };

test("messages of tabs", () => {
  for (const m of [
    { type: "ask" }, { type: "signing_out" }, { type: "here", memory: {}, touched: 0 }, { type: "here", memory: { position: 3, after: "n", streams: true }, touched: 9, expiring },
    { type: "ended" }, { type: "ended", notice }, { type: "frame", frame: expiring }, { type: "session" }, { type: "session", session: "s" }, { type: "input", at: 5 },
  ]) assert.deepEqual(message(m), m);
  assert.deepEqual(message({ type: "ask", more: 1 }), { type: "ask", more: 1 }, "of a newer version");
});

test("what is none", () => {
  for (const m of [
    undefined, null, 0, "ask", [], {}, { type: "asks" }, { type: "hasOwnProperty" }, { type: "here" }, { type: "here", touched: 0 }, { type: "here", memory: null, touched: 0 }, { type: ["ask"], }, { type: "here", memory: {}, touched: -1 }, { type: "here", memory: { position: "3" }, touched: 0 },
    { type: "here", memory: { after: 3 }, touched: 0 }, { type: "here", memory: {}, touched: 0, expiring: notice }, { type: "ended", notice: expiring }, { type: "ended", notice: {} },
    { type: "ended", notice: null }, { type: "frame" }, { type: "frame", frame: {} }, { type: "session", session: 1 }, { type: "input" }, { type: "input", at: 1.5 }, { type: "input", at: Infinity },
  ]) assert.equal(message(m), undefined, JSON.stringify(m));
});
