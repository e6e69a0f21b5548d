package fanout

import (
	"io"
	"strconv"
	"time"

	"github.com/curfewhq/curfew/events/tab"
)

// eventStream is a wire of server-sent events (HTML Living Standard section 9.2), for networks that block WebSocket. The peer says nothing on it.
type eventStream struct {
	from io.Reader
	few  [16]byte
}

// maxSaid is how many bytes a peer may send on a stream on which it has nothing to say.
const maxSaid = 4 << 10

// comment is a line that a browser ignores.
var comment = []byte(":\n\n")

func (*eventStream) transport() string      { return "sse" }
func (*eventStream) form(m *message) []byte { return m.event }
func (*eventStream) ping() []byte           { return comment }
func (*eventStream) pong([]byte) []byte     { return nil }
func (*eventStream) answers() bool          { return false }
func (e *eventStream) rests() bool          { return !pending(e.from) }
func (e *eventStream) reads(from io.Reader) { e.from = from }

// whole has a goroutine deal with a peer that says something.
func (*eventStream) whole([]byte) bool { return false }

func (*eventStream) closing(code tab.CloseCode, reason string) []byte {
	frame, err := tab.EncodeClose(tab.Close{Code: code, Reason: reason})
	if err != nil {
		return nil
	}
	id := ""
	if code.Terminal() {
		id = tab.StreamOver
	}
	return newEvent(frame, id)
}

// await leaves it to next, which has nothing to do but to wait.
func (*eventStream) await() error { return nil }

func (e *eventStream) next() ([]byte, error) {
	for said := 0; said <= maxSaid; {
		n, err := e.from.Read(e.few[:])
		if err != nil {
			return nil, err
		}
		said += n
	}
	return nil, errTooLarge
}

// reconnectAfter returns the field that tells a browser how long to wait before it opens the stream again.
func reconnectAfter(d time.Duration) []byte {
	return append(strconv.AppendInt([]byte("retry: "), d.Milliseconds(), 10), "\n\n"...)
}
