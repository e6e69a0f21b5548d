package revocation

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/curfewhq/curfew/events"
	fp "github.com/curfewhq/curfew/revocation/internal/fingerprint"
)

// sink is what the feed writes to.
type sink struct {
	r *Replica
	// ctx is that of Follow.
	ctx context.Context
	// made is what the server calls the stream.
	made string
	// caught counts the events that were applied before the head was reached.
	caught int
}

// errNoName is a mistake of the feed's: without a name, a stream that was replaced couldn't be told from the one that it replaced.
var errNoName = errors.New("the feed gives its stream no name: set Head.Stream")

// Begin decides from where to follow. The set is never emptied: the state is a join, so what is already there stays true, and
// an empty answer must not replace it (trap 9 of docs/traps.md).
func (s *sink) Begin(h Head) (uint64, error) {
	r := s.r
	if h.Stream == "" {
		return 0, errNoName
	}
	after := r.position.Load()
	r.mu.Lock()
	// A stream that was made anew, or put back to an earlier state, counts its positions anew: what we had applied says nothing about
	// it, and nothing is known until it has been read whole.
	restart := r.stream != h.Stream || h.Last < after
	r.mu.Unlock()
	// What came after our position is gone: retention has passed it while we were away, or somebody has removed it.
	missed := !restart && h.First > after+1
	if restart || missed {
		// In this order, for Check reads the first before the others. What a beat of the old stream proved can't vouch for the new one:
		//  1. a beat of the old stream comes; 2. the stream is made anew; 3. we reach its head, which may be an old one; 4. Check.
		r.synced.Store(false)
	}
	if restart {
		r.fresh.forget()
	}
	if err := r.keepsEnough(h.Retention, r.synced.Load()); err != nil {
		// Neither stream nor position are noted, so that it is the same stream to begin anew, or the same gap, when it keeps enough again; but that it
		// is to begin anew, for a stream that was put back may have grown past our position by then.
		if restart {
			r.mu.Lock()
			r.stream = ""
			r.mu.Unlock()
		}
		return 0, err
	}
	r.adopt(h.HashKey)
	s.made = h.made()
	if (restart || missed) && !h.WholeSince.IsZero() {
		// A session that began later can only have been ended by what was stored later, but for what clocks differ by.
		raise(&r.unheard, h.WholeSince.Add(r.cfg.Leeway).UnixMilli())
	}
	if restart {
		r.restarts.Add(1)
		r.position.Store(0)
		r.noteApplied(mark{})
		r.leftOut.Store(false)
		r.set.Load().rewind()
		from, err := r.restore(s.ctx, &h)
		if err != nil {
			return 0, err
		}
		after = from
	}
	if restart || missed {
		// What is known by now may have come in other ways than as an event that ends its watches.
		r.watches.checkAll()
	}
	// Not before: as long as the stream can't be asked about a snapshot, nothing was begun.
	r.mu.Lock()
	r.stream, r.made = h.Stream, s.made
	r.mu.Unlock()
	r.head.Store(h.Last)
	s.advance(after)
	return after, nil
}

// adopt makes key the key of fingerprints, if there is one and nothing is held by another key yet. Fingerprints can't be told what they were made of:
// a replica that holds some keeps its key for life. That costs it the comparison of digests, and snapshots by the other key.
func (r *Replica) adopt(key [fp.KeySize]byte) {
	old := r.set.Load()
	if sessions, scopes := old.size(); key != [fp.KeySize]byte{} && key != old.hash.Key() && sessions+scopes == 0 {
		r.set.Store(newSet(r.lifetimes(), key))
	}
}

func (s *sink) Event(p Place, e events.Event) {
	r := s.r
	// Publishers check the cutoff too; but whoever may write to the stream can leave that out, and no later event takes a cutoff back.
	if !p.Stored.IsZero() && CutoffInFuture(e, p.Stored) {
		cutoff, _ := events.Cutoff(e)
		s.Skip(p, fmt.Errorf("%w: %v after the event was stored, more than %v", ErrCutoffInFuture, cutoff.Sub(p.Stored).Round(time.Second), MaxCutoffAhead))
		return
	}
	// The event's own time is a publisher's clock and says nothing about the stream's, so only when it was stored is heard.
	s.heard(p.Stored)
	set := r.set.Load()
	if set.farSince(p.Stored) {
		r.forget(r.steady.believe(time.Now()))
	}
	set.apply(e, p.Position, p.Stored)
	s.collect(set)
	r.noteApplied(mark{s.made, p})
	s.advance(p.Position)
	applied := Applied{Event: e, Position: p.Position, Latency: age(p.AsOf, time.Now())}
	r.endAffected(e)
	r.mu.Lock()
	watchers := r.watchers
	r.mu.Unlock()
	for _, w := range watchers {
		w.fn(applied)
	}
}

const (
	// collectEvery is after how many events garbage is collected while a replica with more than collectFrom entries catches up.
	collectEvery = 1 << 15
	collectFrom  = 1 << 20
)

// collect collects garbage now and then until the stream's head is reached. The runtime would wait until there is as much garbage as there are
// revocations, so that a start would take twice the memory of what follows; and those are pointer-free, so that looking through them takes it milliseconds.
func (s *sink) collect(set *set) {
	if s.r.synced.Load() {
		return
	}
	if s.caught++; s.caught%collectEvery != 0 {
		return
	}
	if sessions, scopes := set.size(); sessions+scopes > collectFrom {
		runtime.GC()
	}
}

func (s *sink) Skip(p Place, err error) {
	s.r.skipped.Add(1)
	s.r.noteSkipped(err)
	if s.r.cfg.Hooks.Skipped != nil {
		s.r.cfg.Hooks.Skipped(p.Position, err)
	}
	s.advance(p.Position)
}

func (s *sink) Beat(p Place) {
	s.heard(p.Stored)
	s.takeOffer()
	// Before the position, so that who has waited for the beat finds what it proves. All that lies before it has been applied.
	s.r.fresh.prove(p.AsOf, time.Now())
	s.advance(p.Position)
}

func (s *sink) Reach(position uint64) { s.advance(position) }

// heard notes what the stream's clock said last. It may have been set back: the last reading counts, not the latest.
func (s *sink) heard(t time.Time) {
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	if !t.IsZero() {
		s.r.newest = t
	}
}

// advance moves the position forward, syncs once the head is reached, lets Open return once the replica is fresh too, and wakes who waits.
//
// Reaching the head proves nothing: a head that was asked for comes by another path than the events, and the answer of a leader that has
// been cut off can't tell it from silence. Beats alone are proof.
func (s *sink) advance(position uint64) {
	r := s.r
	if position > r.position.Load() {
		r.position.Store(position)
	}
	first := r.position.Load() >= r.head.Load() && r.synced.CompareAndSwap(false, true)
	if first && r.cfg.Hooks.Synced != nil {
		// Before Open returns, so that whoever opens it finds what the hook has noted.
		r.cfg.Hooks.Synced(r.position.Load())
	}
	s.open()
	r.waiters.wake(r.position.Load())
}

// open lets Open return, if the replica is synced and fresh. Once it has, that is for ever: what comes later is for Check to tell.
func (s *sink) open() {
	r := s.r
	select {
	case <-r.opened:
	default:
		if r.synced.Load() && within(r.fresh.staleness(time.Now()), r.cfg.StalenessBudget) {
			close(r.opened)
		}
	}
}
