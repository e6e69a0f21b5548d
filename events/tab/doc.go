// Package tab is the protocol between a tab and the fan-out, version curfew.v1: every frame, close code and limit stands in
// tab.go. Clients in other languages are generated from events/schema/tab.schema.json and testdata/close_codes.json and read
// testdata/golden; tests hold all of them to the code.
//
// # Flow
//
// The tab opens a WebSocket on GET /v1/connect with the subprotocol [Subprotocol] and sends [Hello] within [HelloTimeout],
// unless the deployment authenticates by cookie. The server derives who the tab is from the ticket; a tab never names a user
// or a topic. The server registers the conn, then checks its session, then says [Ready]. From then on:
//
//	server → tab   logout            your session is over: verify with your application, clear, acknowledge
//	server → tab   sessions_changed  another session of the same user ended: refresh lists of devices
//	server → tab   drain             this server goes away: reconnect after the given time
//	tab → server   ack               what became of a logout notice
//
// Every frame is one JSON text message with a "type" member. Readers ignore members and types that they don't know. A notice is
// a hint and never proof: the tab asks its own application before it clears anything.
//
// # Close codes
//
// The range says what a tab does: 4500–4999 never reconnect, 4000–4499 and the registered codes reconnect with jitter.
package tab
