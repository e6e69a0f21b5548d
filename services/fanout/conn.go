package fanout

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gobwas/ws"

	"github.com/curfewhq/curfew/events/tab"
	"github.com/curfewhq/curfew/revocation"
)

// maxDiscarded is how much of what a peer still sends is read away while it is being told why it is closed.
const maxDiscarded = 1 << 20

// behindTimeout is for how long a tab waits for a replica that is behind what it knows.
const behindTimeout = time.Second

// conn is one tab's WebSocket. It is owned by its read goroutine, which is the last to leave.
type conn struct {
	svc *Service
	nc  net.Conn
	// from is nc, behind what the HTTP server had already read.
	from   io.Reader
	origin string
	peer   netip.Prefix
	// seated is whether the conn has the place of a tab; the service's mutex guards it.
	seated bool
	opened time.Time
	// heard is when the last frame came, on the service's clock.
	heard atomic.Int64
	// seenOver is whether the session was found to be over when the conn was last looked after.
	seenOver atomic.Bool
	// ends is when the session reaches max age or its absolute end, in Unix milliseconds. leaves is when the conn has reached its own age, on the service's clock; 0
	// means never. Neither changes once the conn is in the wheel.
	ends, leaves int64
	// spoke is the conn's place in the wheel, whose mutex guards it.
	spoke spoke
	// entry is the conn's place in the hub; nil before hello. Only the read goroutine uses it.
	entry *revocation.LiveEntry[*conn]
	// writer is the goroutine of write, when there is one.
	writer sync.WaitGroup

	mu sync.Mutex
	// queue holds encoded frames that wait for the writer, and pong the answer to the latest ping (RFC 6455 section 5.5.3: earlier ones need
	// none any more).
	queue [][]byte
	pong  []byte
	// writing is whether a writer is at work; closing is whether a close frame has been queued, after which nothing is.
	writing, closing bool
	code             tab.CloseCode
	// ready is whether the ready frame has been queued; changed is whether a sessions_changed waits, in the queue or for ready.
	ready, changed bool
	// over is the id of the logout notice that was queued, after which only the close frame is; shown is whether the tab has acknowledged it, and
	// grace ends the wait for that.
	over  string
	shown bool
	grace *time.Timer
}

// serve runs the conn from hello to its end.
func (c *conn) serve(ctx context.Context) {
	defer c.leave()
	r := &reader{from: c.from, heard: c.touch, pong: c.answer}
	c.readUntil(time.Now().Add(c.svc.cfg.HelloTimeout))
	take := c.hello
	for {
		msg, err := r.message()
		if err != nil {
			c.broken(err)
			return
		}
		take(ctx, msg)
		take = c.later
	}
}

// broken answers what ended the reading, and stays until the peer has read the answer or has had its time: closing a socket with unread bytes
// would reset it, and the peer wouldn't learn why.
func (c *conn) broken(err error) {
	var p *protocolError
	var late net.Error
	switch {
	case errors.Is(err, errPeerClosed):
		// RFC 6455 section 7.1.1: the server closes first, so there is nothing to wait for but the answer's being written.
		c.end(tab.CloseNormal, "")
		return
	case errors.As(err, &p):
		c.end(p.code, p.reason)
	case errors.As(err, &late) && late.Timeout() && c.end(tab.CloseHelloLate, "hello came too late"):
		// Reading has no other deadline until the conn is closing.
	default:
		c.fail(tab.CloseNormal)
		return
	}
	// What else comes is no longer read frame by frame: where the next one begins isn't known.
	_, _ = io.CopyN(io.Discard, c.from, maxDiscarded)
}

// readUntil sets the read deadline of a conn that isn't closing. That of one that is must stay: cleared by
//
//  1. admit, which asks for the notice's message; 2. drain, which closes; 3. admit, which is done, and takes hello's deadline away
//
// it would leave the conn to a peer that never answers the close frame.
func (c *conn) readUntil(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closing {
		_ = c.nc.SetReadDeadline(t)
	}
}

// leave takes the conn out of the hub and closes the socket once nothing is being written.
func (c *conn) leave() {
	if c.entry != nil {
		c.svc.hub.Remove(c.entry)
	}
	c.svc.wheel.leave(c)
	c.writer.Wait()
	_ = c.nc.Close()
	c.mu.Lock()
	code := c.code
	if c.grace != nil {
		c.grace.Stop()
	}
	c.mu.Unlock()
	c.svc.left(c, code)
}

// hello authenticates the conn and admits it.
func (c *conn) hello(ctx context.Context, msg []byte) {
	if c.isClosing() {
		// The ticket must not be used up for nothing.
		return
	}
	h, err := tab.DecodeHello(msg)
	if err != nil {
		c.end(tab.CloseInvalidData, "want hello first")
		return
	}
	t, err := c.svc.redeem(ctx, h.Ticket, c.origin)
	switch {
	case errors.Is(err, errTicketUnknown):
		c.end(tab.CloseOverloaded, "try again later")
		return
	case err != nil:
		c.end(tab.CloseTicketRefused, "ticket refused")
		return
	}
	if !c.svc.seat(c) {
		c.end(tab.CloseOverloaded, "no room")
		return
	}
	c.admit(ctx, t.session(), h.Position)
	// From here on heartbeats find out whether the peer is there.
	c.readUntil(time.Time{})
	c.svc.begin(c, t)
}

// admit does register, check, ready, in this order. The other way round:
//
//  1. the check says active;
//  2. the session is revoked, and the hub doesn't know the conn;
//  3. the conn is registered, and shows the page for ever.
//
// A replica that is behind what the tab has heard elsewhere gets a moment. Then it answers all the same, for after a ledger was made anew it may never get there,
// and ready tells how far it is.
func (c *conn) admit(ctx context.Context, s revocation.Session, known uint64) {
	c.entry = c.svc.hub.Add(s, c)
	if known > 0 {
		behind, cancel := context.WithTimeout(ctx, behindTimeout)
		_ = c.svc.cfg.Replica.WaitFor(behind, known)
		cancel()
	}
	d := c.svc.cfg.Replica.Check(s)
	switch d.State {
	case revocation.Revoked:
		c.svc.show(c, c.svc.noticeAt(ctx, s, d))
		return
	case revocation.Undetermined:
		c.end(tab.CloseOverloaded, "can't tell now")
		return
	}
	frame, err := tab.EncodeReady(tab.Ready{Session: s.ID, Position: d.Position, HeartbeatMS: c.svc.cfg.Heartbeat.Milliseconds()})
	if err != nil {
		c.end(tab.CloseOverloaded, "can't tell now")
		return
	}
	c.sendReady(text(frame))
}

// later takes a frame that comes after hello. A conn that is closing still takes an acknowledgement that has crossed the close frame.
func (c *conn) later(_ context.Context, msg []byte) {
	ack, known, err := tab.DecodeAck(msg)
	switch {
	case err != nil:
		c.end(tab.CloseInvalidData, "not a frame of "+tab.Subprotocol)
	case known && c.acknowledge(ack.ID):
		c.svc.acked(ack)
		c.end(tab.CloseSignedOut, "signed out")
	}
}

// acknowledge reports whether id is the notice that the tab was sent, for the first time. A tab can't acknowledge what it wasn't shown: receipts
// are made of this.
func (c *conn) acknowledge(id string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over == "" || c.over != id || c.shown {
		return false
	}
	c.shown = true
	return true
}

func (c *conn) isClosing() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closing
}

func (c *conn) touch() { c.heard.Store(c.svc.clock()) }

// text wraps an encoded frame into a WebSocket text frame, to be shared by all conns that get it.
func text(payload []byte) []byte { return ws.MustCompileFrame(ws.NewTextFrame(payload)) }

func codeLabel(code tab.CloseCode) string { return strconv.Itoa(int(code)) }
