// Package tab is the protocol between a tab and the fan-out, version curfew.v1: every frame, close code and limit stands in
// tab.go. Clients in other languages are generated from events/schema/tab.schema.json and testdata/close_codes.json and read
// testdata/golden; tests hold all of them to the code.
//
// # Flow
//
// The tab opens a WebSocket on GET /v1/connect with the subprotocol [Subprotocol] and sends [Hello] within [HelloTimeout]. The
// server derives who the tab is from the ticket; a tab never names a user or a topic. Hello may hold the id of the last notice
// that the tab has seen (after): it is accepted if it has the form of one, at most [MaxNoticeIDBytes], and nothing depends on
// it, because the check on connect decides and finds whatever happened while the tab was away. The server registers the conn,
// then checks its session, then says [Ready], with the position up to which its replica had applied the stream when it checked.
// From then on:
//
//	server → tab   logout            your session is over: verify with your application, clear, acknowledge
//	server → tab   sessions_changed  other sessions of the same user ended: refresh lists of devices
//	server → tab   drain             this server goes away: reconnect after the given time
//	tab → server   ack               what became of a logout notice
//
// Every frame is one JSON text message with a "type" member. Readers ignore members and types that they don't know. A notice is
// a hint and never proof: the tab asks its own application before it clears anything. Sessions_changed says that something
// changed, not how often: several that wait together to be written are sent as one.
//
// After logout nothing more comes but the close frame: the conn is closed with 4501 once the tab has acknowledged the notice, or
// hasn't within two seconds.
//
// # Close codes
//
// The range says what a tab does: 4500–4999 never reconnect, 4000–4499 and the registered codes reconnect with jitter. A tab that
// sends more than [MaxFramesPerSecond] frames, whatever they are, is closed with 4029. After 4503 the ticket is of no more use: the tab may
// open another conn with a new one, once its application has given it one.
package tab
