import { NextResponse } from "next/server";

import { auth } from "./auth";

export default auth((request) => {
  const signedIn = !!request.auth;
  if (!signedIn && request.nextUrl.pathname === "/dash") return NextResponse.redirect(new URL("/api/auth/signin", request.nextUrl));
  const response = NextResponse.next();
  response.headers.set("x-proxy", signedIn ? "signed in" : "nobody");
  return response;
});

export const config = { matcher: ["/dash", "/api/me", "/api/auth/:path*"] };
