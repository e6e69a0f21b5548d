package revocationhttp

import (
	"sync"
	"time"

	"github.com/curfewhq/curfew/revocation"
)

// episodeQuiet is how long no request of an episode's kind has come before it may be over. A request with a far-off position, which anybody can
// send, makes an episode of its own: so there can't be more of them than one in this time.
const episodeQuiet = 10 * time.Second

// Episode is a time in which requests were decided by other means than the replica: by asking a gate, or by failing open. It is told twice, when
// it begins and when it is over.
type Episode struct {
	// FailOpen is true of requests that were passed though nobody could tell about their sessions, and false of those that a gate has decided.
	FailOpen bool
	// Over is false when the episode begins.
	Over bool
	// Cause is why the replica couldn't tell at first: revocation.ErrNotSynced, ErrStale or ErrBehind.
	Cause error
	// Began and Last are when the first and the last of the requests were decided.
	Began, Last time.Time
	// Requests is how many there were so far.
	Requests int
}

// episodes finds the beginning and the end of each episode of one kind. Its methods are safe for concurrent use.
type episodes struct {
	failOpen bool
	replica  Checker
	// tell is nil where nobody wants to know.
	tell func(Episode)
	// watches counts armed timers, running ones, and beginnings that are being told.
	watches sync.WaitGroup

	mu     sync.Mutex
	closed bool
	// now is the episode; it has no requests while there is none.
	now Episode
	// begun is closed once the episode's beginning has been told, so that its end isn't told before.
	begun chan struct{}
	// timer runs watch while there is an episode.
	timer *time.Timer
	// session and require are the last request's, to ask the replica whether it could tell by now.
	session revocation.Session
	require revocation.Require
}

// count adds a request that was decided because of cause.
func (e *episodes) count(s revocation.Session, q revocation.Require, cause error) {
	if e.tell == nil {
		return
	}
	now := time.Now()
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return
	}
	begins := e.now.Requests == 0
	if begins {
		e.now = Episode{FailOpen: e.failOpen, Cause: cause, Began: now}
		e.begun = make(chan struct{})
		e.watches.Add(1)
		e.arm(episodeQuiet)
	}
	e.now.Last = now
	e.now.Requests++
	// The position is one request's own, and says nothing about the next.
	q.Position = 0
	e.session, e.require = s, q
	told, begun := e.now, e.begun
	e.mu.Unlock()
	if begins {
		defer e.watches.Done()
		defer close(begun)
		e.tell(told)
	}
}

// arm lets watch run after d. The caller holds mu.
func (e *episodes) arm(d time.Duration) {
	e.watches.Add(1)
	e.timer = time.AfterFunc(d, func() {
		defer e.watches.Done()
		e.watch()
	})
}

// watch ends the episode once no request has come for a while and the replica could tell about the last one. As long as it can't, the episode
// goes on, however few requests there are.
func (e *episodes) watch() {
	e.mu.Lock()
	s, q := e.session, e.require
	e.mu.Unlock()
	blind := e.replica.CheckWith(s, q).MayMend()
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return
	}
	wait := episodeQuiet - time.Since(e.now.Last)
	if wait <= 0 && blind {
		wait = time.Second
	}
	if wait > 0 {
		e.arm(wait)
		e.mu.Unlock()
		return
	}
	over, begun := e.end(), e.begun
	e.mu.Unlock()
	<-begun
	e.tell(over)
}

// end returns the episode and leaves none. The caller holds mu.
func (e *episodes) end() Episode {
	over := e.now
	over.Over = true
	e.now, e.session, e.require = Episode{}, revocation.Session{}, revocation.Require{}
	return over
}

// close tells of the end of an episode that goes on, and returns when nothing is told any more.
func (e *episodes) close() {
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return
	}
	e.closed = true
	open := e.now.Requests > 0
	over, begun := e.end(), e.begun
	if open && e.timer.Stop() {
		e.watches.Done()
	}
	e.mu.Unlock()
	if open {
		<-begun
		e.tell(over)
	}
	e.watches.Wait()
}
