// The server's answers, and how they are asked for. Whatever comes from there is shown as text.

export type Scope = "session" | "user" | "device" | "client" | "tenant";

export const scopes: Scope[] = ["session", "user", "device", "client", "tenant"];

export const reasons = [
  "user_logout", "admin", "password_changed", "credential_changed", "account_disabled", "account_deleted", "compromised", "idle_timeout", "max_age", "policy", "idp_logout", "superseded",
] as const;

export const initiators = ["user", "admin", "policy", "system"] as const;

/** Who is signed in. */
export interface Who {
  id: string;
  name: string;
  tenant: string;
  scopes: string[];
  ends_at: string;
  idle_timeout_ms: number;
}

export interface EventData {
  tenant: string;
  reason: string;
  reason_admin?: string;
  reason_user?: string;
  initiator: { type: string; id?: string };
  user?: string;
  session?: string;
  device?: string;
  client?: string;
  cutoff?: string;
  except?: string[];
  known_sessions?: string[];
  expires_at?: string;
  replayed?: boolean;
  replay?: string;
}

/** One event of the history. */
export interface Entry {
  position: number;
  stored: string;
  event: { id: string; type: string; time: string; data: EventData };
}

export interface History {
  revocations: Entry[];
  next_after?: number;
  next_before?: number;
}

export interface SessionEntry {
  session: string;
  device?: string;
  client?: string;
  name: string;
  browser?: string;
  os?: string;
  form: string;
  ip?: string;
  auth_time: string;
  last_seen_at: string;
  expires_at: string;
  idle_expires_at?: string;
  state: "active" | "ended" | "undetermined";
  ended_at?: string;
  reason?: string;
}

export interface Sessions {
  sessions: SessionEntry[];
  devices: { device?: string; name: string; sessions: string[] }[];
  more: boolean;
}

export interface Tabs {
  complete: boolean;
  gateways: { id: string; name: string; tabs: { session: string; since: string; transport?: string }[]; more?: boolean }[];
  missing?: { id: string; name: string }[];
  members_unknown?: boolean;
}

/** A replica as it has reported itself. */
export interface Member {
  id: string;
  name: string;
  group: string;
  version?: string;
  position: number;
  fresh: boolean;
  /** Negative without a proof. */
  staleness_ms: number;
  heard_at: string;
  budget_ms: number;
  lease_ms: number;
  ended: boolean;
  fails_closed_at: string;
}

export interface Fleet {
  /** The server's clock, to which the others are relative. */
  now: string;
  members: Member[];
}

/** Whom an event has reached. */
export interface Receipt {
  event: string;
  tenant: string;
  position: number;
  made_at: string;
  aim: "applied" | "shown";
  complete: boolean;
  certain: boolean;
  replicas: { expected: number; applied: number; more?: number; named: NamedReplica[] };
  tabs?: { told: number; signed_out: number; already: number; ignored: number; gone: number; waiting: number; gateways: { name: string; state: string }[] };
  sentence: string;
  token?: string;
}

export interface NamedReplica {
  name: string;
  group?: string;
  version?: string;
  state: "applied" | "late" | "skipped" | "lease_ended";
  after_ms?: number;
  position?: number;
  heard_at?: string;
  fails_closed_since?: string;
}

/** What a revocation is answered with. */
export interface Stored {
  id: string;
  scope: Scope;
  position: number;
  time: string;
  cutoff?: string;
  expires_at: string;
  duplicate: boolean;
  receipt?: Receipt;
}

export interface Sample {
  at: number;
  seconds: number;
  applied: number;
  p50: number | null;
  p99: number | null;
  active: number;
  revoked: number;
  undetermined: number;
  websocket: number;
  sse: number;
}

export interface Finding {
  name: string;
  status: "ok" | "warn" | "fail";
  detail: string;
  hint?: string;
}

/** A refusal of the server, or none because it couldn't be reached (status 0). */
export class Problem extends Error {
  readonly status: number;
  readonly code: string;
  readonly retry: boolean;

  constructor(status: number, code: string, detail: string, retry: boolean) {
    super(detail);
    this.status = status;
    this.code = code;
    this.retry = retry;
  }
}

const base = "/console";

/** onSignedOut is called when the server says that nobody is signed in any more. */
let onSignedOut: () => void = () => {};

export function whenSignedOut(fn: () => void): void {
  onSignedOut = fn;
}

async function refusal(answer: Response): Promise<Problem> {
  let detail = `The server answered ${answer.status}.`;
  let code = "";
  let retry = answer.status >= 500;
  try {
    const p = (await answer.json()) as { detail?: string; code?: string; retry?: boolean; errors?: { field: string; detail: string }[] };
    detail = p.detail ?? detail;
    if (p.errors?.length) detail += " " + p.errors.map((e) => `${e.field} ${e.detail}`).join("; ") + ".";
    code = p.code ?? "";
    retry = p.retry ?? retry;
  } catch {
    // Not one of ours, as of a proxy in between.
  }
  return new Problem(answer.status, code, detail, retry);
}

async function send(path: string, init: RequestInit): Promise<Response> {
  let answer: Response;
  try {
    answer = await fetch(base + path, { ...init, credentials: "same-origin", cache: "no-store", redirect: "error" });
  } catch (e) {
    if (init.signal?.aborted) throw e;
    throw new Problem(0, "unreachable", "The server can't be reached. Is it running, and is the network there?", true);
  }
  if (answer.ok) return answer;
  const p = await refusal(answer);
  if (p.code === "not_signed_in") onSignedOut();
  throw p;
}

/** get asks for JSON. Parameters that are empty are left out. */
export async function get<T>(path: string, params: Record<string, string | number | undefined> = {}, signal?: AbortSignal): Promise<T> {
  return (await (await send(path + query(params), signal ? { signal } : {})).json()) as T;
}

/** post sends JSON, and returns what comes back, or undefined for an empty answer. */
export async function post<T>(path: string, body: unknown, headers: Record<string, string> = {}, method = "POST"): Promise<T> {
  const answer = await send(path, { method, headers: { "Content-Type": "application/json", ...headers }, body: JSON.stringify(body) });
  return (answer.status === 204 ? undefined : await answer.json()) as T;
}

export function query(params: Record<string, string | number | undefined>): string {
  const q = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) if (value !== undefined && value !== "") q.set(name, String(value));
  const text = q.toString();
  return text && "?" + text;
}

/** lines reads NDJSON for as long as it comes. An empty line is a sign of life, told as null. It returns when the server has ended it. */
export async function lines(path: string, params: Record<string, string | number | undefined>, signal: AbortSignal, take: (line: unknown) => void): Promise<void> {
  const answer = await send(path + query(params), { signal });
  const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n");
    rest = parts.pop()!;
    for (const part of parts) take(part === "" ? null : JSON.parse(part));
  }
}
