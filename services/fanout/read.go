package fanout

import (
	"errors"
	"fmt"
	"io"
	"time"
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

// What a peer can do wrong.
var (
	errFraming  = &protocolError{tab.CloseProtocolError, "frame breaks RFC 6455"}
	errClosing  = &protocolError{tab.CloseProtocolError, "close frame breaks RFC 6455"}
	errTooLarge = &protocolError{tab.CloseTooLarge, "frame too large"}
	errBinary   = &protocolError{tab.CloseInvalidData, "want text frames"}
	errNotUTF8  = &protocolError{tab.CloseInvalidData, "not UTF-8"}
	errFlood    = &protocolError{tab.CloseSlowDown, "too many frames"}
)

// errPeerClosed is returned when the peer has closed the conn in an orderly way.
var errPeerClosed = errors.New("closed by the peer")

// listener is told of the frames that are no message.
type listener interface {
	// touch is called for every frame.
	touch()
	// answer sends the answer to a ping.
	answer(payload []byte)
}

// frameUnit is how many bytes of a frame count as one more.
const frameUnit = 512

// reader reads messages from a peer by the rules of RFC 6455, and all of them.
type reader struct {
	from io.Reader
	on   listener

	// second is when the current second of counting began, in Unix milliseconds, and frames is how many have come in it.
	second int64
	frames uint16
	// ahead holds what await has read, from next to end: a frame like a pong is read as a whole.
	ahead     [ws.MaxHeaderSize]byte
	next, end uint8
	// header is where a frame's header is read, and taken is how many bytes of it have been.
	taken  uint8
	header [ws.MaxHeaderSize]byte
}

// await waits for the first bytes of a frame. It is where a conn spends its life, and so it needs next to no stack: what it calls sets how much memory the conn's
// goroutine has.
func (r *reader) await() error {
	if r.next < r.end {
		return nil
	}
	n, err := r.from.Read(r.ahead[:])
	r.next, r.end = 0, uint8(n)
	if n > 0 {
		return nil // an error comes again
	}
	return err
}

// message returns the next text message, which isn't nil; or nil after a control frame that came outside of one, and was answered. No call follows one that
// returned an error.
func (r *reader) message() ([]byte, error) {
	state := ws.StateServerSide
	var message []byte
	for first := true; first || message != nil; first = false {
		h, err := r.head(state)
		if err != nil {
			return nil, err
		}
		if !h.OpCode.IsControl() && h.Length > int64(tab.MaxClientFrameBytes-len(message)) {
			return nil, errTooLarge
		}
		payload := make([]byte, h.Length)
		if _, err := io.ReadFull((*counted)(r), payload); err != nil {
			return nil, err
		}
		ws.Cipher(payload, h.Mask, 0)
		r.on.touch()
		switch h.OpCode {
		case ws.OpPing:
			r.on.answer(payload)
			continue
		case ws.OpPong:
			continue
		case ws.OpClose:
			return nil, closeError(payload)
		case ws.OpBinary:
			return nil, errBinary
		}
		if message == nil {
			message = payload
		} else {
			message = append(message, payload...)
		}
		if !h.Fin {
			state = state.Set(ws.StateFragmented)
			continue
		}
		if !utf8.Valid(message) {
			return nil, errNotUTF8
		}
		return message, nil
	}
	return nil, nil
}

// head reads and checks a frame's header.
func (r *reader) head(state ws.State) (ws.Header, error) {
	r.taken = 0
	h, err := ws.ReadHeaderBuffer((*counted)(r), r.header[:])
	switch {
	case errors.Is(err, ws.ErrHeaderLengthMSB):
		return h, errFraming
	case err != nil:
		return h, err
	case ws.CheckHeader(h, state) != nil, int(r.taken) != ws.HeaderSize(h):
		// Section 5.2: the length is written in as few bytes as it takes.
		return h, errFraming
	case r.flooded(time.Now().UnixMilli(), h.Length):
		return h, errFlood
	}
	return h, nil
}

// flooded counts a frame, a long one as several, and reports whether it is one too many: what is said costs a processor by its length.
func (r *reader) flooded(now, length int64) bool {
	if since := now - r.second; since < 0 || since >= 1000 {
		r.second, r.frames = now, 0
	}
	r.frames += 1 + uint16(min(length, tab.MaxClientFrameBytes)/frameUnit)
	return r.frames > tab.MaxFramesPerSecond
}

// counted is a reader that counts what it reads.
type counted reader

func (c *counted) Read(p []byte) (int, error) {
	if c.next < c.end {
		n := copy(p, c.ahead[c.next:c.end])
		c.next += uint8(n)
		c.taken += uint8(n)
		return n, nil
	}
	n, err := c.from.Read(p)
	c.taken += uint8(n) // of a header, which is short
	return n, err
}

// closeError checks a peer's close frame (RFC 6455 sections 5.5.1 and 7.4).
func closeError(payload []byte) error {
	if len(payload) == 0 {
		return errPeerClosed
	}
	code, reason := ws.ParseCloseFrameData(payload)
	switch {
	case code == 1012 || code == 1013 || code == 1014:
		// Registered since (IANA WebSocket Close Code Number Registry), and unknown to ws.
	case code > 4999 || ws.CheckCloseFrameData(code, "") != nil:
		// One byte alone is no code either.
		return errClosing
	}
	if !utf8.ValidString(reason) {
		return errNotUTF8
	}
	return errPeerClosed
}
