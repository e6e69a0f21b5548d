import assert from "node:assert/strict";

/** How long what takes moments may take on a busy machine. */
export const DEADLINE = 20_000;

/** until waits for what is true sooner or later, and returns what it was then. */
export async function until(what, isSo, within = DEADLINE) {
  const end = performance.now() + within;
  for (;;) {
    const is = await isSo();
    if (is) return is;
    assert.ok(performance.now() < end, `it never came to be that ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** holds watches for what must not happen: it fails if it isn't so at any time within ms. */
export async function holds(what, isSo, ms) {
  const end = performance.now() + ms;
  while (performance.now() < end) {
    assert.ok(await isSo(), `it ceased to be that ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
