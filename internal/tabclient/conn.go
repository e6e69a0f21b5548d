package tabclient

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/gobwas/ws"

	"github.com/curfewhq/curfew/events/tab"
)

// maxFrameBytes bounds what is read at once: far more than any frame of a gateway.
const maxFrameBytes = 64 << 10

// CloseError is returned by Next when the gateway has closed the conn.
type CloseError struct {
	// Code is 0 if the gateway gave none.
	Code   tab.CloseCode
	Reason string
}

func (e *CloseError) Error() string { return fmt.Sprintf("closed with %d %s", e.Code, e.Reason) }

// StatusError is returned by Dial when the gateway doesn't upgrade.
type StatusError struct{ Status int }

func (e *StatusError) Error() string { return fmt.Sprintf("not upgraded: status %d", e.Status) }

// Conn is one tab's conn.
type Conn struct {
	nc   net.Conn
	from io.Reader

	mu sync.Mutex // guards writes
}

// Dial opens a conn on url (ws:// or wss://, up to the host) and sends hello unless ticket is empty. origin may be empty.
func Dial(ctx context.Context, url, origin, ticket string) (*Conn, error) {
	header := http.Header{}
	if origin != "" {
		header.Set("Origin", origin)
	}
	c, err := DialWith(ctx, url, header)
	if err != nil || ticket == "" {
		return c, err
	}
	if err := c.Hello(ticket); err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

// DialWith opens a conn on url by a request with further headers, and sends no hello.
func DialWith(ctx context.Context, url string, header http.Header) (*Conn, error) {
	d := ws.Dialer{Protocols: []string{tab.Subprotocol}, Header: ws.HandshakeHeaderHTTP(header)}
	nc, early, hs, err := d.Dial(ctx, url+"/v1/connect")
	var status ws.StatusError
	switch {
	case errors.As(err, &status):
		return nil, &StatusError{Status: int(status)}
	case err != nil:
		return nil, fmt.Errorf("dial: %w", err)
	case hs.Protocol != tab.Subprotocol:
		_ = nc.Close()
		return nil, errors.New("the gateway chose no subprotocol")
	}
	return OnEarly(nc, early), nil
}

// On returns a Conn over a socket that has been upgraded already, and on which hello hasn't been sent.
func On(nc net.Conn) *Conn { return &Conn{nc: nc, from: nc} }

// OnEarly is On for a socket of which early, if it isn't nil, has read already.
func OnEarly(nc net.Conn, early *bufio.Reader) *Conn {
	c := On(nc)
	if early != nil {
		c.from = early
	}
	return c
}

// Hello sends the tab's first frame.
func (c *Conn) Hello(ticket string) error {
	b, err := tab.EncodeHello(tab.Hello{Ticket: ticket})
	if err != nil {
		return err
	}
	return c.Send(b)
}

// Send sends a text frame.
func (c *Conn) Send(payload []byte) error { return c.SendFrame(ws.NewTextFrame(payload)) }

// SendFrame masks a frame and sends it, in one write.
func (c *Conn) SendFrame(f ws.Frame) error {
	b, err := ws.CompileFrame(ws.MaskFrame(f))
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.nc.SetWriteDeadline(time.Now().Add(5 * time.Second))
	_, err = c.nc.Write(b)
	// Or it would end what a test writes on the socket itself.
	_ = c.nc.SetWriteDeadline(time.Time{})
	return err
}

// Next returns the next frame of the protocol but for heartbeats. It returns a *CloseError when the gateway closes the conn, after answering it. It blocks until
// ctx ends, and may be called again then, unless ctx cut a frame in two: frames of a gateway are small, so that is a peer that has stopped.
func (c *Conn) Next(ctx context.Context) (tab.Frame, error) {
	_ = c.nc.SetReadDeadline(time.Time{})
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		_ = c.nc.SetReadDeadline(time.Unix(1, 0))
	})
	defer func() {
		if !stop() {
			// Or it would cut off a later call.
			<-ended
		}
	}()
	for {
		h, payload, err := c.readFrame()
		if err != nil {
			if ctx.Err() != nil {
				return tab.Frame{}, context.Cause(ctx)
			}
			return tab.Frame{}, err
		}
		switch h.OpCode {
		case ws.OpPing:
			if err := c.SendFrame(ws.NewPongFrame(payload)); err != nil {
				return tab.Frame{}, err
			}
		case ws.OpClose:
			return tab.Frame{}, c.closed(payload)
		case ws.OpText:
			if f, err := tab.DecodeFrame(payload); err != nil || f.Type != tab.TypeHeartbeat {
				return f, err
			}
		}
	}
}

// readFrame holds the gateway to RFC 6455, and to never splitting a message.
func (c *Conn) readFrame() (ws.Header, []byte, error) {
	h, err := ws.ReadHeader(c.from)
	if err != nil {
		return h, nil, err
	}
	if err := ws.CheckHeader(h, ws.StateClientSide); err != nil {
		return h, nil, fmt.Errorf("frame of the gateway: %w", err)
	}
	if !h.Fin || h.OpCode == ws.OpBinary || h.Length > maxFrameBytes {
		return h, nil, fmt.Errorf("frame of the gateway: opcode %d, final %t, %d bytes", h.OpCode, h.Fin, h.Length)
	}
	payload := make([]byte, h.Length)
	_, err = io.ReadFull(c.from, payload)
	return h, payload, err
}

// closed answers a close frame and closes the socket.
func (c *Conn) closed(payload []byte) error {
	code, reason := ws.ParseCloseFrameData(payload)
	var answer []byte
	if len(payload) >= 2 {
		answer = payload[:2]
	}
	// The gateway may be gone already.
	_ = c.SendFrame(ws.NewCloseFrame(answer))
	_ = c.nc.Close()
	return &CloseError{Code: tab.CloseCode(code), Reason: reason}
}

// Ack acknowledges a logout notice.
func (c *Conn) Ack(id string, outcome tab.Outcome) error {
	b, err := tab.EncodeAck(tab.Ack{ID: id, Outcome: outcome})
	if err != nil {
		return err
	}
	return c.Send(b)
}

// NetConn is the socket, for tests that break it.
func (c *Conn) NetConn() net.Conn { return c.nc }

// Close closes the socket without a close frame, as a tab that is closed does.
func (c *Conn) Close() error { return c.nc.Close() }
