import { NextResponse } from "next/server";

import { auth } from "./auth";

// On the edge.
export default auth((request) => {
  const signedIn = !!request.auth;
  if (!signedIn && request.nextUrl.pathname === "/dash") return NextResponse.redirect(new URL("/api/auth/signin?from=middleware", request.nextUrl));
  const response = NextResponse.next();
  response.headers.set("x-middleware-saw", signedIn ? "signed in" : "nobody");
  return response;
});

export const config = { matcher: ["/dash", "/api/me", "/api/auth/:path*"] };
