package fanout

import (
	"github.com/gobwas/ws"

	"github.com/curfewhq/curfew/events/tab"
)

// webSocket is a wire of RFC 6455.
type webSocket struct{ reader }

// pingFrame is shared, like every ping.
var pingFrame = ws.MustCompileFrame(ws.NewPingFrame(nil))

func (*webSocket) transport() string          { return "websocket" }
func (*webSocket) form(m *message) []byte     { return m.framed }
func (*webSocket) ping() []byte               { return pingFrame }
func (*webSocket) pong(payload []byte) []byte { return ws.MustCompileFrame(ws.NewPongFrame(payload)) }
func (*webSocket) answers() bool              { return true }

func (*webSocket) closing(code tab.CloseCode, reason string) []byte {
	return ws.MustCompileFrame(ws.NewCloseFrame(ws.NewCloseFrameBody(ws.StatusCode(code), reason)))
}

func (w *webSocket) next() ([]byte, error) { return w.message() }
