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
	// said is how much it has said all the same.
	said int
	few  [16]byte
}

// maxSaid is how many bytes a peer may send on a stream on which it has nothing to say.
const maxSaid = 4 << 10

func (*eventStream) transport() string      { return "sse" }
func (*eventStream) form(m *message) []byte { return m.event }
func (*eventStream) ping() []byte           { return heartbeats.event }
func (*eventStream) pong([]byte) []byte     { return nil }
func (*eventStream) answers() bool          { return false }
func (e *eventStream) rests() bool          { return !pending(e.from) }
func (e *eventStream) reads(from io.Reader) { e.from = from }

// whole is always so, for there are no messages.
func (*eventStream) whole([]byte) bool { return true }

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
	n, err := e.from.Read(e.few[:])
	if e.said += n; e.said > maxSaid {
		return nil, errTooLarge
	}
	return nil, err
}

// reconnectAfter returns the field that tells a browser how long to wait before it opens the stream again.
func reconnectAfter(d time.Duration) []byte {
	return append(strconv.AppendInt([]byte("retry: "), d.Milliseconds(), 10), "\n\n"...)
}
