/** What a tab is among the tabs of its browser. */
export type Role =
  /** It takes no part. */
  | "stopped"
  /** Another tab holds the lock, as far as this one knows. */
  | "following"
  /** This one does, and has the conn. */
  | "leading";

/** What happens to a tab. */
export type Happening =
  | "start"
  | "stop"
  /** The lock is this tab's. */
  | "granted"
  /** The lock was this tab's, and another has stolen it. */
  | "robbed"
  | "shown"
  | "hidden"
  /** The leader was heard. */
  | "heard"
  /** It is time to ask the leader again. */
  | "due"
  /** The leader was asked, and hasn't been heard for too long. */
  | "silent";

/** What a tab does about it. */
export type Deed =
  /** Wait for the lock. */
  | "request"
  /** Take the lock from whoever holds it. */
  | "steal"
  /** Give the lock back, or wait for it no longer. */
  | "release"
  /** Ask whether the leader is there, and wait for so long. */
  | "ask"
  /** Ask again in a while. */
  | "later"
  /** Stop asking and waiting. */
  | "calm"
  /** Begin and end being the leader. */
  | "lead"
  | "follow";

/**
 * Returns what becomes of a tab, and what it does. It is the whole of the election: Tabs does what it says. Only a tab that somebody looks at (visible) asks whether
 * the leader is there and takes its place, since others are slow themselves.
 */
export function elect(role: Role, visible: boolean, happening: Happening): [Role, ...Deed[]] {
  const seen = (...deeds: Deed[]) => (visible ? deeds : []);
  switch (`${role} ${happening}` as const) {
    case "stopped start":
    // Whoever was only suspended finds out here, and closes its conn.
    case "leading robbed":
      return ["following", "follow", "request", ...seen("ask")];
    case "following granted":
      return ["leading", "calm", "lead"];
    case "following shown":
    case "following due":
      return [role, ...seen("ask")];
    case "following hidden":
      return [role, "calm"];
    case "following heard":
      return [role, "calm", ...seen("later")];
    case "following silent":
      return [role, "calm", ...seen("steal")];
    case "following stop":
    case "leading stop":
      return ["stopped", "follow", "calm", "release"];
    default:
      return [role];
  }
}
