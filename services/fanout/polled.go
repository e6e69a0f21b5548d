package fanout

import (
	"bytes"
	"errors"
	"io"
	"net"
)

// poll has the poller wait for what the peer says, and reports whether it does: then the conn has no goroutine, and the caller, who has owned it, is done with it. A
// conn is polled between two messages. One that is closing isn't, because it has a deadline; nor is what isn't plain TCP, or on a system whose sockets can't be waited for so.
func (c *conn) poll() bool {
	if !c.wire.rests() {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing {
		return false
	}
	// And of what was read before nothing is kept.
	c.wire.reads(c.link)
	if !c.svc.poller.add(c) {
		return false
	}
	c.polled = true
	return true
}

// said takes what a polled conn's peer has said, or with what it has ended. It is called by the poller, whom it doesn't keep: what has to be waited for, the rest of a message, the
// peer's reading why it is closed, or a writer that is still at work, gets a goroutine, which then owns the conn until it is polled again. in is the poller's.
func (c *conn) said(b []byte, err error, in *bytes.Reader) {
	var early []byte
	switch {
	case err != nil:
	case c.wire.whole(b):
		in.Reset(b)
		if err = c.take(in); err == nil {
			return
		}
	default:
		early = bytes.Clone(b)
	}
	c.unpoll()
	var wrong *protocolError
	switch {
	case err == nil:
		c.svc.crew.do(func() {
			c.wire.reads(after(early, c.link))
			c.listen()
		})
	case errors.As(err, &wrong):
		c.svc.crew.do(func() {
			c.ended(err)
			c.leave()
		})
	default:
		c.here(func() { c.ended(err) })
		if c.isWriting() {
			c.svc.crew.do(c.leave)
			return
		}
		c.leave()
	}
}

// unpoll has the poller wait for the conn no longer. What the peer has said since is read by whoever listens then.
func (c *conn) unpoll() {
	c.svc.poller.remove(c)
	c.mu.Lock()
	c.polled = false
	c.mu.Unlock()
}

// take takes whole messages. What they have the conn say is written by the caller, as far as it is taken at once.
func (c *conn) take(whole *bytes.Reader) (err error) {
	defer c.survive()
	c.wire.reads(whole)
	defer c.wire.reads(c.link)
	c.here(func() {
		for err == nil && whole.Len() > 0 {
			err = c.hear()
		}
	})
	return err
}

// hangUp has whoever waits for the peer hear that it says no more.
func (c *conn) hangUp() {
	if t := plain(c.link); t != nil {
		_ = t.CloseRead()
	}
}

// plain returns the TCP beneath a link that puts nothing around it, or nil.
func plain(l link) *net.TCPConn {
	if b, ok := l.(*begun); ok {
		b.mu.Lock()
		defer b.mu.Unlock()
		if len(b.first) > 0 {
			return nil
		}
		l = b.Conn
	}
	t, _ := l.(*net.TCPConn)
	return t
}

// inbox reads what was read already, and then the rest.
type inbox struct {
	early []byte
	rest  io.Reader
}

// after returns what reads early, and then l.
func after(early []byte, l link) io.Reader {
	if len(early) == 0 {
		return l
	}
	return &inbox{early, l}
}

func (i *inbox) Read(p []byte) (int, error) {
	if len(i.early) == 0 {
		return i.rest.Read(p)
	}
	n := copy(p, i.early)
	i.early = i.early[n:]
	return n, nil
}

// pending reports whether something was read of a peer that nobody has taken.
func pending(from io.Reader) bool {
	i, ok := from.(*inbox)
	return ok && len(i.early) > 0
}
