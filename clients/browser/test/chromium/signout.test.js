// A page hears of the end of its session: from a real gateway, in a real browser.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Application } from "./fixture/application.js";
import { becomes, launch, leaves, tab } from "./fixture/browser.js";
import { Curfew } from "./fixture/curfew.js";
import { until } from "./fixture/until.js";

const app = await new Application().start();
const curfew = new Curfew();
let browser;

before(async () => {
  [browser] = await Promise.all([launch(), curfew.start([app.url])]);
  app.use(curfew);
});
after(async () => {
  await browser?.close();
  await Promise.all([app.stop(), curfew.stop()]);
});

test("a tab is told, asks its application, and leaves", async (t) => {
  const context = await browser.newContext();
  t.after(() => context.close());
  const { user, sid } = await app.signedIn(context, "ada");
  const page = await tab(context, app);
  await becomes(page, "ready");
  const before = await curfew.acks();
  await curfew.revoke(user, sid, { reason: "password_changed" });
  assert.equal(await leaves(page), "password_changed");
  await until("it is acknowledged", async () => (await curfew.acks()).signed_out === (before.signed_out ?? 0) + 1);
});
