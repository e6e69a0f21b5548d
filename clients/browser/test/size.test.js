// What an application adds to its pages: bundled, minified and compressed as servers do.

import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const MOST_BYTES = 6 * 1024;

test("the main entry is at most 6 KB, and its dialogs come later", async (t) => {
  const outdir = mkdtempSync(join(tmpdir(), "curfew-size-"));
  t.after(() => rmSync(outdir, { recursive: true }));
  await build({
    entryPoints: [new URL("../dist/index.js", import.meta.url).pathname],
    bundle: true, minify: true, splitting: true, format: "esm", target: "es2022", outdir,
  });
  const sizes = Object.fromEntries(readdirSync(outdir).map((name) => [name, gzipSync(readFileSync(join(outdir, name)), { level: 9 }).length]));
  const total = Object.values(sizes).reduce((a, b) => a + b, 0);
  t.diagnostic(`${sizes["index.js"]} bytes, ${total - sizes["index.js"]} more with the dialogs, ${total} in all`);
  assert.ok(sizes["index.js"] <= MOST_BYTES, `${sizes["index.js"]} bytes are more than ${MOST_BYTES}`);
});

test("nothing is left of what isn't used", async () => {
  const { outputFiles: [{ text }] } = await build({
    stdin: { contents: 'import "./dist/index.js"; import { clearSiteData } from "./dist/server.js"; console.log(clearSiteData());', resolveDir: new URL("..", import.meta.url).pathname },
    bundle: true, minify: true, format: "esm", write: false, logLevel: "error",
  });
  assert.ok(text.length < 300, `${text.length} bytes`);
});

test("the package depends on nothing", () => {
  const { dependencies, sideEffects, peerDependencies } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));
  assert.deepEqual([dependencies, sideEffects, peerDependencies], [undefined, false, { react: "^18.2 || ^19" }]);
});
