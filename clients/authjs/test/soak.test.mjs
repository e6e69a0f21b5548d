// Two instances of an application, one that asks and one that follows, while sessions are ended and the server is frozen and killed at random. A session whose end
// was acknowledged passes nowhere for longer than two seconds, and one that wasn't ended is there when the server is.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { Browser } from "./rig/browser.mjs";
import { instance } from "./rig/processes.mjs";
import { generator } from "./rig/random.mjs";
import { Server, until } from "./rig/server.mjs";

const seed = Number(process.env.SEED ?? Date.now() % 1e9);
const soakMs = Number(process.env.SOAK_MS ?? 20000);
/** What a copy may live on after the acknowledgement, and what measuring it takes. */
const boundMs = 2000;
const slackMs = 150;

const random = generator(seed);
let server;
const instances = [];
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

before(async () => {
  server = await Server.start();
  for (const more of [{}, { sync: "stream", stalenessBudgetMs: boundMs }]) {
    const one = await instance({ url: server.url, apiKey: await server.key(), maxStaleMs: boundMs, ...more });
    instances.push(one);
    await new Browser(one.url).get("/ready");
  }
});

after(async () => {
  server?.thaw();
  for (const one of instances) await one.kill();
  await server?.stop();
});

test(`ended sessions pass nowhere after two seconds, others stay, whatever the server does (seed ${seed})`, async () => {
  const end = Date.now() + soakMs;
  /** Sessions: who, the cookie, and when its end was acknowledged. */
  const sessions = [];
  const seen = { passed: 0, refused: 0, late: [] };

  const signIn = async (name) => {
    const browser = await new Browser(instances[random(2)].url).signIn(name);
    const { sid } = await browser.session();
    if (sid) sessions.push({ name, sid, jar: browser.jar, ended: undefined });
  };
  for (let i = 0; i < 12; i++) await signIn(`soak-${i % 4}`);

  const reader = async () => {
    while (Date.now() < end) {
      const one = sessions[random(sessions.length)];
      const at = random(2);
      const begun = Date.now();
      const copy = new Browser(instances[at].url, { jar: new Map(one.jar) });
      const { status } = await copy.get("/api/me");
      if (status !== 200) seen.refused++;
      else if (one.ended !== undefined && begun > one.ended + boundMs + slackMs) seen.late.push({ instance: at, afterMs: begun - one.ended, sid: one.sid });
      else seen.passed++;
      await sleep(random(20));
    }
  };

  /** endOne ends a session, or a user's, by the API. What isn't acknowledged isn't counted as ended. */
  const endOne = async () => {
    const alive = sessions.filter(({ ended }) => ended === undefined);
    if (alive.length < 4) return;
    const one = alive[random(alive.length)];
    const wide = random(4) === 0;
    const asked = wide ? { scope: "user", user: `u-${one.name}` } : { scope: "session", session: one.sid };
    const reached = alive.filter(({ name, sid }) => (wide ? name === one.name : sid === one.sid));
    const got = await server.call("POST", "/v1/revocations", asked).catch(() => ({ status: 0 }));
    for (const each of reached) each.ended = got.status === 200 ? Date.now() : Infinity; // Infinity: nobody can say
  };

  const ender = async () => {
    while (Date.now() < end) {
      await sleep(300 + random(700));
      await endOne();
    }
  };

  const breaker = async () => {
    while (Date.now() < end - 3000) {
      await sleep(500 + random(1500));
      // Right behind an acknowledgement, and for longer than anything may be believed.
      await endOne();
      const awayMs = random(2 * boundMs);
      if (random(2) === 0) {
        await server.freeze();
        await sleep(awayMs);
        server.thaw();
      } else {
        await server.kill();
        await sleep(awayMs);
        await server.run();
      }
      for (let i = 0; i < 3; i++) await signIn(`soak-${random(4)}`).catch(() => {});
    }
  };

  await Promise.all([reader(), reader(), reader(), reader(), ender(), breaker()]);
  assert.deepEqual(seen.late, [], `seed ${seed}`);
  assert.ok(seen.passed > 50 && seen.refused > 50, JSON.stringify(seen));
  await server.fresh();
  for (const one of sessions) {
    if (one.ended === Infinity) continue;
    for (const { url } of instances) {
      const want = one.ended === undefined ? 200 : 401;
      await until(`seed ${seed}: ${one.name} is ${want}`, async () => (await new Browser(url, { jar: new Map(one.jar) }).get("/api/me")).status === want, 10000);
    }
  }
});
