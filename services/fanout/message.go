package fanout

import (
	"strconv"

	"github.com/gobwas/ws"

	"github.com/curfewhq/curfew/events/tab"
)

// message is a frame of the tab protocol in the form of each wire. It is encoded once, and shared by all conns that get it.
type message struct {
	// framed is a WebSocket's text frame, and event is a server-sent event.
	framed, event []byte
}

// newMessage returns the message of an encoded frame. A tab that comes back tells the greatest position that it has heard; 0 tells it none.
func newMessage(payload []byte, position uint64) *message {
	id := ""
	if position > 0 {
		id = strconv.FormatUint(position, 10)
	}
	return &message{framed: ws.MustCompileFrame(ws.NewTextFrame(payload)), event: newEvent(payload, id)}
}

// heartbeats says that the conn is alive, in a form that pages see.
var heartbeats = newHeartbeat()

// newHeartbeat returns a heartbeat, which holds nothing that couldn't be encoded.
func newHeartbeat() *message {
	frame, _ := tab.EncodeHeartbeat(tab.Heartbeat{})
	return newMessage(frame, 0)
}

// newEvent returns the server-sent event of an encoded frame. An empty id leaves the browser with the one before.
func newEvent(payload []byte, id string) []byte {
	event := make([]byte, 0, len(payload)+40)
	if id != "" {
		event = append(append(append(event, "id: "...), id...), '\n')
	}
	// An encoded frame has no line break, which would end its line.
	return append(append(append(event, "data: "...), payload...), "\n\n"...)
}
