import type { SessionIdentity } from "@curfew/authjs";

import { callBackend } from "./backend";

/** How many of those who should know do know. */
export interface Count {
  confirmed: number;
  total: number;
  /** What hasn't confirmed, or couldn't be asked, in words. */
  missing: string[];
}

/** What is known so far of a sign-out. */
export interface Confirmation {
  services: Count;
  /** Browsers with an open page: one conn speaks for all tabs of a browser. */
  tabs: Count;
  done: boolean;
}

/** Who should know of a sign-out, as counted before it. */
export interface Expected {
  /** Names of Curfew's replicas; undefined if they couldn't be asked. */
  replicas: string[] | undefined;
  tabs: Tabs | undefined;
}

interface Tabs {
  open: Set<string>;
  complete: boolean;
}

const waitMs = 3000;
const pauseMs = 50;
/** How long a sign-out waits to know whom to count. */
const askMs = 400;

/** Asks the API with the key that may read, which the one that Auth.js uses may not. */
async function read<T>(path: string): Promise<T | undefined> {
  try {
    const headers = { Authorization: `Bearer ${process.env.CURFEW_READ_KEY}` };
    const answer = await fetch(process.env.CURFEW_URL + path, { headers, cache: "no-store", redirect: "manual", signal: AbortSignal.timeout(askMs) });
    return answer.ok ? ((await answer.json()) as T) : undefined;
  } catch {
    return undefined; // it is told as missing
  }
}

/** Returns how far each replica is. Who is silent isn't named. */
async function replicas(): Promise<Map<string, number> | undefined> {
  const answer = await read<{ replicas: { name: string; position: number }[] }>("/v1/replicas?timeout=100ms");
  return answer && new Map(answer.replicas.map(({ name, position }) => [name, position]));
}

async function tabs(user: string): Promise<Tabs | undefined> {
  interface Answer {
    complete: boolean;
    gateways: { id: string; tabs: { session: string; since: string }[] }[];
  }
  const answer = await read<Answer>(`/v1/users/${encodeURIComponent(user)}/tabs?timeout=200ms`);
  return answer && { open: new Set(answer.gateways.flatMap(({ id, tabs }) => tabs.map((tab) => JSON.stringify([id, tab.session, tab.since])))), complete: answer.complete };
}

/** Counts who should know, before they are told. */
export async function expected(user: string): Promise<Expected> {
  const [known, open] = await Promise.all([replicas(), tabs(user)]);
  return { replicas: known && [...known.keys()], tabs: open };
}

/** Tells who knows, whenever that changes, until all do or the time is up. */
export async function* confirmations(caller: SessionIdentity & { user: string }, position: number, before: Expected): AsyncGenerator<Confirmation> {
  const end = Date.now() + waitMs;
  let told = "";
  let backend = false;
  for (;;) {
    const [known, open] = await Promise.all([replicas(), tabs(caller.user), backend || refusedByBackend(caller, position).then((refuses) => (backend = refuses))]);
    const confirmation = { services: services(known, before, position, backend), tabs: gone(open, before), done: false };
    const all = complete(confirmation.services) && complete(confirmation.tabs);
    confirmation.done = all || Date.now() >= end;
    const line = JSON.stringify(confirmation);
    if (line !== told) yield confirmation;
    told = line;
    if (confirmation.done) return;
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
}

const complete = ({ confirmed, total, missing }: Count) => confirmed === total && missing.length === 0;

/** The backend has its own memory: it is asked as the session that is over, and must have got to the position first. Only a refusal is a confirmation. */
async function refusedByBackend(caller: SessionIdentity, position: number): Promise<boolean> {
  try {
    return (await callBackend(caller, "/api/notes", { position, signal: AbortSignal.timeout(1000) })).status === 401;
  } catch {
    return false;
  }
}

function services(known: Map<string, number> | undefined, before: Expected, position: number, backend: boolean): Count {
  const names = before.replicas ?? [...(known?.keys() ?? [])];
  const behind = names.filter((name) => (known?.get(name) ?? 0) < position);
  const missing = behind.map((name) => `Curfew at ${name}`);
  if (names.length === 0) missing.push("Curfew's own replicas couldn't be asked");
  if (!backend) missing.push("the backend of notes and chat");
  return { confirmed: names.length - behind.length + Number(backend), total: names.length + 1, missing };
}

function gone(open: Tabs | undefined, before: Expected): Count {
  if (!before.tabs) return { confirmed: 0, total: 0, missing: ["open pages couldn't be counted before"] };
  const left = open ? [...before.tabs.open].filter((tab) => open.open.has(tab)).length : before.tabs.open.size;
  const missing: string[] = [];
  if (left > 0) missing.push(open ? `${left} still connected` : "open pages can't be counted now");
  if (!before.tabs.complete || open?.complete === false) missing.push("a gateway hasn't answered");
  return { confirmed: before.tabs.open.size - left, total: before.tabs.open.size, missing };
}
