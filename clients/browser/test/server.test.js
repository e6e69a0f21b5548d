import assert from "node:assert/strict";
import { test } from "node:test";
import { runInNewContext } from "node:vm";
import { clearSiteData } from "../dist/server.js";

test("the headers of an answer to a logout", () => {
  assert.deepEqual(clearSiteData(), { "Clear-Site-Data": '"cache", "storage"', "Cache-Control": "no-store" });
  assert.deepEqual(clearSiteData({ storage: false }), { "Clear-Site-Data": '"cache"', "Cache-Control": "no-store" });
  assert.equal(new Response(null, { headers: clearSiteData() }).headers.get("clear-site-data"), '"cache", "storage"');
});

test("it needs nothing of Node or of a browser", () => {
  const bare = runInNewContext(`(${clearSiteData})`, Object.create(null));
  assert.equal(JSON.stringify(bare()), JSON.stringify(clearSiteData()));
});
