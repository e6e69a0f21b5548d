import { createHash, timingSafeEqual } from "node:crypto";

/** Everybody who can sign in. */
const people: Record<string, string> = { ada: "Ada Lovelace", grace: "Grace Hopper", linus: "Linus Torvalds" };

/** Everybody's password. It is written on the sign-in page: this application guards nothing, and listens on loopback. */
export const demoPassword = "correct-horse";

const digest = (text: string) => createHash("sha256").update(text).digest();

/** Returns who a name and a password belong to, or null. */
export function personBy(name: unknown, password: unknown): { id: string; name: string } | null {
  if (typeof name !== "string" || typeof password !== "string") return null;
  const right = timingSafeEqual(digest(password), digest(demoPassword));
  const id = name.trim().toLowerCase();
  const known = Object.hasOwn(people, id) ? people[id] : undefined;
  return right && known ? { id, name: known } : null;
}
