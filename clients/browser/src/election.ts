/** What a tab is among the tabs of its browser. */
export type Role =
  /** It takes no part. */
  | "stopped"
  /** Another tab holds the lock, as far as this one knows. */
  | "following"
  /** This one does, and has the conn. */
  | "leading";

/** Where a tab stands. */
export interface Standing {
  role: Role;
  /** Only a tab that somebody looks at asks whether the leader is there: others are slow themselves. */
  visible: boolean;
}

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

/** Returns what becomes of a tab, and what it does. It is the whole of the election: Tabs does what it says. */
export function elect({ role, visible }: Standing, happening: Happening): [Standing, Deed[]] {
  const ask: Deed[] = visible ? ["ask"] : [];
  switch (`${role} ${happening}` as const) {
    case "stopped start":
      return [{ role: "following", visible }, ["follow", "request", ...ask]];
    case "following granted":
      return [{ role: "leading", visible }, ["calm", "lead"]];
    // Whoever was only suspended finds out here, and closes its conn.
    case "leading robbed":
      return [{ role: "following", visible }, ["follow", "request", ...ask]];
    case "following shown":
      return [{ role, visible: true }, ["ask"]];
    case "following hidden":
      return [{ role, visible: false }, ["calm"]];
    case "following heard":
      return [{ role, visible }, visible ? ["calm", "later"] : ["calm"]];
    case "following due":
      return [{ role, visible }, ask];
    case "following silent":
      return [{ role, visible }, visible ? ["calm", "steal"] : ["calm"]];
    case "following stop":
      return [{ role: "stopped", visible }, ["calm", "release"]];
    case "leading stop":
      return [{ role: "stopped", visible }, ["follow", "calm", "release"]];
  }
  if (happening === "shown" || happening === "hidden") return [{ role, visible: happening === "shown" }, []];
  return [{ role, visible }, []];
}
