package fanout

import (
	"strconv"

	"github.com/gobwas/ws"
)

// message is a frame of the tab protocol in the form of each wire. It is encoded once, and shared by all conns that get it.
type message struct {
	// framed is a WebSocket's text frame, and event is a server-sent event.
	framed, event []byte
}

// newMessage returns the message of an encoded frame. A tab that comes back tells the greatest position that it has heard; 0 tells it none.
func newMessage(payload []byte, position uint64) *message {
	event := make([]byte, 0, len(payload)+40)
	if position > 0 {
		event = append(strconv.AppendUint(append(event, "id: "...), position, 10), '\n')
	}
	// An encoded frame has no line break, which would end its line.
	event = append(append(append(event, "data: "...), payload...), "\n\n"...)
	return &message{framed: ws.MustCompileFrame(ws.NewTextFrame(payload)), event: event}
}
