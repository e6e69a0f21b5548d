import { isUnavailable } from "@curfew/authjs";
import { type NextFetchEvent, type NextRequest, NextResponse } from "next/server";

import { rawAuth } from "./auth";
import { contentSecurityPolicy } from "./server/policy";

/** Pages that anybody may see. The cookie isn't looked at there: Auth.js sets it anew with each answer, and at a sign-in that would compete with the new one. */
const open = new Set(["/signin", "/unavailable"]);

const guarded = rawAuth((request) => {
  // Not "nobody": the cookie is kept, and they are let in again once that can be told.
  if (isUnavailable(request.auth)) return unavailable(request);
  if (!request.auth) return NextResponse.redirect(new URL(`/signin?from=${encodeURIComponent(request.nextUrl.pathname)}`, request.nextUrl));
  return page(request);
});

export default function proxy(request: NextRequest, event: NextFetchEvent) {
  if (open.has(request.nextUrl.pathname)) return page(request);
  return guarded(request, event as never);
}

// The API's routes check their callers themselves.
export const config = { matcher: "/((?!api/|_next/static/|icon.svg).*)" };

/** Lets a page through, with a policy that only its own scripts have the word for. */
function page(request: NextRequest): NextResponse {
  const { headers, policy } = withPolicy(request);
  return secured(NextResponse.next({ request: { headers } }), policy);
}

function unavailable(request: NextRequest): NextResponse {
  const { headers, policy } = withPolicy(request);
  const response = NextResponse.rewrite(new URL("/unavailable", request.nextUrl), { request: { headers }, status: 503 });
  response.headers.set("Retry-After", "2");
  return secured(response, policy);
}

/** Next finds the word for its scripts in the policy of the request. */
function withPolicy(request: NextRequest): { headers: Headers; policy: string } {
  const policy = contentSecurityPolicy(Buffer.from(crypto.getRandomValues(new Uint8Array(16))).toString("base64"));
  const headers = new Headers(request.headers);
  headers.set("Content-Security-Policy", policy);
  return { headers, policy };
}

function secured(response: NextResponse, policy: string): NextResponse {
  response.headers.set("Content-Security-Policy", policy);
  response.headers.set("Cache-Control", "no-store");
  response.headers.set("Referrer-Policy", "same-origin");
  response.headers.set("X-Content-Type-Options", "nosniff");
  return response;
}
