package fanout

import (
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gobwas/ws"

	"github.com/curfewhq/curfew/events/tab"
	"github.com/curfewhq/curfew/revocation"
)

// conn is one tab's WebSocket. It is owned by its read goroutine, which is the last to leave.
type conn struct {
	svc *Service
	nc  net.Conn
	// from is nc, behind what the HTTP server had already read.
	from   io.Reader
	origin string
	opened time.Time
	// heard is when the last frame came, in Unix milliseconds; pinged is when the last ping was sent.
	heard, pinged atomic.Int64

	mu sync.Mutex
	// queue holds encoded frames that wait for the writer.
	queue [][]byte
	// writing is whether a writer is at work; closing is whether a close frame has been queued, after which nothing is.
	writing, closing bool
	code             tab.CloseCode
	// over is the id of the logout notice that was queued, after which only the close frame is; grace then ends the wait for its
	// acknowledgement.
	over  string
	grace *time.Timer
	// entry is the conn's place in the hub; nil before hello.
	entry *revocation.LiveEntry[*conn]
}

// serve runs the conn from hello to its end.
func (c *conn) serve(ctx context.Context) {
	defer c.leave()
	r := &reader{from: c.from, heard: c.touch, pong: c.pong}
	_ = c.nc.SetReadDeadline(time.Now().Add(c.svc.cfg.HelloTimeout))
	if !c.hello(ctx, r) {
		c.finish(r)
		return
	}
	// From here on heartbeats find out whether the peer is there.
	_ = c.nc.SetReadDeadline(time.Time{})
	for {
		msg, err := r.message()
		if err != nil {
			c.broken(err)
			break
		}
		ack, known, err := tab.DecodeAck(msg)
		switch {
		case err != nil:
			c.end(tab.CloseInvalidData, "not a frame of "+tab.Subprotocol)
		case known:
			c.acked(ack)
			continue
		default:
			continue
		}
		break
	}
	c.finish(r)
}

// broken answers what went wrong while reading.
func (c *conn) broken(err error) {
	var p *protocolError
	switch {
	case errors.As(err, &p):
		c.end(p.code, p.reason)
	case errors.Is(err, errPeerClosed):
		c.end(tab.CloseNormal, "")
	default:
		c.fail(tab.CloseNormal)
	}
}

// finish reads on, for as long as closing may take, so that a peer that is still sending gets to read the close frame: closing a socket with
// unread bytes would reset it.
func (c *conn) finish(r *reader) {
	_ = c.nc.SetReadDeadline(time.Now().Add(closeTimeout))
	for {
		if _, err := r.message(); err != nil {
			var p *protocolError
			if errors.As(err, &p) {
				_, _ = io.CopyN(io.Discard, c.from, 64<<10)
			}
			return
		}
	}
}

// leave takes the conn out of the hub and closes the socket.
func (c *conn) leave() {
	c.mu.Lock()
	c.closing = true
	entry, code := c.entry, c.code
	if c.grace != nil {
		c.grace.Stop()
	}
	c.mu.Unlock()
	if entry != nil {
		c.svc.hub.Remove(entry)
	}
	_ = c.nc.Close()
	c.svc.left(c, code)
}

// hello authenticates the conn, registers it, checks it and says ready. It returns false when the conn is to end.
func (c *conn) hello(ctx context.Context, r *reader) bool {
	msg, err := r.message()
	var late net.Error
	switch {
	case errors.As(err, &late) && late.Timeout():
		c.end(tab.CloseHelloLate, "hello came too late")
		return false
	case err != nil:
		c.broken(err)
		return false
	}
	h, err := tab.DecodeHello(msg)
	if err != nil {
		c.end(tab.CloseInvalidData, "want hello first")
		return false
	}
	t, err := c.svc.redeem(ctx, h.Ticket, c.origin)
	switch {
	case errors.Is(err, errTicketUnknown):
		c.end(tab.CloseOverloaded, "try again later")
		return false
	case err != nil:
		c.end(tab.CloseTicketRefused, "ticket refused")
		return false
	}
	return c.admit(ctx, t.session())
}

// admit does register, check, ready, in this order, and reports whether to read on. The other way round:
//
//  1. the check says active;
//  2. the session is revoked, and the hub doesn't know the conn;
//  3. the conn is registered, and shows the page for ever.
func (c *conn) admit(ctx context.Context, s revocation.Session) bool {
	entry := c.svc.hub.Add(s, c)
	c.mu.Lock()
	c.entry = entry
	c.mu.Unlock()
	d := c.svc.cfg.Replica.Check(s)
	switch d.State {
	case revocation.Revoked:
		c.svc.signOut(c, d, c.svc.messageOf(ctx, d))
		return true
	case revocation.Undetermined:
		c.end(tab.CloseOverloaded, "can't tell now")
		return false
	}
	frame, err := tab.EncodeReady(tab.Ready{Session: s.ID, Position: d.Position, HeartbeatMS: c.svc.cfg.Heartbeat.Milliseconds()})
	if err != nil {
		c.end(tab.CloseOverloaded, "can't tell now")
		return false
	}
	c.send(text(frame))
	return true
}

// acked takes an acknowledgement. That of the logout notice is the last that is wanted from the tab.
func (c *conn) acked(a tab.Ack) {
	c.mu.Lock()
	last := c.over != "" && c.over == a.ID
	c.mu.Unlock()
	c.svc.acked(a)
	if last {
		c.end(tab.CloseSignedOut, "signed out")
	}
}

func (c *conn) touch() { c.heard.Store(time.Now().UnixMilli()) }

// pong answers a ping, as long as the peer takes the answers.
func (c *conn) pong(payload []byte) {
	c.send(ws.MustCompileFrame(ws.NewPongFrame(payload)))
}

// text wraps an encoded frame into a WebSocket text frame, to be shared by all conns that get it.
func text(payload []byte) []byte { return ws.MustCompileFrame(ws.NewTextFrame(payload)) }

func codeLabel(code tab.CloseCode) string { return strconv.Itoa(int(code)) }
