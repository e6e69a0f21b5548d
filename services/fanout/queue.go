package fanout

import (
	"time"

	"github.com/curfewhq/curfew/events/tab"
)

const (
	// maxQueued is how many frames may wait for a slow conn, beside a logout notice and the close frame.
	maxQueued = 8
	// writeTimeout bounds each write. It is set before every one: a deadline that is left over would end a healthy conn later.
	writeTimeout = 2 * time.Second
	// ackTimeout is how long a tab may take to acknowledge a logout notice: it asks its own application first.
	ackTimeout = 2 * time.Second
	// closeTimeout is how long the peer may take to answer a close frame.
	closeTimeout = 2 * time.Second
)

// send queues what is to be written as it is, and starts a writer unless one is at work. It never blocks. A conn whose queue is full is closed with 1013: it
// learns the truth when it comes back.
func (c *conn) send(frame []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closing && c.over == "" {
		c.sendLocked(frame)
	}
}

func (c *conn) sendLocked(frame []byte) {
	if len(c.queue) >= maxQueued {
		// What is queued would only delay the close.
		c.queue = nil
		c.closeLocked(tab.CloseOverloaded, "too slow")
		return
	}
	c.queue = append(c.queue, frame)
	c.startWriterLocked()
}

// sendReady queues the ready frame, and behind it a sessions_changed if one has come since the conn was registered, or while the tab was away.
func (c *conn) sendReady(ready *message, position uint64, missed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing || c.over != "" {
		return
	}
	c.ready = true
	c.sendLocked(c.wire.form(ready))
	if (c.changed || missed) && !c.closing {
		c.changed = true
		c.sendLocked(c.wire.form(newChanged(position)))
	}
}

// sendChanged queues a sessions_changed, unless one is waiting already: one says as much as many, and a burst of them must not fill the queue of
// a conn that keeps up. It reports whether this one will be written.
func (c *conn) sendChanged(m *message) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing || c.over != "" || c.changed {
		return false
	}
	c.changed = true
	if c.ready {
		c.sendLocked(c.wire.form(m))
	}
	return !c.closing
}

// sendHint queues what a tab loses nothing by if it misses it: one that isn't ready yet does, and one for which much waits. It reports whether it is queued.
func (c *conn) sendHint(m *message) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing || c.over != "" || !c.ready || len(c.queue) >= maxQueued/2 {
		return false
	}
	c.sendLocked(c.wire.form(m))
	return !c.closing
}

// beat asks the peer for a sign of life.
func (c *conn) beat() { c.here(func() { c.send(c.wire.ping()) }) }

// here has what say queues written by the caller, as far as the conn takes it at once; only for what is left a goroutine is begun. Most conns are idle and take it all, and
// to begin a goroutine for each is half of what it costs to tell very many. It never blocks.
func (c *conn) here(say func()) {
	c.mu.Lock()
	if c.writing || c.closing {
		c.mu.Unlock()
		say()
		return
	}
	// Until it is given back the caller is the writer, and leave, which comes after closing, waits for it.
	c.writing = true
	c.writer.Add(1)
	c.mu.Unlock()
	defer c.writer.Done()
	say()
	for batch := c.nextBatch(); batch != nil; batch = c.nextBatch() {
		if n := writeNow(c.link, batch); n < len(batch) {
			c.writer.Go(func() { c.writeFrom(batch[n:]) })
			return
		}
		c.written()
	}
}

// answer answers a ping.
func (c *conn) answer(payload []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing {
		return
	}
	if c.pong = c.wire.pong(payload); c.pong != nil {
		c.startWriterLocked()
	}
}

// signOut queues the logout notice with its id. The conn is closed with 4501 once the tab has acknowledged it, or hasn't for ackTimeout. It
// reports whether this was the conn's first notice of the kind; later ones have no effect.
func (c *conn) signOut(id string, m *message) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing || c.over != "" {
		return false
	}
	c.over = id
	c.queue = append(c.queue, c.wire.form(m))
	c.grace = time.AfterFunc(ackTimeout, func() { c.end(tab.CloseSignedOut, "signed out") })
	c.startWriterLocked()
	return true
}

// drain tells the tab to come back after a while, and closes. One that has been told that its session is over isn't asked to come back.
func (c *conn) drain(after time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closing:
	case c.over != "":
		c.closeLocked(tab.CloseSignedOut, "signed out")
	default:
		if frame, err := tab.EncodeDrain(tab.Drain{ReconnectAfterMS: after.Milliseconds()}); err == nil {
			c.queue = append(c.queue, c.wire.form(newMessage(frame, 0)))
		}
		if !c.wire.answers() {
			c.queue = append(c.queue, reconnectAfter(after))
		}
		c.closeLocked(tab.CloseDrain, tab.DrainReason(after))
	}
}

// end queues the close frame. Only the first call has an effect, and reports it.
func (c *conn) end(code tab.CloseCode, reason string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing {
		return false
	}
	c.closeLocked(code, reason)
	return true
}

func (c *conn) closeLocked(code tab.CloseCode, reason string) {
	c.closing, c.code = true, code
	c.queue = append(c.queue, c.wire.closing(code, reason))
	// The peer's time begins when the close frame is written, however long that has to wait for a processor; the deadline that is there mustn't cut it short.
	_ = c.link.SetReadDeadline(time.Time{})
	c.startWriterLocked()
}

// hold makes the caller the conn's writer, unless there is one; it then calls write. Until then what is sent waits.
func (c *conn) hold() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.writing {
		return false
	}
	c.writing = true
	return true
}

// startWriterLocked isn't called after closeLocked, so leave, which comes later, waits for every writer.
func (c *conn) startWriterLocked() {
	if c.writing {
		return
	}
	c.writing = true
	c.writer.Go(c.write)
}

// write runs while there is something to write.
func (c *conn) write() { c.writeFrom(c.nextBatch()) }

func (c *conn) writeFrom(batch []byte) {
	for ; batch != nil; batch = c.nextBatch() {
		err := c.link.SetWriteDeadline(time.Now().Add(writeTimeout))
		if err == nil {
			_, err = c.link.Write(batch)
		}
		if err != nil {
			c.fail(tab.CloseOverloaded)
			return
		}
		c.written()
	}
}

// written takes the kernel's having taken it for a sign of life where the peer gives none: it holds what a dead one doesn't take, and ends the conn for it.
func (c *conn) written() {
	if !c.wire.answers() {
		c.touch()
	}
}

// nextBatch takes what is to be written. If that is nothing it returns nil, and the writer is no more. What waits together is written together: it is short, and
// what one frame alone needs to be written at once isn't copied.
func (c *conn) nextBatch() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	batch := c.pong
	if batch == nil && len(c.queue) == 1 {
		batch = c.queue[0]
	} else {
		for _, frame := range c.queue {
			batch = append(batch, frame...)
		}
	}
	c.queue, c.pong = nil, nil
	if c.ready {
		c.changed = false
	}
	if len(batch) > 0 {
		return batch
	}
	c.writing = false
	switch {
	case c.closing && c.wire.answers():
		// The reader takes the peer's close frame, or gives up.
		c.listenForLocked(closeTimeout)
	case c.closing:
		// There is nothing to wait for, and so the reader comes to its end.
		c.listenForLocked(0)
	}
	return nil
}

// listenForLocked has the waiting for the peer end after a while.
func (c *conn) listenForLocked(d time.Duration) {
	switch {
	case !c.polled:
		_ = c.link.SetReadDeadline(time.Now().Add(d))
	case d <= 0:
		c.hangUp()
	default:
		if c.grace != nil {
			c.grace.Stop()
		}
		c.grace = time.AfterFunc(d, c.hangUp)
	}
}

// fail gives the conn up without a word: the peer doesn't read, or is gone. It doesn't block, as the Close of TLS would, which writes.
func (c *conn) fail(code tab.CloseCode) {
	c.mu.Lock()
	if !c.closing {
		c.closing, c.code = true, code
	}
	c.queue, c.pong = nil, nil
	polled := c.polled
	c.mu.Unlock()
	if polled {
		c.hangUp() // whoever is told that by the poller closes it
		return
	}
	_ = socket(c.link).Close()
}
