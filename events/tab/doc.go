// Package tab is the protocol between a tab and the fan-out, version curfew.v1: every frame, close code and limit stands in
// tab.go. Clients in other languages are generated from events/schema/tab.schema.json and testdata/close_codes.json and read
// testdata/golden; tests hold all of them to the code.
//
// # Flow
//
// The tab opens a WebSocket on GET /v1/connect with the subprotocol [Subprotocol] and sends [Hello] within [HelloTimeout]. The
// server derives who the tab is from the ticket; a tab never names a user or a topic. Hello may hold the id of the last notice
// that the tab has seen (after), at most [MaxNoticeIDBytes], and the greatest position that it knows of: a server that remembers what
// happened since then says sessions_changed if something did, and whether the session is over the check on connect decides. The server registers the conn,
// then checks its session, then says [Ready], with the position up to which its replica had applied the stream when it checked.
// From then on:
//
//	server → tab   logout            your session is over: verify with your application, clear, acknowledge
//	server → tab   sessions_changed  other sessions of the same user ended, or one began: refresh lists of devices
//	server → tab   session_expiring  your session is about to end: ask whether anybody is there
//	server → tab   session_renewed   somebody is: it doesn't
//	server → tab   heartbeat         the conn is alive, which a page can't see of pings
//	server → tab   drain             this server goes away: reconnect after the given time
//	tab → server   ack               what became of a logout notice
//
// A tab may offer its ticket, and what else hello would say, as subprotocols beside [Subprotocol] ([Offers]): then no hello is waited for, and one that comes is
// ignored.
//
// Where a network lets no WebSocket through, the tab exchanges its ticket for a cookie, POST /v1/notices, and opens GET /v1/notices, a stream of server-sent
// events. Each event's data is a frame as above. The id of ready and sessions_changed is a position, which a browser sends back by itself. The last frame is
// [Close], with the code that a WebSocket would be closed with, and with the id [StreamOver] if that is terminal. Acknowledgements are posted to /v1/notices/acks as
// {"stream": …, "id": …, "outcome": …}; the stream is named by its first frame, ready or logout.
//
// Every frame is one JSON text message with a "type" member. Readers ignore members and types that they don't know. A notice is
// a hint and never proof: the tab asks its own application before it clears anything. Sessions_changed says that something
// changed, not how often: several that wait together to be written are sent as one. Session_expiring and session_renewed are told once, to tabs that are there: one that
// comes later may miss them, and learns the end itself like any other.
//
// A logout with login_after_ms is one of many at once: the page is over like any other, and goes to the sign-in page by itself that much later than usual.
//
// After logout nothing more comes but the close frame: the conn is closed with 4501 once the tab has acknowledged the notice, or
// hasn't within two seconds.
//
// # Close codes
//
// The range says what a tab does: 4500–4999 never reconnect, 4000–4499 and the registered codes reconnect with jitter. A tab that
// sends more than [MaxFramesPerSecond] frames, whatever they are, is closed with 4029; a frame counts as one more for each 512 bytes of it. After 4503 the ticket is of no more use: the tab may
// open another conn with a new one, once its application has given it one.
package tab
