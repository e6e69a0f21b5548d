import { isUnavailable } from "@curfew/authjs";
import { type NextFetchEvent, type NextRequest, NextResponse } from "next/server";

import { rawAuth } from "./auth";
import { contentSecurityPolicy } from "./server/policy";
import { unavailablePage } from "./server/unavailable";

/** Anybody may see it. The cookie isn't looked at there: Auth.js sets it anew with each answer, and at a sign-in that would compete with the new one. */
const open = "/signin";
/** Where pages lead that learn of it after this. */
const unavailablePath = "/unavailable";

const guarded = rawAuth((request) => {
  // Not "nobody": the cookie is kept, and they are let in again once that can be told.
  if (isUnavailable(request.auth)) return unavailable();
  if (!request.auth) return NextResponse.redirect(new URL(`/signin?from=${encodeURIComponent(request.nextUrl.pathname)}`, request.nextUrl));
  if (request.nextUrl.pathname === unavailablePath) return NextResponse.redirect(new URL("/sessions", request.nextUrl));
  return page(request);
});

export default function proxy(request: NextRequest, event: NextFetchEvent) {
  if (request.nextUrl.pathname === open) return page(request);
  return guarded(request, event as never);
}

// The API's routes check their callers themselves.
export const config = { matcher: "/((?!api/|_next/static/|icon.svg).*)" };

/** Lets a page through, with a policy that only its own scripts have the word for. */
function page(request: NextRequest): NextResponse {
  const policy = contentSecurityPolicy(newNonce());
  // Next finds the word for its scripts in the policy of the request.
  const headers = new Headers(request.headers);
  headers.set("Content-Security-Policy", policy);
  return secured(NextResponse.next({ request: { headers } }), policy);
}

function unavailable(): NextResponse {
  const nonce = newNonce();
  const response = new NextResponse(unavailablePage(nonce), { status: 503, headers: { "Content-Type": "text/html; charset=utf-8", "Retry-After": "2" } });
  return secured(response, contentSecurityPolicy(nonce));
}

const newNonce = () => Buffer.from(crypto.getRandomValues(new Uint8Array(16))).toString("base64");

function secured(response: NextResponse, policy: string): NextResponse {
  response.headers.set("Content-Security-Policy", policy);
  response.headers.set("Cache-Control", "no-store");
  response.headers.set("Referrer-Policy", "same-origin");
  response.headers.set("X-Content-Type-Options", "nosniff");
  return response;
}
