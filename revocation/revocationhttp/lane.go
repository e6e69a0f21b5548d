package revocationhttp

import (
	"container/list"
	"math/rand/v2"
	"time"
)

const (
	// maxBatch and maxBatchBytes bound a request: as many touches, and as long a body, as the registry takes.
	maxBatch, maxBatchBytes = 1000, 1 << 20
	// shortestTouchWait and longestTouchWait are between attempts to send what failed.
	shortestTouchWait, longestTouchWait = time.Second, time.Minute
)

// touch is the latest input in a session.
type touch struct {
	session string
	// at is in Unix milliseconds.
	at int64
}

// bytes is how long the touch is as JSON, at most: of what may stand in ids, nothing takes more than twice its bytes.
func (t touch) bytes() int { return 2*len(t.session) + 64 }

// lane holds the touches of a tenant, which are sent with its key. The mutex of its Touches guards it.
type lane struct {
	tenant string
	key    APIKey
	// waiting: session → its touch, an element of order, where those that have waited longest come first.
	waiting map[string]*list.Element
	order   list.List
	// due is when to send what waits; zero while nothing does. After a failure it is when to try again.
	due time.Time
	// flying counts touches that are on their way.
	flying int
	// failures counts rounds in a row in which sending failed.
	failures int
}

// renew notes a later input of a session that waits, and reports whether it does.
func (l *lane) renew(session string, at int64) bool {
	e, ok := l.waiting[session]
	if ok {
		t := e.Value.(*touch) //nolint:forcetypeassert // nothing else is in the list
		t.at = max(t.at, at)
	}
	return ok
}

// add lets a touch of a session that doesn't wait.
func (l *lane) add(t touch) { l.waiting[t.session] = l.order.PushBack(&t) }

// take takes the touches out that have waited longest, as many as a request may hold.
func (l *lane) take() batch {
	b := batch{lane: l}
	for size := 0; len(b.touches) < maxBatch; {
		first := l.order.Front()
		if first == nil {
			break
		}
		t := first.Value.(*touch) //nolint:forcetypeassert // nothing else is in the list
		if size += t.bytes(); size > maxBatchBytes {
			break
		}
		l.order.Remove(first)
		delete(l.waiting, t.session)
		b.touches = append(b.touches, *t)
	}
	l.flying += len(b.touches)
	return b
}

// putBack lets touches wait again that couldn't be sent, where they were, and returns how many of them are no longer wanted: their sessions wait with a
// newer one, which stays.
func (l *lane) putBack(b batch) (newer int) {
	for i := len(b.touches) - 1; i >= 0; i-- {
		t := b.touches[i]
		if l.renew(t.session, t.at) {
			newer++
			continue
		}
		l.waiting[t.session] = l.order.PushFront(&t)
	}
	l.flying -= len(b.touches)
	return newer
}

// outcome is what a round has brought a lane; after is how long the registry asks to wait.
type outcome struct {
	failed bool
	after  time.Duration
}

// settle notes how a round has ended for the lane. A failure isn't followed by another attempt before what the registry asks for is over, and not before a wait
// that doubles with each, at random, so that the processes of a service don't come back together.
func (l *lane) settle(o outcome, now time.Time) {
	if !o.failed {
		l.failures = 0
		return
	}
	wait := min(shortestTouchWait<<min(l.failures, 10), longestTouchWait)
	l.failures++
	l.due = now.Add(max(wait/2+rand.N(wait), o.after))
}

// batch is what one request tells.
type batch struct {
	lane    *lane
	touches []touch
}
