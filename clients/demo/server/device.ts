import { cookies } from "next/headers";

const cookie = "device";
const maxAge = 400 * 24 * 3600;

/** Gives this browser an id that it keeps across sessions, if it has none. It is no secret, and lets nobody in. */
export async function rememberDevice(): Promise<void> {
  const jar = await cookies();
  if (uuid.test(jar.get(cookie)?.value ?? "")) return;
  jar.set(cookie, crypto.randomUUID(), { httpOnly: true, sameSite: "lax", path: "/", maxAge });
}

/** Returns this browser's id. */
export async function currentDevice(): Promise<string | undefined> {
  const value = (await cookies()).get(cookie)?.value;
  return value && uuid.test(value) ? value : undefined;
}

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
