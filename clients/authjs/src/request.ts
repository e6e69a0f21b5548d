import type { RequestInfo } from "./options.js";

/** Headers as a framework gives them. */
export type HeaderSource = { get(name: string): string | null } | Record<string, string | string[] | undefined>;

/** Something that has headers: a Request, a request of Node's or Express's, or the headers themselves. */
export type RequestSource = { headers: HeaderSource; ip?: string | undefined } | HeaderSource;

/** Reads one header. */
export function header(headers: HeaderSource, name: string): string | undefined {
  if (typeof headers["get"] === "function") return (headers as { get(name: string): string | null }).get(name) ?? undefined;
  const value = (headers as Record<string, string | string[] | undefined>)[name];
  return Array.isArray(value) ? value[0] : value;
}

const address = /^(\d{1,3}(\.\d{1,3}){3}|[0-9a-f]*:[0-9a-f:.]*)$/i;

/**
 * Reads from where a request comes: the browser, and the address that Express tells, else the one that the nearest proxy has seen, which is the last of
 * X-Forwarded-For. What stands before that is the caller's word.
 */
export function requestInfo(source: RequestSource | null | undefined): RequestInfo | undefined {
  if (!source) return undefined;
  const headers = ("headers" in source && typeof source.headers === "object" ? source.headers : source) as HeaderSource;
  const told = "ip" in source && typeof source.ip === "string" ? source.ip : header(headers, "x-forwarded-for")?.split(",").at(-1)?.trim();
  const ip = told?.replace(/^::ffff:(?=\d+\.)/i, "");
  return { userAgent: header(headers, "user-agent"), ip: ip && address.test(ip) ? ip : undefined };
}
