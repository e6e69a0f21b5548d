import { after, before } from "node:test";

import { launch, signIn, tab } from "./browser.mjs";
import { Deployment } from "./deployment.mjs";

/**
 * stand starts the whole, with options of the script, and a browser, for all tests of a file; unless it is told otherwise, in a way that nobody is idle. newContext is a browser
 * of somebody's own, and device one in which somebody signs in.
 */
export function stand(options = ["--idle-timeout", "60m"]) {
  const app = new Deployment(options);
  let browser;
  before(async () => {
    await app.start();
    browser = await launch();
  });
  after(async () => {
    await browser?.close();
    await app.stop();
  });
  const newContext = async (t, options) => {
    const context = await browser.newContext(options);
    t.after(() => context.close());
    return context;
  };
  const device = async (t, name, options) => {
    const context = await newContext(t, options);
    const page = await tab(context, app);
    await signIn(page, name);
    return { context, page };
  };
  return { app, newContext, device };
}
