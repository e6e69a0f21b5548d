/**
 * Has every tab's SessionProvider of Auth.js ask again who is signed in. Version 5 listens to a BroadcastChannel whatever is said on it, version 4 to a key of
 * localStorage, in other tabs alone.
 */
export function nudge(): void {
  const said = { event: "session", data: { trigger: "signout" } };
  try {
    const channel = new BroadcastChannel("next-auth");
    channel.postMessage(said);
    channel.close();
  } catch {
    // No channel, nobody who listens to it.
  }
  try {
    localStorage.setItem("nextauth.message", JSON.stringify({ ...said, timestamp: Math.floor(Date.now() / 1000) }));
  } catch {
    // The browser keeps nothing for this page.
  }
}
