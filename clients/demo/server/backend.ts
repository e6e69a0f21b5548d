import { createHmac, randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";

import { curfew, type SessionIdentity } from "@curfew/authjs";
import type { Session } from "next-auth";

import { options } from "../auth";

/** How long a token is good for: the time that a call, or the opening of a conn, may take. */
const goodForSeconds = 30;

let secret: Buffer | undefined;

/** Signs for whom a call is made: the backend believes no header by itself. */
function token(audience: "demobackend" | "demobackend-chat", { user, session, authTimeMs }: SessionIdentity): string {
  secret ??= Buffer.from(readFileSync(process.env.BACKEND_KEY_FILE!, "utf8").trimEnd());
  const now = Math.floor(Date.now() / 1000);
  const claims = { aud: audience, sub: user, sid: session, auth_time_ms: authTimeMs, iat: now, exp: now + goodForSeconds, jti: randomUUID() };
  const signed = [{ alg: "HS256", typ: "JWT" }, claims].map((part) => Buffer.from(JSON.stringify(part)).toString("base64url")).join(".");
  return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`;
}

/** Returns a token with which a page of this session opens the chat, once. */
export function chatToken(session: Session): string {
  return token("demobackend-chat", curfew(options).identity(session));
}

/** Calls the backend for somebody. With a position, the backend waits until it knows of everything up to there. */
export function callBackend(caller: SessionIdentity, path: string, { position, ...init }: RequestInit & { position?: number } = {}): Promise<Response> {
  const headers: Record<string, string> = {
    Authorization: `Bearer ${token("demobackend", caller)}`,
    "X-User-ID": caller.user ?? "",
    "X-Session-ID": caller.session,
  };
  if (init.body) headers["Content-Type"] = "application/json";
  if (position !== undefined) headers["Curfew-Position"] = String(position);
  return fetch(process.env.BACKEND_URL + path, { ...init, headers, cache: "no-store", redirect: "manual", signal: init.signal ?? AbortSignal.timeout(3000) });
}
