/** A session that was listed, as its user's list of sessions shows it. */
export interface ListedSession {
  session: string;
  device?: string;
  client?: string;
  /** Such as "Chrome on Windows". */
  name: string;
  browser?: string;
  os?: string;
  form: "desktop" | "mobile" | "tablet" | "bot" | "unknown";
  /** The network that it signed in from. */
  ip?: string;
  auth_time: string;
  created_at: string;
  last_seen_at: string;
  expires_at: string;
  /** When it ends unless somebody is there; absent where sessions don't end so, and of one that has ended. */
  idle_expires_at?: string;
  /** Whether it is the session that asks. */
  current: boolean;
  state: "active" | "ended" | "undetermined";
  ended_at?: string;
  reason?: string;
}

/** A user's sessions, and the same by device. */
export interface SessionList {
  sessions: ListedSession[];
  devices: { device?: string; name: string; sessions: string[] }[];
  /** There are more than were asked for. */
  more: boolean;
}
