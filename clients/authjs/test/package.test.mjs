// What is published: nothing of Node's in what runs on the edge, no dependencies, and no side effects.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import vm from "node:vm";

const dist = new URL("../dist/", import.meta.url);
const manifest = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));
const frameworks = ["@auth/core", "@auth/core/jwt", "better-auth", "better-auth/api", "next-auth", "next-auth/jwt"];

const modules = readdirSync(dist).filter((file) => file.endsWith(".js"));
const source = (file) => readFileSync(new URL(file, dist), "utf8");
const imported = (file) => [...source(file).matchAll(/(?:from|import)\s*\(?\s*"([^"]+)"/g)].map((match) => match[1]);

test("only ./node imports what is Node's, and nothing that runs on the edge reaches it", () => {
  assert.ok(modules.length > 20);
  for (const file of modules) {
    for (const from of imported(file)) {
      const allowed = from.startsWith("./") ? from !== "./node.js" : frameworks.includes(from) || (file === "node.js" && from.startsWith("node:"));
      assert.ok(allowed, `${file} imports ${from}`);
    }
    if (file !== "node.js") assert.doesNotMatch(source(file), /\bprocess\.\w|\bBuffer\b|\brequire\(|setImmediate|__dirname/, file);
  }
});

test("the core needs no framework, and each entry only its own", () => {
  const reached = (file, seen = new Set()) => {
    if (seen.has(file)) return seen;
    seen.add(file);
    for (const from of imported(file)) if (from.startsWith("./")) reached(from.slice(2), seen);
      else seen.add(from);
    return seen;
  };
  const outside = (file) => [...reached(file)].filter((name) => !name.endsWith(".js")).sort();
  assert.deepEqual(outside("index.js"), []);
  assert.deepEqual(outside("authjs.js"), ["@auth/core/jwt"]);
  assert.deepEqual(outside("next-auth4.js"), ["next-auth/jwt"]);
  assert.deepEqual(outside("better-auth.js"), ["better-auth/api"]);
});

test("nothing happens on import, and there is nothing to install", () => {
  assert.equal(manifest.sideEffects, false);
  assert.equal(manifest.dependencies, undefined);
  for (const file of modules) {
    const calls = source(file).split("\n").filter((line) => /^[a-zA-Z_$.]+\(/.test(line));
    assert.deepEqual(calls, [], file);
  }
});

test("every entry has its module and its types", () => {
  for (const [entry, { types, default: module }] of Object.entries(manifest.exports)) {
    for (const path of [types, module]) assert.ok(readFileSync(new URL(`../${path}`, import.meta.url), "utf8").length > 0, entry);
  }
});

test("the core runs where there is nothing but what an edge has", async () => {
  const sandbox = {
    fetch: async () => new Response('{"state":"revoked","reason":"admin"}'), Response, Request, Headers, URL, URLSearchParams, AbortController, AbortSignal, ReadableStream, TextEncoder, TextDecoder,
    crypto, performance, setTimeout, clearTimeout, setInterval, clearInterval, console, Promise, Symbol,
  };
  const context = vm.createContext(sandbox);
  // Linked by hand, without Node's loader: whatever the core imports must be here.
  const linked = new Map();
  const load = (file) => {
    if (!linked.has(file)) linked.set(file, new vm.SourceTextModule(source(file), { context, identifier: file }));
    return linked.get(file);
  };
  const core = load("index.js");
  await core.link((from) => load(from.slice(2)));
  await core.evaluate();
  const { curfew } = core.namespace;
  const server = curfew({ url: "https://curfew.example.com", apiKey: "cfw_key" });
  assert.equal(JSON.stringify(await server.check({ session: "s", user: "u", authTimeMs: 5 })), '{"state":"revoked","reason":"admin"}');
  await server.close();
});
