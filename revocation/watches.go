package revocation

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/curfewhq/curfew/events"
)

const (
	// endAtOnce is how many watches an event may affect for them to be ended in the feed's goroutine, before it goes on. It takes that goroutine
	// some tenths of a millisecond.
	endAtOnce = 64
	// maxMass is how many events that affect more wait to be looked at. When there are more yet, all watches are.
	maxMass = 64
	// ageTick is how late a watch may end that reaches max age.
	ageTick = time.Second
	// breath is after how many of a mass those that were woken may run, and the feed's goroutine among them.
	breath = 64
)

// watch is something to end with a session.
type watch struct {
	ended func(Decision)
	// unhook takes the watch off the context that it was begun with; nil if there is none.
	unhook func() bool
}

// watches is all that a replica watches. Make it with newWatches.
//
// Few affected watches are ended by the goroutine that has applied the event. Many would hold up the events after it: a goroutine of the
// replica's own looks for them and ends them. It takes an event, not the watches that it affects: whoever is watched by the time that it looks
// is found, and whoever comes later is checked after the event was applied.
//
// The same goroutine ends those that reach max age. A clock that is set, or that a suspended machine's timers don't know of, is looked at every
// second as long as some watched session has a max age.
type watches struct {
	live Live[watch]
	// ages: home → no later than the earliest max age of the entries there, in Unix milliseconds; 0 for none.
	ages [liveShards]atomic.Int64
	// dozing is whether the goroutine waits for a first max age.
	dozing atomic.Bool
	// wake makes the goroutine look again.
	wake chan struct{}
	// closing makes it end what is waiting, and then stop.
	closing chan struct{}

	mu sync.Mutex
	// mass holds the events whose watches are still to be ended. all is whether all watches are to be checked instead.
	mass []events.Event
	all  bool
}

func newWatches() *watches {
	return &watches{wake: make(chan struct{}, 1), closing: make(chan struct{})}
}

// maxAgeOf returns when s reaches max age, in Unix milliseconds, rounded up; 0 if it has no auth time.
func (r *Replica) maxAgeOf(s Session) int64 {
	if s.AuthTime.IsZero() {
		return 0
	}
	return max(millis(s.AuthTime.Add(r.cfg.MaxAge+time.Millisecond-1)), 1)
}

// add puts a watch in that ends at an age.
func (w *watches) add(e *LiveEntry[watch], age int64) {
	w.live.insert(e)
	if age == 0 {
		return
	}
	w.expect(int(e.home), age)
	if w.dozing.CompareAndSwap(true, false) {
		w.look()
	}
}

// expect notes that an entry of a home reaches max age then.
func (w *watches) expect(home int, age int64) {
	for {
		old := w.ages[home].Load()
		if old != 0 && old <= age || w.ages[home].CompareAndSwap(old, age) {
			return
		}
	}
}

// look wakes the goroutine.
func (w *watches) look() {
	select {
	case w.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// leave takes a watch out and reports whether it was still there.
func (w *watches) leave(e *LiveEntry[watch]) bool {
	if e.Value.unhook != nil {
		e.Value.unhook()
	}
	return w.live.Remove(e)
}

// endAffected ends the watches of sessions that an event ends, which has been applied; if there are many, soon.
func (r *Replica) endAffected(e events.Event) {
	found, more := r.watches.live.affected(e, endAtOnce)
	if more {
		r.watches.endLater(e)
		return
	}
	for _, entry := range found {
		r.endIfOver(entry)
	}
}

// endIfOver ends one watch if its session is over, and reports whether that is so. Whether the cutoff reaches the session and whether it is
// excepted is for the check to say; Revoked doesn't depend on what is required. It isn't counted: nobody was answered.
func (r *Replica) endIfOver(e *LiveEntry[watch]) bool {
	var d Decision
	r.check(&e.Session, &Require{}, &d)
	if d.State != Revoked {
		return false
	}
	// Who takes it out ends it. An entry that is still being put in can't be taken out; its session is checked once it is there.
	if r.watches.leave(e) {
		e.Value.ended(d)
	}
	return true
}

// endLater has the goroutine end the watches that an event affects.
func (w *watches) endLater(e events.Event) {
	w.mu.Lock()
	full := len(w.mass) == maxMass
	if !full && !w.all {
		w.mass = append(w.mass, e)
	}
	w.mu.Unlock()
	if full {
		w.checkAll()
		return
	}
	w.look()
}

// checkAll has the goroutine check all watches, whatever event may have ended them.
func (w *watches) checkAll() {
	w.mu.Lock()
	w.mass, w.all = nil, true
	w.mu.Unlock()
	w.look()
}

// watchOver starts the goroutine, and returns what ends it: that returns once all has been ended that was to be.
func (r *Replica) watchOver() (stop func()) {
	var goroutine sync.WaitGroup
	goroutine.Go(r.endOthers)
	return func() {
		close(r.watches.closing)
		goroutine.Wait()
	}
}

// endOthers is the goroutine: it ends what the feed's goroutine has left, and what reaches max age.
func (r *Replica) endOthers() {
	w := r.watches
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-w.closing:
			r.endMass()
			return
		case <-w.wake:
		case <-timer.C:
		}
		r.endMass()
		// Dozing before the last look, so that a watch that comes after it wakes us.
		w.dozing.Store(true)
		if next := r.endAged(); next != 0 {
			w.dozing.Store(false)
			timer.Reset(min(max(time.Until(time.UnixMilli(next)), time.Millisecond), ageTick))
		}
	}
}

// endMass ends the watches of the events that wait.
func (r *Replica) endMass() {
	w := r.watches
	w.mu.Lock()
	mass, all := w.mass, w.all
	w.mass, w.all = nil, false
	w.mu.Unlock()
	for _, e := range mass {
		r.endEach(w.live.Affected(e))
	}
	if all {
		r.endEach(w.live.All())
	}
}

// endEach ends those of the watches whose sessions are over, and returns the others.
func (r *Replica) endEach(entries []*LiveEntry[watch]) (others []*LiveEntry[watch]) {
	for i, e := range entries {
		if i%breath == breath-1 {
			runtime.Gosched()
		}
		if !r.endIfOver(e) {
			others = append(others, e)
		}
	}
	return others
}

// endAged ends the watches that have reached max age, by the clock that Check judges it by, and returns when the next one does, in Unix
// milliseconds, or 0.
func (r *Replica) endAged() (next int64) {
	now := r.oldest(time.Now()).UnixMilli()
	for home := range r.watches.ages {
		age := r.watches.ages[home].Load()
		if age != 0 && age <= now {
			age = r.endAgedAt(home, now)
		}
		if age != 0 && (next == 0 || age < next) {
			next = age
		}
	}
	return next
}

// endAgedAt is endAged for one home.
func (r *Replica) endAgedAt(home int, now int64) (next int64) {
	w := r.watches
	// Forgotten before we look: a watch that is put in while we do is seen, or is noted afterwards, or both.
	w.ages[home].Store(0)
	note := func(age int64) {
		if age != 0 && (next == 0 || age < next) {
			next = age
		}
	}
	var aged []*LiveEntry[watch]
	w.live.walk(home, func(e *LiveEntry[watch]) {
		if age := r.maxAgeOf(e.Session); age == 0 || age > now {
			note(age)
		} else {
			aged = append(aged, e)
		}
	})
	for _, e := range r.endEach(aged) { // the clock was set back
		note(r.maxAgeOf(e.Session))
	}
	if next != 0 {
		w.expect(home, next)
	}
	return next
}
