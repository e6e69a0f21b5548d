import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { runInNewContext } from "node:vm";
import { clearSiteData } from "../dist/server.js";

test("trap 36: the headers of an answer to a logout", () => {
  assert.deepEqual(clearSiteData(), { "Clear-Site-Data": '"cache", "storage"', "Cache-Control": "no-store" });
  assert.deepEqual(clearSiteData({ storage: false }), { "Clear-Site-Data": '"cache"', "Cache-Control": "no-store" });
  assert.equal(new Response(null, { headers: clearSiteData() }).headers.get("clear-site-data"), '"cache", "storage"');
});

test("it needs nothing of Node or of a browser", () => {
  const bare = runInNewContext(`(${clearSiteData})`, Object.create(null));
  assert.equal(JSON.stringify(bare()), JSON.stringify(clearSiteData()));
});

test("every entry can be loaded where there is no browser, as when a page is rendered on a server", async () => {
  const { exports } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));
  for (const name of Object.keys(exports)) assert.ok(Object.keys(await import("@curfew/browser" + name.slice(1))).length > 0, name);
});
