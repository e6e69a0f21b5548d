// The service behind the application: it believes the application and no header, and refuses a session that is over from its own memory.
import assert from "node:assert/strict";
import { test } from "node:test";

import { left, session, tab } from "./rig/browser.mjs";
import { stand } from "./rig/stand.mjs";
import { until } from "./rig/until.mjs";

const { app, newContext, device } = stand();

async function claimsOf(page, sub) {
  const { sid } = await session(page);
  const { auth_time } = await app.call("GET", `/v1/sessions/${sid}`);
  return { sub, sid, auth_time_ms: Date.parse(auth_time) };
}

test("notes are kept for whoever is signed in, and for nobody else", async (t) => {
  const { page } = await device(t, "ada");
  await page.getByRole("link", { name: "Notes" }).click();
  await page.getByLabel("New note").fill("the engine weaves");
  await page.getByRole("button", { name: "Keep" }).click();
  await page.getByText("It is kept.").waitFor();
  await page.reload();
  await page.getByRole("listitem").getByText("the engine weaves").waitFor();
  const other = await device(t, "grace");
  await other.page.getByRole("link", { name: "Notes" }).click();
  await other.page.getByText("There is none yet.").waitFor();
});

test("X-User-ID and X-Session-ID of anybody else are refused, with a token and without", async (t) => {
  const { page } = await device(t, "grace");
  const claims = await claimsOf(page, "grace");
  assert.equal((await app.notes(claims)).status, 200);
  const status = async (...call) => (await app.notes(...call)).status;
  assert.equal(await status(claims, { "X-User-ID": "ada" }), 401);
  assert.equal(await status(claims, { "X-Session-ID": "another" }), 401);
  assert.equal(await status(claims, { Authorization: "" }), 401);
  assert.equal(await status(claims, { Authorization: `Bearer ${app.token({ ...claims, aud: "demobackend-chat" })}` }), 401, "the chat's token");
  assert.equal(await status(claims, { Authorization: `Bearer ${app.token({ ...claims, exp: Math.floor(Date.now() / 1000) - 60 })}` }), 401, "an old token");
  const [head, body, signature] = app.token(claims).split(".");
  const forged = Buffer.from(JSON.stringify({ ...JSON.parse(Buffer.from(body, "base64url")), sub: "ada" })).toString("base64url");
  assert.equal(await status({ ...claims, sub: "ada" }, { Authorization: `Bearer ${head}.${forged}.${signature}` }), 401, "a forged token");
});

test("the chat of two people: one's session ends, and the conn is cut and says why; the other one goes on", async (t) => {
  const ada = await device(t, "ada");
  const grace = await device(t, "grace");
  for (const { page } of [ada, grace]) {
    await page.getByRole("link", { name: "Chat" }).click();
    await page.getByText("Connected.").waitFor();
  }
  const say = async (page, text) => {
    await page.getByLabel("Message", { exact: true }).fill(text);
    await page.getByRole("button", { name: "Send" }).click();
  };
  await say(ada.page, "good evening");
  await grace.page.getByRole("log").getByText("good evening").waitFor();
  await app.revoke("ada", "admin");
  await ada.page.getByText("The chat was cut: this session is over.").waitFor({ state: "attached" });
  await say(grace.page, "is anybody there?");
  await grace.page.getByRole("log").getByText("is anybody there?").waitFor();
  assert.equal(await ada.page.getByText("is anybody there?").count(), 0);
  await left(ada.page);
});

test("a chat's token is good once, from a page of the application, and for a session that goes on", async (t) => {
  const { page } = await device(t, "linus");
  const opens = (at, token) => at.evaluate(
    ([url, offered]) => new Promise((resolve) => {
      const socket = new WebSocket(url, ["chat.v1", `token.${offered}`]);
      socket.onopen = () => resolve("open");
      socket.onclose = ({ code }) => resolve(code);
    }),
    [app.chat.replace("127.0.0.1", "localhost"), token],
  );
  const mint = () => page.evaluate(async () => (await (await fetch("/api/chat-token", { method: "POST" })).json()).token);
  const token = await mint();
  assert.equal(await opens(page, token), "open");
  assert.equal(await opens(page, token), 1006, "used before");
  const kept = await mint();
  const evil = await tab(await newContext(t), { url: app.network.url }, "/");
  assert.equal(await opens(evil, kept), 1006, "another origin");
  const claims = await claimsOf(page, "linus");
  await app.revoke("linus", "admin");
  await until("the backend has heard", async () => (await app.notes(claims)).status === 401);
  await left(page);
  assert.equal(await opens(page, kept), 1006, "the session is over");
});
