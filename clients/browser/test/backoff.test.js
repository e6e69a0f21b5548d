import assert from "node:assert/strict";
import { test } from "node:test";
import { Backoff } from "../dist/backoff.js";

test("up to half a second, then twice as long each time, up to thirty seconds", () => {
  const most = new Backoff(() => 1);
  assert.deepEqual(Array.from({ length: 9 }, () => most.next()), [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]);
  for (let i = 0; i < 2000; i++) most.next();
  assert.equal(most.next(), 30_000, "also after a night");
  most.reset();
  assert.equal(most.next(), 500);
  assert.equal(new Backoff(() => 0).next(), 0, "full jitter begins at nothing");
  for (let i = 0; i < 100; i++) assert.ok(new Backoff().next() < 500);
});
