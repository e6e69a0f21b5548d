// One tab of the sample application. A notice is a hint: the tab asks its own application before it clears anything.

const $ = (id) => document.getElementById(id);
let socket = null;
let attempt = 0;
let waiting = 0; // for the next attempt
let timer = 0;
let signedIn = false;
// The session of the cookie, as the application said last, and that of the socket's ticket: signing in anew changes the first under an open tab.
let session = "";
let connected = "";
// What one tab signs in to, all tabs of the browser are.
const signIns = new BroadcastChannel("sign-in");

async function call(method, path, body) {
  const res = await fetch(path, {
    method,
    headers: body ? { "Content-Type": "application/json" } : {},
    body: body ? JSON.stringify(body) : undefined,
    cache: "no-store",
  });
  const text = await res.text();
  return { status: res.status, body: text ? JSON.parse(text) : null };
}

function showSignedOut(message) {
  signedIn = false;
  clearTimeout(timer);
  document.title = "Signed out · Curfew demo";
  $("signed-in").hidden = true;
  $("signed-out").hidden = false;
  $("notice").hidden = !message;
  $("notice").textContent = message || "";
}

async function refresh() {
  const me = await call("GET", "/me");
  if (me.status === 401) {
    // What the notice said stays there when the close that follows it asks again.
    if (signedIn || $("signed-out").hidden) showSignedOut(signedIn ? "Your session is over." : "");
    return false;
  }
  if (me.status !== 200) return signedIn;
  signedIn = true;
  session = me.body.session;
  document.title = me.body.user + " · Curfew demo";
  $("signed-out").hidden = true;
  $("signed-in").hidden = false;
  $("user").textContent = me.body.user;
  $("session").textContent = session;
  const bySession = new Map();
  for (const t of me.body.tabs) {
    const s = bySession.get(t.session) ?? { count: 0, since: t.since };
    s.count++;
    bySession.set(t.session, s);
  }
  $("tabs").replaceChildren(...[...bySession].map(([id, s]) => {
    const row = document.createElement("tr");
    row.className = id === session ? "mine" : "";
    for (const text of [id + (id === session ? " (this one)" : ""), String(s.count), new Date(s.since).toLocaleTimeString()]) {
      row.append(Object.assign(document.createElement("td"), { textContent: text }));
    }
    return row;
  }));
  clearTimeout(timer);
  timer = setTimeout(enter, 2000);
  return true;
}

function state(text, live) {
  $("conn").textContent = text;
  $("conn").classList.toggle("live", live);
}

async function connect() {
  if (!signedIn || socket || waiting) return;
  const t = await call("POST", "/ticket", {});
  if (t.status === 401) return showSignedOut("Your session is over.");
  if (t.status !== 200) return retry();
  if (socket) return; // of another call, which had its ticket first
  const ws = new WebSocket(t.body.url, "curfew.v1");
  socket = ws;
  connected = session;
  ws.onopen = () => ws.send(JSON.stringify({ type: "hello", ticket: t.body.ticket }));
  ws.onmessage = (m) => onFrame(ws, JSON.parse(m.data));
  ws.onclose = async (e) => {
    socket = null;
    state("closed " + e.code, false);
    // That session is over; the browser may have another one by now.
    if (e.code >= 4500 && e.code <= 4999 && !(await refresh())) return;
    retry(e.code === 1012 ? JSON.parse(e.reason || "{}").retry_ms : undefined);
  };
}

// Full jitter from half a second up to thirty, unless the server says when.
function retry(ms) {
  if (!signedIn) return;
  attempt++;
  clearTimeout(waiting);
  waiting = setTimeout(() => { waiting = 0; connect(); }, ms ?? Math.random() * Math.min(30000, 500 * 2 ** attempt));
}

async function onFrame(ws, frame) {
  switch (frame.type) {
    case "ready":
      attempt = 0;
      state("live", true);
      refresh();
      break;
    case "sessions_changed":
      refresh();
      break;
    case "logout": {
      const over = !(await refresh());
      if (over) showSignedOut(frame.message || "Your session is over.");
      if (ws.readyState === WebSocket.OPEN) {
        ws.send(JSON.stringify({ type: "ack", id: frame.id, outcome: over ? "signed_out" : "ignored" }));
      }
      break;
    }
  }
}

for (const b of document.querySelectorAll("[data-user]")) {
  b.onclick = async () => {
    $("notice").hidden = true;
    await call("POST", "/sign-in", { user: b.dataset.user });
    signIns.postMessage("");
    await enter();
  };
}

for (const b of document.querySelectorAll("[data-scope]")) {
  b.onclick = async () => {
    const res = await call("POST", "/log-out", { scope: b.dataset.scope });
    const failed = res.status === 200 ? "" : res.body?.detail ?? "The logout failed.";
    $("result").textContent = failed || `stored in ${res.body.stored_ms} ms, event ${res.body.id}`;
    // The cookie is gone in any case; a logout that wasn't stored must not look like one.
    if (b.dataset.scope !== "others") showSignedOut(failed || "You signed out.");
    else refresh();
  };
}

// enter has the tab follow the session that the browser has by now, if it has one.
async function enter() {
  if (!(await refresh())) return;
  if (socket && connected !== session) socket.close(1000); // and comes back with the other's ticket
  else connect();
}

// A page from the back-forward cache, or one that slept, asks again before anybody reads it.
addEventListener("pageshow", (e) => { if (e.persisted) enter(); });
document.addEventListener("visibilitychange", () => { if (!document.hidden) enter(); });
signIns.onmessage = enter;

await enter();
