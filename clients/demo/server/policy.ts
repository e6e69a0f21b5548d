/** Returns the content security policy of a page. Its scripts are those that have the nonce, and what they load; nothing is styled inline without it. */
export function contentSecurityPolicy(nonce: string): string {
  const developing = process.env.NODE_ENV === "development";
  const gateway = process.env.CURFEW_GATEWAY_URL!;
  const connect = ["'self'", gateway, gateway.replace(/^http/, "ws"), chatOrigin()];
  return [
    "default-src 'none'",
    `script-src 'nonce-${nonce}' 'strict-dynamic'${developing ? " 'unsafe-eval'" : ""}`,
    developing ? "style-src 'self' 'unsafe-inline'" : `style-src 'self' 'nonce-${nonce}'`,
    "img-src 'self'",
    "font-src 'self'",
    `connect-src ${connect.join(" ")}`,
    "form-action 'self'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
  ].join("; ");
}

function chatOrigin(): string {
  return new URL(process.env.CHAT_URL!).origin;
}
