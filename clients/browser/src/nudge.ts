/**
 * Has every tab's SessionProvider of Auth.js ask again who is signed in. Version 5 listens to a BroadcastChannel whatever is said on it, version 4 to a key of
 * localStorage, in other tabs alone.
 */
export function nudge(): void {
  // Version 4 reads no time, but a value must be another than the last one to be told.
  const said = { event: "session", data: { trigger: "signout" }, timestamp: Date.now() };
  try {
    const channel = new BroadcastChannel("next-auth");
    channel.postMessage(said);
    channel.close();
  } catch {
    // No channel, nobody who listens to it.
  }
  try {
    localStorage.setItem("nextauth.message", JSON.stringify(said));
  } catch {
    // The browser keeps nothing for this page.
  }
}
