package fanout

import (
	"net"
	"time"

	"github.com/gobwas/ws"

	"github.com/curfewhq/curfew/events/tab"
)

const (
	// maxQueued is how many frames may wait for a slow conn.
	maxQueued = 8
	// writeTimeout bounds each write. It is set before every one: a deadline that is left over would end a healthy conn later.
	writeTimeout = 2 * time.Second
	// ackTimeout is how long a tab may take to acknowledge a logout notice: it asks its own application first.
	ackTimeout = 2 * time.Second
	// closeTimeout is how long the peer may take to answer a close frame.
	closeTimeout = 2 * time.Second
)

// send queues an encoded frame and starts a writer unless one is at work. It never blocks. A conn whose queue is full is closed with 1013: it
// learns the truth when it comes back.
func (c *conn) send(frame []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing || c.over != "" {
		return
	}
	if len(c.queue) >= maxQueued {
		c.closeLocked(tab.CloseOverloaded, "too slow")
		// What is queued would only delay the close.
		c.queue = c.queue[len(c.queue)-1:]
		return
	}
	c.queue = append(c.queue, frame)
	c.startWriterLocked()
}

// signOut queues the logout notice with its id. The conn is closed with 4501 once the tab has acknowledged it, or hasn't for ackTimeout. It
// reports whether this was the conn's first notice of the kind; later ones have no effect.
func (c *conn) signOut(id string, frame []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing || c.over != "" {
		return false
	}
	c.over = id
	c.queue = append(c.queue, frame)
	c.grace = time.AfterFunc(ackTimeout, func() { c.end(tab.CloseSignedOut, "signed out") })
	c.startWriterLocked()
	return true
}

// end queues last frames and then the close frame. Only the first call has an effect.
func (c *conn) end(code tab.CloseCode, reason string, last ...[]byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing {
		return
	}
	c.queue = append(c.queue, last...)
	c.closeLocked(code, reason)
}

func (c *conn) closeLocked(code tab.CloseCode, reason string) {
	c.closing, c.code = true, code
	if len(reason) > tab.MaxCloseReasonBytes {
		reason = reason[:tab.MaxCloseReasonBytes]
	}
	body := ws.NewCloseFrameBody(ws.StatusCode(code), reason)
	c.queue = append(c.queue, ws.MustCompileFrame(ws.NewCloseFrame(body)))
	c.startWriterLocked()
}

func (c *conn) startWriterLocked() {
	if c.writing {
		return
	}
	c.writing = true
	c.svc.work.Go(c.write)
}

// write runs while there is something to write.
func (c *conn) write() {
	for {
		c.mu.Lock()
		if len(c.queue) == 0 {
			c.writing = false
			closing := c.closing
			c.mu.Unlock()
			if closing {
				// The reader takes the peer's close frame, or gives up.
				_ = c.nc.SetReadDeadline(time.Now().Add(closeTimeout))
			}
			return
		}
		batch := net.Buffers(c.queue)
		c.queue = nil
		c.mu.Unlock()
		if err := c.nc.SetWriteDeadline(time.Now().Add(writeTimeout)); err == nil {
			_, err = batch.WriteTo(c.nc)
			if err == nil {
				continue
			}
		}
		c.fail(tab.CloseOverloaded)
		return
	}
}

// fail gives the conn up without a word: the peer doesn't read.
func (c *conn) fail(code tab.CloseCode) {
	c.mu.Lock()
	if !c.closing {
		c.closing, c.code = true, code
	}
	c.queue = nil
	c.mu.Unlock()
	_ = c.nc.Close()
}
