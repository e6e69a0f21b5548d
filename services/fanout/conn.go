package fanout

import (
	"context"
	"errors"
	"io"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/events/tab"
	"github.com/curfewhq/curfew/revocation"
)

// maxDiscarded is how much of what a peer still sends is read away while it is being told why it is closed.
const maxDiscarded = 1 << 20

// behindTimeout is for how long a tab waits for a replica that is behind what it knows.
const behindTimeout = time.Second

// conn is one tab's conn. It is owned by who waits for what the peer says, a goroutine of its own or the poller; that goroutine, or one that the poller has begun for it, is the last
// to leave.
type conn struct {
	svc  *Service
	link link
	wire wire
	// peer is what conns before hello are counted by.
	peer peerKey
	// opened is in Unix milliseconds.
	opened int64
	// number counts conns of this gateway from 1.
	number uint64
	// heard is when the last frame came, on the service's clock.
	heard atomic.Int64
	// seenOver is whether the session was found to be over when the conn was last looked after.
	seenOver atomic.Bool
	// seated is whether the conn has the place of a tab; the service's mutex guards it. present is whether its user was told to be here; only the conn's owner
	// uses it.
	seated, present bool
	// ends is when the session reaches max age or its absolute end, in Unix milliseconds. leaves is when the conn has reached its own age, on the service's clock; 0
	// means never. Neither changes once the conn is in the wheel.
	ends, leaves int64
	// spoke is the conn's place in the wheel, whose mutex guards it.
	spoke spoke
	// place is where the poller has it.
	place int32
	// entry is the conn's place in the hub; nil before hello. The conn's owner sets it, with mu held, so that it is there before anything is sent that could be acknowledged.
	entry *revocation.LiveEntry[*conn]
	// writer counts who writes: the goroutine of write, or a caller of here.
	writer sync.WaitGroup

	mu sync.Mutex
	// queue holds what waits for the writer, and pong the answer to the latest ping (RFC 6455 section 5.5.3: earlier ones need
	// none any more).
	queue [][]byte
	pong  []byte
	// writing is whether a writer is at work; closing is whether a close frame has been queued, after which nothing is; polled is whether the poller waits for the peer.
	writing, closing, polled bool
	// ready is whether the ready frame has been queued; changed is whether a sessions_changed waits, in the queue or for ready.
	ready, changed bool
	// shown is whether the tab has acknowledged the logout notice whose id over is, after which only the close frame is queued; grace ends the wait for that, or for the answer
	// to a close frame while the conn is polled. code is what it is closed with.
	shown bool
	code  tab.CloseCode
	over  string
	grace *time.Timer
}

// caller is who opens a conn, as far as its request tells.
type caller struct {
	origin string
	// who is nil if hello is to tell it.
	who   *identity
	known cursor
}

// identity is who a conn is for, by a ticket, a cookie or a token.
type identity struct {
	session revocation.Session
	// ends is the session's absolute end in Unix milliseconds, and 0 if none was told.
	ends int64
}

// cursor is what a tab that comes back has heard of.
type cursor struct {
	after    string
	position uint64
}

// open serves a conn that has a place, from its greeting on. That takes a deep stack, and the wait for the next heartbeat takes none, or a small one, for as long as the
// tab is open: so it is left to the poller, or gets a goroutine of its own.
func (s *Service) open(c *conn, call caller) {
	if s.welcome(c, call) && !c.poll() {
		go c.listen()
	}
}

// welcome greets a conn, and reports whether there is still something to hear from it. If not it has left.
func (s *Service) welcome(c *conn, call caller) (listens bool) {
	defer func() {
		if s.panicked(recover()) {
			c.fail(tab.CloseOverloaded)
			listens = false
		}
		if !listens {
			c.leave()
		}
	}()
	return s.greet(c, call)
}

// greet admits a conn, and reports whether there is still something to hear from it.
func (s *Service) greet(c *conn, call caller) bool {
	s.register(c)
	waited := call.who == nil
	if waited && !c.hello(&call) {
		return false
	}
	if call.who == nil || c.isClosing() {
		return true
	}
	if !s.seat(c) {
		c.end(tab.CloseOverloaded, "no room")
		return true
	}
	c.admit(call.who.session, call.known)
	if waited {
		// From here on heartbeats find out whether the peer is there.
		c.readUntil(time.Time{})
	}
	s.begin(c, *call.who)
	return true
}

// hello has the tab's first message tell who it is, and reports whether one has come. It tells nobody if that message, or its ticket, is no good.
func (c *conn) hello(call *caller) bool {
	if c.hold() {
		c.write()
	}
	c.readUntil(time.Now().Add(c.svc.cfg.HelloTimeout))
	var msg []byte
	for msg == nil {
		var err error
		if msg, err = c.wire.next(); err != nil {
			c.broken(err)
			return false
		}
	}
	if c.isClosing() {
		// The ticket must not be used up for nothing.
		return true
	}
	h, err := tab.DecodeHello(msg)
	if err != nil {
		c.end(tab.CloseInvalidData, "want hello first")
		return true
	}
	t, err := c.svc.redeem(h.Ticket, call.origin)
	switch {
	case errors.Is(err, errTicketUnknown):
		c.end(tab.CloseOverloaded, "try again later")
	case err != nil:
		c.end(tab.CloseTicketRefused, "ticket refused")
	default:
		call.who, call.known = t.identity(), cursor{position: h.Position, after: h.After}
	}
	return true
}

// listen takes what the peer says until it says no more, or the conn is polled.
func (c *conn) listen() {
	polled := false
	defer func() {
		if !polled {
			c.leave()
		}
	}()
	defer c.survive()
	for {
		if polled = c.poll(); polled {
			return
		}
		err := c.wire.await()
		if err == nil {
			err = c.hear()
		}
		if err != nil {
			c.broken(err)
			return
		}
	}
}

// hear takes the next message.
func (c *conn) hear() error {
	msg, err := c.wire.next()
	if err == nil && msg != nil {
		c.later(msg)
	}
	return err
}

// ended is broken for a conn that was polled until then.
func (c *conn) ended(err error) {
	defer c.survive()
	c.broken(err)
}

// broken answers what ended the reading, and stays until the peer has read the answer or has had its time: closing a socket with unread bytes
// would reset it, and the peer wouldn't learn why.
func (c *conn) broken(err error) {
	var p *protocolError
	switch {
	case errors.Is(err, errPeerClosed):
		// RFC 6455 section 7.1.1: the server closes first, so there is nothing to wait for but the answer's being written.
		c.end(tab.CloseNormal, "")
		return
	case errors.As(err, &p):
		c.end(p.code, p.reason)
	case errors.Is(err, os.ErrDeadlineExceeded) && c.end(tab.CloseHelloLate, "hello came too late"):
		// Reading has no other deadline until the conn is closing. That the kernel has given the peer up is another error.
	default:
		c.fail(tab.CloseNormal)
		return
	}
	// What else comes is no longer read frame by frame: where the next one begins isn't known.
	_, _ = io.CopyN(io.Discard, c.link, maxDiscarded)
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
		_ = c.link.SetReadDeadline(t)
	}
}

// enter puts the conn into the hub, and closes it if its user has too many. They enter one after the other, so that of those who come at once as many are let in as may be.
func (c *conn) enter(s revocation.Session) bool {
	c.svc.entering.Lock()
	defer c.svc.entering.Unlock()
	// Who finds the conn there tells it something once it is unlocked, and what is acknowledged is of its entry.
	c.mu.Lock()
	c.entry = c.svc.hub.Add(s, c)
	c.mu.Unlock()
	if c.svc.tooMany(s) {
		c.end(tab.CloseSlowDown, "too many tabs")
		return false
	}
	return true
}

// admit does register, check, ready, in this order. The other way round:
//
//  1. the check says active;
//  2. the session is revoked, and the hub doesn't know the conn;
//  3. the conn is registered, and shows the page for ever.
//
// A replica that is behind what the tab has heard elsewhere gets a moment. Then it answers all the same, for after a ledger was made anew it may never get there,
// and ready tells how far it is.
func (c *conn) admit(s revocation.Session, known cursor) {
	ctx := c.svc.ctx
	if !c.enter(s) {
		return
	}
	if known.position > 0 {
		behind, cancel := context.WithTimeout(ctx, behindTimeout)
		_ = c.svc.cfg.Replica.WaitFor(behind, known.position)
		cancel()
	}
	d := c.svc.cfg.Replica.Check(s)
	switch d.State {
	case revocation.Revoked:
		l := c.svc.logoutAt(ctx, s, d)
		l.Stream = c.svc.streamName(c)
		c.svc.show(c, encode(l))
		return
	case revocation.Undetermined:
		if !d.MayMend() {
			// A cookie or a token that says too little will say no more the next time.
			c.end(tab.CloseTicketRefused, "session incomplete")
			return
		}
		c.end(tab.CloseOverloaded, "can't tell now")
		return
	}
	frame, err := tab.EncodeReady(tab.Ready{
		Session: s.ID, Position: d.Position, HeartbeatMS: c.svc.cfg.Heartbeat.Milliseconds(), Stream: c.svc.streamName(c),
	})
	if err != nil {
		c.end(tab.CloseOverloaded, "can't tell now")
		return
	}
	if c.hold() {
		// No other goroutine need be begun for it.
		defer c.write()
	}
	c.sendReady(newMessage(frame, d.Position), d.Position, c.svc.recent.touched(s, known))
	if c.svc.cfg.Gateway != nil {
		c.present = true
		c.svc.cfg.Gateway.Up(tenantOf(s), s.User)
	}
}

// later takes a frame that comes after hello. A conn that is closing still takes an acknowledgement that has crossed the close frame.
func (c *conn) later(msg []byte) {
	ack, known, err := tab.DecodeAck(msg)
	if known {
		c.acked(ack)
		return
	}
	if h, helloErr := tab.DecodeHello(msg); helloErr == nil {
		c.helloAgain(h)
	} else if err != nil {
		c.end(tab.CloseInvalidData, "not a frame of "+tab.Subprotocol)
	}
}

// helloAgain takes a hello on a conn that has been told already who it is for, by its request or by another hello. It says nothing new; but a tab that names another session
// than its cookie does mustn't be left to believe that it hears of that.
func (c *conn) helloAgain(h tab.Hello) {
	// It isn't redeemed, so how old it is and where it may be used doesn't matter.
	body, err := c.svc.tickets.unseal(h.Ticket, forConn)
	if err != nil {
		return
	}
	t, err := parseTicket(body)
	if s := c.entry; err == nil && s != nil && (t.Session != s.Session.ID || t.User != s.Session.User || t.Tenant != tenantOf(s.Session)) {
		c.end(tab.CloseTicketRefused, "the conn is for another session")
	}
}

// acked takes an acknowledgement, and reports whether it was waited for.
func (c *conn) acked(ack tab.Ack) bool {
	if !c.acknowledge(ack.ID) {
		return false
	}
	c.svc.acked(c, ack)
	c.end(tab.CloseSignedOut, "signed out")
	return true
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

func (c *conn) isWriting() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.writing
}

func (c *conn) isReady() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ready
}

func (c *conn) touch() { c.heard.Store(c.svc.clock()) }

// tenantOf returns a session's tenant, also where it is the usual one and left out.
func tenantOf(s revocation.Session) string {
	if s.Tenant == "" {
		return events.DefaultTenant
	}
	return s.Tenant
}

func codeLabel(code tab.CloseCode) string { return strconv.Itoa(int(code)) }
