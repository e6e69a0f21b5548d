package revocation

import (
	"fmt"
	"time"

	"github.com/curfewhq/curfew/events"
)

const reasonMaxAge = events.ReasonMaxAge

// sink is what the feed writes to.
type sink struct{ r *Replica }

// Begin decides from where to follow. The set is never emptied: the state is a join, so what is already there stays true, and
// an empty answer must not replace it (trap 9).
func (s *sink) Begin(h Head) (uint64, error) {
	r := s.r
	if need := r.cfg.MaxAge + r.cfg.Leeway; h.Retention > 0 && h.Retention < need {
		return 0, fmt.Errorf("%w: the stream keeps events for %v, but max age is %v and leeway %v: lengthen the stream's retention to %v or shorten max age",
			ErrRetention, h.Retention, r.cfg.MaxAge, r.cfg.Leeway, need)
	}
	after := r.position.Load()
	r.mu.Lock()
	// A stream that was made anew, or put back to an earlier state, counts its positions anew: what we had applied says nothing about
	// it, and nothing is known until it has been read whole.
	other, behind := r.stream != h.Stream, h.Last < after
	restart := other || behind
	r.stream = h.Stream
	r.headLies = !other && (r.headLies || behind)
	// A head that lies before what we have applied of the same stream is an old one: a backup, or the answer of a leader that has been
	// cut off and doesn't know. Reaching it proves nothing about now; a beat does.
	r.begun = h.AsOf
	if r.headLies {
		r.begun = time.Time{}
	}
	r.mu.Unlock()
	if restart {
		r.synced.Store(false)
		r.position.Store(0)
		after = 0
	}
	r.head.Store(h.Last)
	s.advance(after)
	return after, nil
}

func (s *sink) Event(position uint64, e events.Event) {
	r := s.r
	// The event's own time is a publisher's clock and says nothing about the stream's, so it isn't heard.
	r.set.apply(e, position)
	s.advance(position)
	r.mu.Lock()
	watchers := r.watchers
	r.mu.Unlock()
	for _, w := range watchers {
		w.fn(Applied{Event: e, Position: position})
	}
}

func (s *sink) Skip(position uint64, err error) {
	s.r.skipped.Add(1)
	if s.r.cfg.Hooks.Skipped != nil {
		s.r.cfg.Hooks.Skipped(position, err)
	}
	s.advance(position)
}

func (s *sink) Beat(position uint64, stored, asOf time.Time) {
	s.heard(stored)
	s.advance(position)
	s.r.fresh.prove(asOf, time.Now())
}

func (s *sink) Reach(position uint64) { s.advance(position) }

// heard moves the stream's clock forward.
func (s *sink) heard(t time.Time) {
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	if t.After(s.r.newest) {
		s.r.newest = t
	}
}

// advance moves the position forward, wakes who waits, and syncs once the head is reached.
//
// Reaching the head dates a proof only for a replica that wasn't synced. After that beats alone are proof: a head that was asked for
// comes by another path than the events, and the answer of a leader that has been cut off can't tell it from silence.
func (s *sink) advance(position uint64) {
	r := s.r
	if position > r.position.Load() {
		r.position.Store(position)
	}
	r.waiters.wake(r.position.Load())
	if r.synced.Load() || r.position.Load() < r.head.Load() {
		return
	}
	r.mu.Lock()
	begun := r.begun
	r.mu.Unlock()
	if !begun.IsZero() {
		r.fresh.prove(begun, time.Now())
	}
	r.synced.Store(true)
	select {
	case <-r.firstSync:
	default:
		close(r.firstSync)
	}
	if r.cfg.Hooks.Synced != nil {
		r.cfg.Hooks.Synced(r.position.Load())
	}
}
