package fanout

import (
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/gobwas/ws"

	"github.com/curfewhq/curfew/events/tab"
)

// protocolError says with which code a conn is to be closed.
type protocolError struct {
	code   tab.CloseCode
	reason string
}

func (e *protocolError) Error() string { return fmt.Sprintf("%d %s", e.code, e.reason) }

// errPeerClosed is returned when the peer has closed the conn in an orderly way.
var errPeerClosed = errors.New("closed by the peer")

// reader reads messages from a peer by the rules of RFC 6455, and all of them.
type reader struct {
	from io.Reader
	// heard is called for every frame; pong sends the answer to a ping.
	heard func()
	pong  func(payload []byte)
}

// message returns the next text message. Control frames are answered in between.
func (r *reader) message() ([]byte, error) {
	state := ws.StateServerSide
	var message []byte
	for {
		h, err := ws.ReadHeader(r.from)
		if err != nil {
			return nil, headerError(err)
		}
		if err := ws.CheckHeader(h, state); err != nil {
			return nil, &protocolError{tab.CloseProtocolError, "frame breaks RFC 6455"}
		}
		if h.Length > int64(tab.MaxClientFrameBytes-len(message)) {
			return nil, &protocolError{tab.CloseTooLarge, "frame too large"}
		}
		payload := make([]byte, h.Length)
		if _, err := io.ReadFull(r.from, payload); err != nil {
			return nil, err
		}
		ws.Cipher(payload, h.Mask, 0)
		r.heard()
		switch h.OpCode {
		case ws.OpPing:
			r.pong(payload)
			continue
		case ws.OpPong:
			continue
		case ws.OpClose:
			return nil, closeError(payload)
		case ws.OpBinary:
			return nil, &protocolError{tab.CloseInvalidData, "want text frames"}
		}
		message = append(message, payload...)
		if !h.Fin {
			state = state.Set(ws.StateFragmented)
			continue
		}
		if !utf8.Valid(message) {
			return nil, &protocolError{tab.CloseInvalidData, "not UTF-8"}
		}
		return message, nil
	}
}

// headerError tells a header that can't be from a conn that is gone.
func headerError(err error) error {
	if errors.Is(err, ws.ErrHeaderLengthMSB) || errors.Is(err, ws.ErrHeaderLengthUnexpected) {
		return &protocolError{tab.CloseProtocolError, "frame breaks RFC 6455"}
	}
	return err
}

// closeError checks a peer's close frame (RFC 6455 section 5.5.1).
func closeError(payload []byte) error {
	if len(payload) == 0 {
		return errPeerClosed
	}
	if len(payload) == 1 {
		return &protocolError{tab.CloseProtocolError, "close frame of one byte"}
	}
	code, reason := ws.ParseCloseFrameData(payload)
	if err := ws.CheckCloseFrameData(code, reason); err != nil {
		return &protocolError{tab.CloseProtocolError, "close frame breaks RFC 6455"}
	}
	return errPeerClosed
}
