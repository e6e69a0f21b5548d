package tab

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Subprotocol is the WebSocket subprotocol (RFC 6455 section 1.9) that a tab must offer.
const Subprotocol = "curfew.v1"

// What a tab may offer beside Subprotocol, each as a subprotocol of its own, so that its first request says all that hello would: the server answers with
// Subprotocol alone. A ticket never stands in a URL, which others log.
const (
	// OfferTicket comes before a ticket. The server looks at it before it upgrades, and then waits for no hello.
	OfferTicket = "ticket."
	// OfferAfter and OfferPosition come before what Hello.After and Hello.Position say.
	OfferAfter    = "after."
	OfferPosition = "position."
)

// Limits of the protocol.
const (
	// MaxClientFrameBytes bounds the payload of a frame that a tab sends.
	MaxClientFrameBytes = 4 << 10
	// MaxNoticeIDBytes bounds Hello.After and Ack.ID. Notices bear the ids of events, 36 bytes.
	MaxNoticeIDBytes = 64
	// MaxFramesPerSecond is how many frames a tab may send within a second; one more closes the conn with CloseSlowDown. It is
	// far beyond what a tab has to say: hello, an acknowledgement, and a pong now and then.
	MaxFramesPerSecond = 50
	// HelloTimeout is how long a server waits for Hello.
	HelloTimeout = 5 * time.Second
	// MaxCloseReasonBytes is what a close frame can carry beside its code (RFC 6455 section 5.5).
	MaxCloseReasonBytes = 123
)

// CloseCode is a WebSocket close code (RFC 6455 section 7.4).
type CloseCode uint16

// The close codes that the server sends.
const (
	CloseNormal        CloseCode = 1000
	CloseProtocolError CloseCode = 1002
	CloseInvalidData   CloseCode = 1007
	CloseTooLarge      CloseCode = 1009
	// CloseDrain carries the reason {"retry_ms":N}: reconnect after N milliseconds.
	CloseDrain CloseCode = 1012
	// CloseOverloaded tells a tab that reads too slowly, or one that the server has no room for.
	CloseOverloaded CloseCode = 1013
	CloseHelloLate  CloseCode = 4008
	// CloseSlowDown tells a tab that sends more than MaxFramesPerSecond.
	CloseSlowDown CloseCode = 4029
	// CloseSignedOut is terminal: the session is over.
	CloseSignedOut CloseCode = 4501
	// CloseTicketRefused is terminal for this ticket: get a new one from the application, and only then connect again.
	CloseTicketRefused CloseCode = 4503
)

// Terminal reports whether a tab must not reconnect by itself after this code.
func (c CloseCode) Terminal() bool { return c >= 4500 && c <= 4999 }

// StreamOver is the id of the last event of a stream of notices whose code is terminal, where others have a position or none. A browser would come back all the same,
// and says it as its Last-Event-ID; it is answered with 204, at which it gives up (HTML Living Standard section 9.2.1).
const StreamOver = "over"

// FrameType is the "type" member of a frame.
type FrameType string

// The frame types.
const (
	TypeHello           FrameType = "hello"
	TypeReady           FrameType = "ready"
	TypeLogout          FrameType = "logout"
	TypeSessionsChanged FrameType = "sessions_changed"
	TypeSessionExpiring FrameType = "session_expiring"
	TypeSessionRenewed  FrameType = "session_renewed"
	TypeHeartbeat       FrameType = "heartbeat"
	TypeDrain           FrameType = "drain"
	TypeClose           FrameType = "close"
	TypeAck             FrameType = "ack"
)

// Hello is a tab's first frame.
type Hello struct {
	Type   FrameType `json:"type"`
	Ticket string    `json:"ticket"`
	// After is the id of the last notice that the tab has seen, or empty. If the server remembers that event, it tells the tab whether something changed since;
	// else the check on connect decides alone.
	After string `json:"after,omitempty"`
	// Position is the greatest position that the tab knows of, from a frame or its own application; 0 if it knows none. It says the same as After, and a server
	// whose replica is behind it waits up to a second before it checks, so that a tab which comes to another server isn't told less than it has heard.
	Position uint64 `json:"position,omitempty"`
}

// Ready says that the session was alive at Position and that every later end of it will be told on this conn.
type Ready struct {
	Type FrameType `json:"type"`
	// Session is the tab's own session id.
	Session string `json:"session"`
	// Position is up to where the server's replica had applied the stream when it checked.
	Position uint64 `json:"position"`
	// HeartbeatMS is how often the server sends Heartbeat on a conn that is otherwise silent, in milliseconds, a tenth more or less. A tab that hears nothing for 2.5 times as long reconnects.
	HeartbeatMS int64 `json:"heartbeat_ms"`
	// Stream names a stream of notices, on which the tab can't answer, in the acknowledgements that it sends beside it. Empty on a WebSocket.
	Stream string `json:"stream,omitempty"`
}

// Logout is the notice that the tab's session is over.
type Logout struct {
	Type FrameType `json:"type"`
	// ID is the event's id. The same id may come twice.
	ID string `json:"id"`
	// Scope is what was revoked: session, user, device, client or tenant.
	Scope string `json:"scope"`
	// Reason is one of the events' reasons.
	Reason string `json:"reason"`
	// Message is the event's reason_user, or empty. Never reason_admin.
	Message string `json:"message,omitempty"`
	// At is when it was revoked, RFC 3339 with milliseconds.
	At string `json:"at"`
	// Stream is as in Ready, where a stream of notices begins with this frame.
	Stream string `json:"stream,omitempty"`
	// LoginAfterMS is how much longer than usual the page waits before it goes to the sign-in page by itself, because many are signed out at once, in milliseconds: at most 300,000. The
	// session is over at once all the same, and a person who goes there needn't wait. 0 where the page needn't either.
	LoginAfterMS int64 `json:"login_after_ms,omitempty"`
}

// SessionsChanged says that other sessions of the same user ended, or that one began. One stands for all that waited with it.
type SessionsChanged struct {
	Type FrameType `json:"type"`
	// Position is up to where the server's replica had applied the stream.
	Position uint64 `json:"position"`
}

// SessionExpiring says that the tab's session is about to end, unless its user does something that counts as a touch. It may come again.
type SessionExpiring struct {
	Type FrameType `json:"type"`
	// Reason is idle_timeout, which a touch calls off, or max_age, which only a new sign-in can.
	Reason string `json:"reason"`
	// At is when it ends, RFC 3339 with milliseconds, by the server's clock.
	At string `json:"at"`
	// InMS is how long that was from when the frame was made, in milliseconds; never negative. A tab whose clock is wrong goes by it.
	InMS int64 `json:"in_ms"`
}

// SessionRenewed calls off what SessionExpiring has announced: somebody is there.
type SessionRenewed struct {
	Type FrameType `json:"type"`
}

// Heartbeat says that the conn is alive, to pages, which see neither a WebSocket's pings nor the comments of an event stream.
type Heartbeat struct {
	Type FrameType `json:"type"`
}

// Drain announces that the server is about to close the conn with CloseDrain.
type Drain struct {
	Type             FrameType `json:"type"`
	ReconnectAfterMS int64     `json:"reconnect_after_ms"`
}

// Close is the last frame of a stream of notices: what a WebSocket's close frame says.
type Close struct {
	Type   FrameType `json:"type"`
	Code   CloseCode `json:"code"`
	Reason string    `json:"reason,omitempty"`
}

// Outcome is what a tab did with a notice.
type Outcome string

// The outcomes.
const (
	OutcomeSignedOut Outcome = "signed_out"
	OutcomeAlready   Outcome = "already"
	OutcomeIgnored   Outcome = "ignored"
)

// Ack acknowledges a logout notice.
type Ack struct {
	Type    FrameType `json:"type"`
	ID      string    `json:"id"`
	Outcome Outcome   `json:"outcome"`
}

// ErrFrame is returned for a client frame that isn't of the protocol. The conn is to be closed with CloseInvalidData.
var ErrFrame = errors.New("not a frame of " + Subprotocol)

// EncodeReady returns the frame of a Ready.
func EncodeReady(r Ready) ([]byte, error) { r.Type = TypeReady; return encode(r) }

// EncodeLogout returns the frame of a Logout.
func EncodeLogout(l Logout) ([]byte, error) { l.Type = TypeLogout; return encode(l) }

// EncodeSessionsChanged returns the frame of a SessionsChanged.
func EncodeSessionsChanged(s SessionsChanged) ([]byte, error) {
	s.Type = TypeSessionsChanged
	return encode(s)
}

// EncodeSessionExpiring returns the frame of a SessionExpiring.
func EncodeSessionExpiring(s SessionExpiring) ([]byte, error) {
	s.Type = TypeSessionExpiring
	return encode(s)
}

// EncodeSessionRenewed returns the frame of a SessionRenewed.
func EncodeSessionRenewed(s SessionRenewed) ([]byte, error) {
	s.Type = TypeSessionRenewed
	return encode(s)
}

// EncodeHeartbeat returns the frame of a Heartbeat.
func EncodeHeartbeat(h Heartbeat) ([]byte, error) { h.Type = TypeHeartbeat; return encode(h) }

// EncodeDrain returns the frame of a Drain.
func EncodeDrain(d Drain) ([]byte, error) { d.Type = TypeDrain; return encode(d) }

// EncodeClose returns the frame of a Close.
func EncodeClose(c Close) ([]byte, error) { c.Type = TypeClose; return encode(c) }

// EncodeHello returns the frame of a Hello, for clients.
func EncodeHello(h Hello) ([]byte, error) { h.Type = TypeHello; return encode(h) }

// EncodeAck returns the frame of an Ack, for clients.
func EncodeAck(a Ack) ([]byte, error) { a.Type = TypeAck; return encode(a) }

func encode(frame any) ([]byte, error) {
	b, err := json.Marshal(frame)
	if err != nil {
		return nil, fmt.Errorf("encode frame: %w", err)
	}
	return b, nil
}

// DecodeHello reads a tab's first frame. The error wraps ErrFrame and never quotes the frame, which holds a secret.
func DecodeHello(b []byte) (Hello, error) {
	var h Hello
	if len(b) > MaxClientFrameBytes || json.Unmarshal(b, &h) != nil || h.Type != TypeHello || h.Ticket == "" {
		return Hello{}, fmt.Errorf("%w: want hello with a ticket", ErrFrame)
	}
	if h.After != "" && !noticeID(h.After) {
		return Hello{}, fmt.Errorf("%w: hello.after isn't the id of a notice", ErrFrame)
	}
	return h, nil
}

// DecodeAck reads a later frame of a tab. It returns false without an error for a type that this version doesn't know, which
// the server ignores whatever else it holds; the error wraps ErrFrame.
func DecodeAck(b []byte) (Ack, bool, error) {
	if len(b) > MaxClientFrameBytes {
		return Ack{}, false, fmt.Errorf("%w: longer than %d bytes", ErrFrame, MaxClientFrameBytes)
	}
	typ, err := typeOf(b)
	if err != nil {
		return Ack{}, false, err
	}
	if typ != TypeAck {
		return Ack{}, false, nil
	}
	var a Ack
	if json.Unmarshal(b, &a) != nil || !noticeID(a.ID) {
		return Ack{}, false, fmt.Errorf("%w: want ack with the id of a notice", ErrFrame)
	}
	switch a.Outcome {
	case OutcomeSignedOut, OutcomeAlready, OutcomeIgnored:
		return a, true, nil
	}
	return Ack{}, false, fmt.Errorf("%w: ack.outcome must be signed_out, already or ignored", ErrFrame)
}

// typeOf reads the type of a frame and nothing else, because only the type says what the other members are.
func typeOf(b []byte) (FrameType, error) {
	var f struct {
		Type FrameType `json:"type"`
	}
	if json.Unmarshal(b, &f) != nil || f.Type == "" {
		return "", fmt.Errorf("%w: want a JSON object with a type", ErrFrame)
	}
	return f.Type, nil
}

// Offers are what a tab offers as subprotocols. Members that it doesn't offer are zero.
type Offers struct {
	// Speaks is whether it offers Subprotocol.
	Speaks   bool
	Ticket   string
	After    string
	Position uint64
}

// Add reads one of the subprotocols that a tab offers, and ignores those that it doesn't know. The error wraps ErrFrame and never quotes.
func (o *Offers) Add(protocol string) error {
	if protocol == Subprotocol {
		o.Speaks = true
		return nil
	}
	if ticket, ok := strings.CutPrefix(protocol, OfferTicket); ok {
		if o.Ticket != "" || ticket == "" {
			return fmt.Errorf("%w: want one ticket", ErrFrame)
		}
		o.Ticket = ticket
	}
	if after, ok := strings.CutPrefix(protocol, OfferAfter); ok {
		if !noticeID(after) {
			return fmt.Errorf("%w: %s isn't followed by the id of a notice", ErrFrame, OfferAfter)
		}
		o.After = after
	}
	if position, ok := strings.CutPrefix(protocol, OfferPosition); ok {
		var err error
		if o.Position, err = strconv.ParseUint(position, 10, 64); err != nil {
			return fmt.Errorf("%w: %s isn't followed by a position", ErrFrame, OfferPosition)
		}
	}
	return nil
}

// noticeID says whether s can be the id of a notice: 1 to MaxNoticeIDBytes of printable ASCII without spaces.
func noticeID(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return s != "" && len(s) <= MaxNoticeIDBytes
}

// DrainReason returns the reason of a CloseDrain. A negative after counts as zero: reconnect at once.
func DrainReason(after time.Duration) string {
	return fmt.Sprintf(`{"retry_ms":%d}`, max(after, 0).Milliseconds())
}

// Frame is what a client reads: the union of the server's frames. Members that a type doesn't have are zero.
type Frame struct {
	Type             FrameType `json:"type"`
	Session          string    `json:"session"`
	Position         uint64    `json:"position"`
	HeartbeatMS      int64     `json:"heartbeat_ms"`
	ID               string    `json:"id"`
	Scope            string    `json:"scope"`
	Reason           string    `json:"reason"`
	Message          string    `json:"message"`
	At               string    `json:"at"`
	InMS             int64     `json:"in_ms"`
	ReconnectAfterMS int64     `json:"reconnect_after_ms"`
	Stream           string    `json:"stream"`
	LoginAfterMS     int64     `json:"login_after_ms"`
	Code             CloseCode `json:"code"`
}

// DecodeFrame reads a frame of the server, for clients. Of a frame of an unknown type it returns the type alone.
func DecodeFrame(b []byte) (Frame, error) {
	typ, err := typeOf(b)
	if err != nil {
		return Frame{}, err
	}
	switch typ {
	case TypeReady, TypeLogout, TypeSessionsChanged, TypeSessionExpiring, TypeSessionRenewed, TypeHeartbeat, TypeDrain, TypeClose:
	default:
		return Frame{Type: typ}, nil
	}
	var f Frame
	if json.Unmarshal(b, &f) != nil {
		return Frame{}, fmt.Errorf("%w: a member of %s has the wrong type", ErrFrame, typ)
	}
	return f, nil
}
