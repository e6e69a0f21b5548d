// Debian's Chromium, with its back-forward cache, which playwright would turn off.
import { chromium } from "playwright-core";

import { DEADLINE } from "./until.mjs";

const password = "correct-horse";

export const launch = () => chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  ignoreDefaultArgs: ["--disable-back-forward-cache"],
  args: [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--enable-features=BackForwardCache",
  ],
});

/** tab opens a page of the application, and keeps what its console has complained of in `complaints`. */
export async function tab(context, app, path = "/sessions") {
  const page = await context.newPage();
  page.setDefaultTimeout(DEADLINE);
  page.complaints = [];
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && page.complaints.push(message.text()));
  page.on("pageerror", (error) => page.complaints.push(String(error)));
  page.conns = new Set();
  page.on("websocket", (socket) => {
    if (!socket.url().includes("/v1/connect")) return;
    page.conns.add(socket);
    socket.on("close", () => page.conns.delete(socket));
  });
  await page.goto(app.url + path);
  return page;
}

/** signIn fills in the form of the page, as a person does, and waits for the page that it leads to. */
export async function signIn(page, name, heading = "Devices and sessions") {
  await page.getByLabel("Name").fill(name);
  await page.getByLabel("Password").fill(password);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("heading", { name: heading }).waitFor();
}

/** left waits until a page has been signed out and told why, goes on from there, and returns the reason. */
export async function left(page) {
  const again = page.getByRole("button", { name: "Sign in again" });
  await again.or(page.getByRole("heading", { name: "Sign in" })).first().waitFor();
  if (await again.isVisible()) await again.click();
  await page.waitForURL(/\/signin/);
  return new URL(page.url()).searchParams.get("reason");
}

/** copied returns what a thief has who has copied a browser's cookies. */
export async function copied(context, app) {
  const cookies = await context.cookies();
  const cookie = cookies.map(({ name, value }) => `${name}=${value}`).join("; ");
  return (path, init = {}) => fetch(app.url + path, { redirect: "manual", ...init, headers: { ...init.headers, cookie } });
}

/** session returns who the application says that a page is. */
export const session = (page) => page.evaluate(async () => (await fetch("/api/auth/session", { cache: "no-store" })).json());

/** sessionCookie returns the value of the browser's session cookie, if it has one. */
export const sessionCookie = async (context) => (await context.cookies()).find(({ name }) => name.includes("session-token"))?.value;
