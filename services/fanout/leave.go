package fanout

import "time"

// lateAck is for how long behind its end a stream's acknowledgement is taken.
const lateAck = 3 * time.Second

// leave takes the conn out of the hub and closes the socket once nothing is being written.
func (c *conn) leave() {
	if c.entry != nil {
		c.svc.hub.Remove(c.entry)
	}
	if c.present {
		c.svc.cfg.Gateway.Down(tenantOf(c.entry.Session), c.entry.Session.User)
	}
	c.svc.wheel.leave(c)
	c.writer.Wait()
	_ = c.link.Close()
	c.mu.Lock()
	code, unacked := c.code, c.over
	if c.shown {
		unacked = ""
	}
	// Who has found it in the hub before tells it nothing any more, which nobody would count as gone.
	c.closing = true
	if c.grace != nil {
		c.grace.Stop()
	}
	c.mu.Unlock()
	late := unacked != "" && !c.wire.answers()
	switch {
	case late:
		// Its acknowledgement travels beside it, and may come behind its end: a page that leaves closes the one and sends the other.
		time.AfterFunc(lateAck, func() { c.tooLate(unacked) })
	case unacked != "":
		c.svc.shown.gone(unacked)
	}
	c.svc.left(c, code, late)
}

// tooLate ends the wait for the acknowledgement of a stream that is gone.
func (c *conn) tooLate(notice string) {
	c.mu.Lock()
	acknowledged := c.shown
	c.over = ""
	c.mu.Unlock()
	c.svc.forgetStream(c.number)
	if !acknowledged {
		c.svc.shown.gone(notice)
	}
}
