import { once } from "node:events";
import { createServer } from "node:net";

async function isFree(port) {
  const probe = createServer();
  const listening = new Promise((resolve) => probe.once("listening", () => resolve(true)).once("error", () => resolve(false)));
  probe.listen(port, "127.0.0.1");
  if (!(await listening)) return false;
  probe.close();
  await once(probe, "close");
  return true;
}

/** freePorts returns the first of so many ports in a row that nobody listens on. */
export async function freePorts(count = 1) {
  for (;;) {
    const first = 20_000 + Math.floor(Math.random() * 12_000);
    const free = await Promise.all(Array.from({ length: count }, (_, i) => isFree(first + i)));
    if (free.every(Boolean)) return first;
  }
}
