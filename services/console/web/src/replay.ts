import { words } from "./event";

/** What may be filtered by; whatever is left out matches everything. */
export interface ReplayFilter {
  tenant?: string;
  user?: string;
  session?: string;
  device?: string;
  client?: string;
  scope?: string;
  reason?: string;
  initiator?: string;
  initiator_id?: string;
  since?: string;
  until?: string;
  after?: number;
  before?: number;
}

export const targetKinds = ["file", "topic", "webhook", "redis", "tabs", "replicas"] as const;

export type TargetKind = (typeof targetKinds)[number];

export interface ReplayTarget {
  kind: TargetKind;
  topic?: string;
  url?: string;
  name?: string;
  group?: string;
}

export interface ReplayRequest {
  filter?: ReplayFilter;
  target: ReplayTarget;
  rate?: number;
  notify_tabs?: boolean;
}

export interface Plan {
  filter: ReplayFilter;
  target: ReplayTarget;
  rate: number;
  events: number;
  replayed: number;
  unreadable: number;
  users: number;
  sessions: number;
  estimated: boolean;
  first?: number;
  last?: number;
  open_tabs: number;
  open_tabs_exact: boolean;
  expected_seconds: number;
  webhook_secret?: string;
  notes: string[];
}

export interface Replay {
  id: string;
  state: "waiting" | "running" | "done" | "cancelled" | "failed";
  filter: ReplayFilter;
  target: ReplayTarget;
  rate: number;
  key_id: string;
  key_tenant: string;
  cancelled_by?: string;
  resumed_by?: string;
  created_at: string;
  started_at?: string;
  ended_at?: string;
  from: number;
  to: number;
  position: number;
  sent: number;
  runs: number;
  process?: string;
  result: { replicas?: { name: string; state: string; same: boolean; error?: string }[] } & Record<string, unknown>;
  error?: string;
  next?: string;
}

export function targetWords(t: ReplayTarget): string {
  switch (t.kind) {
    case "topic": return `topic ${t.topic}`;
    case "webhook": return `webhook ${t.url}`;
    case "file": return t.name ? `file ${t.name}` : "a file";
    case "redis": return "Redis";
    case "tabs": return "open tabs";
    case "replicas": return t.group ? `replicas of ${t.group}` : "Curfew's own replicas";
  }
}

export function filterWords(f: ReplayFilter): string {
  const parts = Object.entries(f).filter(([, v]) => v !== undefined && v !== "").map(([name, v]) => `${words(name)} ${v === "*" ? "all" : words(String(v))}`);
  return parts.length ? parts.join(", ") : "everything";
}
