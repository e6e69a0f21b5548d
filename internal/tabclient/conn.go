package tabclient

import (
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

// CloseError is returned by Next when the gateway has closed the conn.
type CloseError struct {
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
	d := ws.Dialer{Protocols: []string{tab.Subprotocol}}
	if origin != "" {
		d.Header = ws.HandshakeHeaderHTTP(http.Header{"Origin": {origin}})
	}
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
	c := &Conn{nc: nc, from: nc}
	if early != nil {
		c.from = early
	}
	if ticket == "" {
		return c, nil
	}
	hello, err := tab.EncodeHello(tab.Hello{Ticket: ticket})
	if err == nil {
		err = c.Send(hello)
	}
	if err != nil {
		_ = nc.Close()
		return nil, err
	}
	return c, nil
}

// Send sends a text frame.
func (c *Conn) Send(payload []byte) error { return c.SendFrame(ws.NewTextFrame(payload)) }

// SendFrame masks a frame and sends it.
func (c *Conn) SendFrame(f ws.Frame) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.nc.SetWriteDeadline(time.Now().Add(5 * time.Second))
	return ws.WriteFrame(c.nc, ws.MaskFrame(f))
}

// Next returns the next frame of the protocol. It returns a *CloseError when the gateway closes the conn, after answering it.
func (c *Conn) Next(ctx context.Context) (tab.Frame, error) {
	stop := context.AfterFunc(ctx, func() { _ = c.nc.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	for {
		f, err := ws.ReadFrame(c.from)
		if ctx.Err() != nil {
			return tab.Frame{}, context.Cause(ctx)
		}
		if err != nil {
			return tab.Frame{}, err
		}
		switch f.Header.OpCode {
		case ws.OpPing:
			if err := c.SendFrame(ws.NewPongFrame(f.Payload)); err != nil {
				return tab.Frame{}, err
			}
		case ws.OpClose:
			code, reason := ws.ParseCloseFrameData(f.Payload)
			_ = c.SendFrame(ws.NewCloseFrame(ws.NewCloseFrameBody(code, "")))
			_ = c.nc.Close()
			return tab.Frame{}, &CloseError{Code: tab.CloseCode(code), Reason: reason}
		case ws.OpText:
			return tab.DecodeFrame(f.Payload)
		}
	}
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
