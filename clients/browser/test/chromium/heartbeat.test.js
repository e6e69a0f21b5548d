// A real gateway with short heartbeats: a conn that is alive is kept, and one that has fallen silent is left, over both transports.

import assert from "node:assert/strict";
import { test } from "node:test";
import { becomes, leaves, seen, state, tab } from "./fixture/browser.js";
import { stand } from "./fixture/stand.js";
import { holds, until } from "./fixture/until.js";

const { app, curfew, newContext } = await stand(["--heartbeat", "1s"]);

for (const transport of ["websocket", "sse"]) {
  test(`${transport}: a conn on which nothing but heartbeats comes is kept, one that falls silent is left, and what was missed is told`, async (t) => {
    curfew.refusesUpgrades = transport === "sse";
    const context = await newContext(t);
    const user = "quiet-" + transport;
    const session = await app.signedIn(context, user);
    const page = await tab(context, app);
    await becomes(page, "ready");
    const [{ since, transport: used }] = await curfew.tabs(user);
    assert.equal(used, transport);
    const states = (await seen(page)).states.length;
    await holds("it is kept", async () => await state(page) === "ready", 6_000);
    assert.equal((await seen(page)).states.length, states);
    assert.deepEqual((await curfew.tabs(user)).map((c) => c.since), [since]);

    curfew.hush();
    const silent = performance.now();
    await becomes(page, "connecting");
    t.diagnostic(`left after ${Math.round(performance.now() - silent)} ms of silence`);
    await becomes(page, "ready");
    curfew.hush();
    await curfew.revoke(user, session.sid, { reason: "policy" });
    assert.match(String(await leaves(page)), /policy|null/);
  });
}
