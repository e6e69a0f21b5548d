// scripts/demo-authjs.sh itself: what it says to mistakes, and that nothing of it is left.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { Deployment, script } from "./rig/deployment.mjs";
import { until } from "./rig/until.mjs";

const run = (...args) => {
  const { status, stdout, stderr } = spawnSync(script, args, { encoding: "utf8" });
  return { status, stdout, stderr };
};

test("mistakes are named with their remedy", () => {
  assert.equal(run("--help").status, 0);
  for (const [args, says] of [
    [["--nonsense"], /there is no option --nonsense/],
    [["--port"], /--port takes a value/],
    [["--port", "http"], /a port is a number/],
    [["--idle-timeout", "2h"], /a time is a number of seconds or minutes, as 90s or 2m, not 2h/],
    [["--idle-timeout", "30s", "--notice", "1m"], /--notice must be shorter than --idle-timeout/],
    [["--origin", "example.com"], /an address is http/],
    [["--no-build"], /--no-build takes the --data-dir/],
    [["--port", "7081"], /two of the ports are the same/],
  ]) {
    const { status, stderr } = run(...args);
    assert.deepEqual([status, says.test(stderr)], [2, true], `${args}: ${stderr.slice(-300)}`);
  }
});

test("a port in use is named, with the way out", async (t) => {
  const taken = createServer().listen(0, "127.0.0.1");
  t.after(() => taken.close());
  await once(taken, "listening");
  const { port } = taken.address();
  const { status, stderr } = run("--port", String(port));
  assert.equal(status, 1);
  assert.match(stderr, new RegExp(`port ${port} is in use; .* choose another with --port`));
});

test("what was never built isn't started", (t) => {
  const dir = mkdtempSync(join(tmpdir(), "curfew-demo-"));
  t.after(() => rmSync(dir, { recursive: true }));
  const { status, stderr } = run("--no-build", "--data-dir", dir, "--port", "23000", "--curfew-port", "23001", "--backend-port", "23010");
  assert.deepEqual([status, /nothing was built before/.test(stderr)], [1, true], stderr);
});

/** listens reports whether anybody answers at a port. */
const listens = (port) => new Promise((resolve) => {
  const socket = connect(port, "127.0.0.1");
  socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
  socket.once("connect", () => socket.destroy());
});

for (const signal of ["SIGINT", "SIGTERM"]) {
  test(`${signal} ends everything that was started, also what is stopped`, async () => {
    const app = await new Deployment().start();
    assert.deepEqual(await Promise.all(app.ports.map(listens)), Array(5).fill(true));
    const pids = ["curfew", "backend", "app"].map((name) => app.pid(name));
    process.kill(pids[1], "SIGSTOP");
    await app.stop(signal);
    assert.equal(app.exitCode, 0);
    for (const pid of pids) assert.throws(() => process.kill(pid, 0), { code: "ESRCH" });
    assert.deepEqual(await Promise.all(app.ports.map(listens)), Array(5).fill(false));
  });
}

test("when one of them ends, the script says so with its log and ends the others", async () => {
  const app = await new Deployment().start();
  const pids = ["curfew", "backend", "app"].map((name) => app.pid(name));
  process.kill(app.pid("backend"), "SIGKILL");
  await until("the script has ended", () => app.process.exitCode !== null);
  assert.equal(app.process.exitCode, 1);
  assert.match(app.output, /demobackend serves .*\n.*backend has ended; above is the end of its log/s);
  for (const pid of pids) assert.throws(() => process.kill(pid, 0), { code: "ESRCH" });
  await app.stop();
});
