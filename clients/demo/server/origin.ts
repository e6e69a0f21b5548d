/**
 * Reports whether a page of this application makes the request. A cookie comes along from anywhere; what a browser says about the page that asks, no page can change. Server actions
 * are checked by Next itself.
 */
export function fromOwnPage(request: Request): boolean {
  const site = request.headers.get("sec-fetch-site");
  if (site !== null) return site === "same-origin";
  return request.headers.get("origin") === new URL(process.env.AUTH_URL!).origin;
}

/** Answers with a problem (RFC 9457). */
export function problem(status: number, code: string, detail: string): Response {
  return Response.json({ status, code, detail }, { status, headers: { "Content-Type": "application/problem+json", "Cache-Control": "no-store" } });
}

/** The answer to whoever isn't a page of this application. */
export const foreign = () => problem(403, "origin_not_allowed", "Only pages of this application may do this.");

/** The answer where nobody is signed in. */
export const nobody = () => problem(401, "session_required", "Nobody is signed in.");
