package fanout

import (
	"encoding/binary"
	"io"
	"slices"
	"time"

	"github.com/gobwas/ws"

	"github.com/curfewhq/curfew/events/tab"
)

// webSocket is a wire of RFC 6455.
type webSocket struct{ reader }

// pings is shared, like every ping: one for the browser, which answers it and tells the page nothing, and one for the page.
var pings = slices.Concat(ws.MustCompileFrame(ws.NewPingFrame(nil)), heartbeats.framed)

func (*webSocket) transport() string          { return "websocket" }
func (*webSocket) form(m *message) []byte     { return m.framed }
func (*webSocket) ping() []byte               { return pings }
func (*webSocket) pong(payload []byte) []byte { return ws.MustCompileFrame(ws.NewPongFrame(payload)) }
func (*webSocket) answers() bool              { return true }

func (*webSocket) closing(code tab.CloseCode, reason string) []byte {
	return ws.MustCompileFrame(ws.NewCloseFrame(ws.NewCloseFrameBody(ws.StatusCode(code), reason)))
}

func (w *webSocket) next() ([]byte, error) { return w.message() }
func (w *webSocket) rests() bool           { return w.reader.next >= w.end && !pending(w.from) }
func (w *webSocket) reads(from io.Reader)  { w.from = from }

// muchSaid is how many frames a peer may send in a second before it has a goroutine of its own to listen to it: a tab sends two in a minute.
const muchSaid = 10

// whole follows the lengths of frames, and leaves it to next to find out what is wrong with them. Nothing is whole of a peer that says so much that others would wait.
func (w *webSocket) whole(said []byte) bool {
	if w.frames >= muchSaid && time.Now().UnixMilli()-w.second < 1000 {
		return false
	}
	within := false // a message whose last frame hasn't come
	for len(said) > 0 {
		if len(said) < 2 {
			return false
		}
		size, length := 2, uint64(said[1]&0x7f)
		switch extended := said[2:]; {
		case length == 126 && len(extended) >= 2:
			size, length = size+2, uint64(binary.BigEndian.Uint16(extended))
		case length == 127 && len(extended) >= 8:
			size, length = size+8, binary.BigEndian.Uint64(extended)
		case length >= 126:
			return false
		}
		if masked := said[1]&0x80 != 0; masked {
			size += 4
		}
		switch {
		case len(said) < size:
			return false
		case length > uint64(tab.MaxClientFrameBytes):
			return true // which next sees by the header alone
		case len(said) < size+int(length):
			return false
		}
		if control := said[0]&0x08 != 0; !control {
			within = said[0]&0x80 == 0
		}
		said = said[size+int(length):]
	}
	return !within
}
