// A page hears of the end of its session: from a real gateway, in a real browser.

import assert from "node:assert/strict";
import { test } from "node:test";
import { becomes, leaves, tab } from "./fixture/browser.js";
import { stand } from "./fixture/stand.js";
import { until } from "./fixture/until.js";

const { app, curfew, newContext } = await stand();

test("a tab is told, asks its application, and leaves", async (t) => {
  const context = await newContext(t);
  const { user, sid } = await app.signedIn(context, "ada");
  const page = await tab(context, app);
  await becomes(page, "ready");
  const before = await curfew.acks();
  await curfew.revoke(user, sid, { reason: "password_changed" });
  assert.equal(await leaves(page), "password_changed");
  await until("it is acknowledged", async () => (await curfew.acks()).signed_out === (before.signed_out ?? 0) + 1);
});
