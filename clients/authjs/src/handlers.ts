import { type Curfew, curfew, type SignedIn } from "./curfew.js";
import { ApiError, SessionRequiredError } from "./errors.js";
import { rawAuth } from "./failclosed.js";
import { isUnavailable } from "./marks.js";
import type { CurfewOptions } from "./options.js";
import { header, type HeaderSource } from "./request.js";

/** Returns the caller's session: Auth.js 5's `auth`, or `(req, res) => getServerSession(req, res, authOptions)`, or `(req) => getSession(req, config)`. */
export type ReadSession = (...args: any[]) => Promise<unknown> | unknown;

/** Options of a handler for pages. */
export interface HandlerOptions {
  /** Other origins whose pages may call, beside the handler's own. Their browsers must send the cookie, and CORS is the application's to allow. */
  origins?: readonly string[];
}

/** A response of Node's, as far as it is used. */
interface NodeResponse {
  statusCode: number;
  setHeader(name: string, value: string): unknown;
  end(body: string): unknown;
}

interface NodeRequest {
  method?: string | undefined;
  headers: Record<string, string | string[] | undefined>;
}

/** A route's handler: of a Request that returns a Response, or of (req, res) in Node, Express and the pages of Next.js. */
export interface PageHandler {
  (request: NodeRequest, response: NodeResponse): Promise<void>;
  // The last one is what Next.js checks a route's export by.
  (request: Request, context?: unknown): Promise<Response>;
}

interface Answer {
  status: number;
  body: Record<string, unknown>;
}

/**
 * Answers the POST of a signed-in page of the same origin with a ticket, `{ticket, expires_at}`, with which the page opens its conn. It answers 401 if nobody is signed in,
 * and 503 if that can't be told: only the first means that the session is over. There is no GET: links and images send those from anywhere.
 */
export function ticketHandler(auth: ReadSession, options: (CurfewOptions | Curfew) & HandlerOptions): PageHandler {
  const server = curfew(options);
  return pageHandler(auth, options, async (session, origin) => {
    const { ticket, expires_at } = await server.ticket(session, origin);
    return { ticket, expires_at };
  });
}

/** Takes the POST by which a page of the same origin says that its person has done something, `{active: true}`. It answers 401 if the session has ended. */
export function touchHandler(auth: ReadSession, options: (CurfewOptions | Curfew) & HandlerOptions): PageHandler {
  const server = curfew(options);
  return pageHandler(auth, options, async (session) => {
    if (!(await server.touch(session))) throw new SessionRequiredError("the session has ended");
    return { active: true };
  });
}

function pageHandler(auth: ReadSession, options: HandlerOptions, act: (session: SignedIn, origin: string | undefined) => Promise<Record<string, unknown>>): PageHandler {
  const read = rawAuth(auth);
  const answer = async (method: string | undefined, headers: HeaderSource, session: () => unknown): Promise<Answer> => {
    if (method !== "POST") return problem(405, "method_not_allowed", "This takes a POST.");
    const origin = header(headers, "origin");
    if (!mayCall(headers, origin, options.origins ?? [])) return problem(403, "origin_not_allowed", "Only pages of this application's own origin may call this.");
    try {
      const found = await session();
      if (isUnavailable(found)) return problem(503, "session_undetermined", "Whether the session was revoked can't be told at the moment.");
      if (typeof found !== "object" || found === null) return problem(401, "session_required", "Nobody is signed in.");
      return { status: 200, body: await act(found, origin === "null" ? undefined : origin) };
    } catch (error) {
      return refusal(error);
    }
  };
  const handler = async (request: Request | NodeRequest, response?: unknown): Promise<Response | void> => {
    if (!isNodeResponse(response)) {
      const { status, body } = await answer(request.method, (request as Request).headers, () => read());
      return new Response(JSON.stringify(body), { status, headers: headersOf(status) });
    }
    const { status, body } = await answer(request.method, (request as NodeRequest).headers, () => read(request, response));
    response.statusCode = status;
    for (const [name, value] of Object.entries(headersOf(status))) response.setHeader(name, value);
    response.end(JSON.stringify(body));
  };
  return handler as PageHandler;
}

function isNodeResponse(value: unknown): value is NodeResponse {
  return typeof value === "object" && value !== null && typeof (value as { setHeader?: unknown }).setHeader === "function";
}

/** Reports whether the page that calls is the application's own: a cookie alone comes along from anywhere. */
function mayCall(headers: HeaderSource, origin: string | undefined, others: readonly string[]): boolean {
  if (origin !== undefined && others.includes(origin)) return true;
  // A browser that says it, says it about the page that calls, and no page can change that.
  const site = header(headers, "sec-fetch-site");
  if (site !== undefined) return site === "same-origin";
  if (origin === undefined || origin === "null") return false;
  try {
    return new URL(origin).host === (header(headers, "x-forwarded-host") ?? header(headers, "host"));
  } catch {
    return false;
  }
}

function refusal(error: unknown): Answer {
  if (error instanceof SessionRequiredError) return problem(401, "session_required", "Nobody is signed in.");
  // Database sessions throw what they can't tell, and whatever else went wrong says nothing about the session either.
  const code = error instanceof ApiError ? error.code : "unavailable";
  return problem(503, code, "This can't be done at the moment.");
}

function problem(status: number, code: string, detail: string): Answer {
  const title = { 401: "Unauthorized", 403: "Forbidden", 405: "Method Not Allowed", 503: "Service Unavailable" }[status];
  return { status, body: { type: "about:blank", title, status, code, detail, retry: status === 503 } };
}

function headersOf(status: number): Record<string, string> {
  const headers: Record<string, string> = { "Cache-Control": "no-store", "Content-Type": status === 200 ? "application/json" : "application/problem+json" };
  if (status === 405) headers["Allow"] = "POST";
  if (status === 503) headers["Retry-After"] = "1";
  return headers;
}
