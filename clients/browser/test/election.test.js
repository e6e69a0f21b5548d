import assert from "node:assert/strict";
import { test } from "node:test";
import { elect } from "../dist/election.js";

// after returns where a tab stands after what has happened, and what it did about the last of it.
function after(visible, ...happenings) {
  let role = "stopped";
  let deeds = [];
  for (const h of happenings) {
    if (h === "shown" || h === "hidden") visible = h === "shown";
    [role, ...deeds] = elect(role, visible, h);
  }
  return { role, deeds };
}

test("who leads, and what a tab does about it", () => {
  const [stopped, following, leading] = ["stopped", "following", "leading"];
  const cases = [
    ["a tab that starts waits for the lock and looks for the leader", true, ["start"], following, ["follow", "request", "ask"]],
    ["one that nobody looks at doesn't look", false, ["start"], following, ["follow", "request"]],
    ["whoever has the lock leads", true, ["start", "granted"], leading, ["calm", "lead"]],
    ["a leader that answers is asked again later", true, ["start", "heard"], following, ["calm", "later"]],
    ["and again", true, ["start", "heard", "due"], following, ["ask"]],
    ["a leader that is silent is replaced", true, ["start", "silent"], following, ["calm", "steal"]],
    ["but not by a tab that nobody looks at", false, ["start", "silent"], following, ["calm"]],
    ["nor by one that was hidden meanwhile", true, ["start", "hidden", "silent"], following, ["calm"]],
    ["a tab that is shown looks at once", false, ["start", "shown"], following, ["ask"]],
    ["one that is hidden looks no longer", true, ["start", "heard", "hidden"], following, ["calm"]],
    ["a leader that was robbed follows", true, ["start", "granted", "robbed"], following, ["follow", "request", "ask"]],
    ["a leader doesn't heed others", true, ["start", "granted", "heard"], leading, []],
    ["a leader isn't silent to itself", true, ["start", "granted", "silent"], leading, []],
    ["a leader that is hidden goes on", true, ["start", "granted", "hidden"], leading, []],
    ["whoever follows and stops waits no longer", true, ["start", "stop"], stopped, ["follow", "calm", "release"]],
    ["a leader that stops gives the lock back", true, ["start", "granted", "stop"], stopped, ["follow", "calm", "release"]],
    ["nothing happens to a tab that has stopped", true, ["start", "stop", "silent"], stopped, []],
    ["it has no lock to be robbed of", true, ["start", "granted", "stop", "robbed"], stopped, []],
    ["it can start again", true, ["start", "granted", "stop", "start"], following, ["follow", "request", "ask"]],
    ["starting twice is starting once", true, ["start", "start"], following, []],
  ];
  for (const [name, visible, happenings, role, deeds] of cases) {
    const got = after(visible, ...happenings);
    assert.deepEqual([got.role, got.deeds], [role, deeds], name);
  }
});

test("whatever happens, a tab that leads has been granted the lock since it last started or was robbed", () => {
  const all = ["start", "stop", "granted", "robbed", "shown", "hidden", "heard", "due", "silent"];
  let seed = 1;
  const random = () => (seed = (seed * 48271) % 2147483647) / 2147483647;
  for (let run = 0; run < 500; run++) {
    let [role, visible, leads] = ["stopped", random() < 0.5, false]; // leads is what the deeds say
    for (let step = 0; step < 40; step++) {
      const happening = all[Math.floor(random() * all.length)];
      if (happening === "shown" || happening === "hidden") visible = happening === "shown";
      const [next, ...deeds] = elect(role, visible, happening);
      for (const deed of deeds) if (deed === "lead" || deed === "follow") leads = deed === "lead";
      if (role !== "leading" && next === "leading") assert.equal(happening, "granted");
      assert.equal(leads, next === "leading", `after ${happening} while ${role}`);
      if (deeds.includes("steal")) assert.ok(visible && happening === "silent" && role === "following");
      role = next;
    }
  }
});
