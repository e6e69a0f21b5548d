package replicas

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/curfewhq/curfew/events/presence"
)

const (
	// maxWaits is how many may wait at once.
	maxWaits = 1024
	// lookAgain is how often who waits looks whose lease has run out, and asks those anew who haven't answered.
	lookAgain = 250 * time.Millisecond
)

// ErrTooManyWaits is returned by Await when a thousand others wait.
var ErrTooManyWaits = errors.New("too many wait for replicas")

// Progress is how far a position has come.
type Progress struct {
	// Applied are the replicas that have applied the position, in the order in which that was heard.
	Applied []Applied
	// Late are those with a lease that haven't, or haven't said so.
	Late []Member
	// Ended are those whose lease has run out. They may have applied it, and fail closed if not.
	Ended []Member
	// Certain is whether there is nobody else, as far as leases tell.
	Certain bool
}

// Complete reports whether every replica with a lease has applied the position, and there is one.
func (p Progress) Complete() bool { return len(p.Late) == 0 && len(p.Applied) > 0 }

// Applied is a replica that has applied a position.
type Applied struct {
	Member
	// After is how long after the beginning that was heard: the way of the answer is in it. At most zero for one that had reported the position before.
	After time.Duration
}

// Await waits until every replica with a lease has applied a position of an incarnation of the ledger, or ctx ends, or the fleet is closed, and returns how far it has come. A replica
// that comes or leaves meanwhile, or whose lease runs out, is taken for what it is then. It returns ErrTooManyWaits.
func (f *Fleet) Await(ctx context.Context, q Wanted) (Progress, error) {
	w := &wait{Wanted: q, news: make(chan struct{}, 1)}
	if err := f.join(w); err != nil {
		return Progress{}, err
	}
	defer f.leave(w)
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	f.asker.ask()
	for f.waitsFor(w) && ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-f.done:
			return f.progress(w, time.Now()), nil
		case <-w.news:
		case <-tick.C: // leases run out
		}
	}
	return f.progress(w, time.Now()), nil
}

// Wanted is what is waited for: a position of an incarnation of the ledger.
type Wanted struct {
	Stream   string
	Position uint64
	// Asked is when its publishing began, and Stored when it was acknowledged, by which After is told. Both zero if that isn't known.
	Asked, Stored time.Time
}

// wait is one who waits; the fleet's mutex guards it.
type wait struct {
	Wanted
	// missing, silent and through hold ids. Whose lease had run out before is silent, until it is heard; whose lease runs out meanwhile stays missing. Who is through is in applied.
	missing map[string]struct{}
	silent  map[string]struct{}
	through map[string]struct{}
	applied []Applied
	// astray holds who had applied the position before its publishing began: what lay there then was another message, of a ledger that was put back since. Until such a replica says that it
	// stands before the position, nothing that it says tells anything.
	astray map[string]struct{}
	// news has a token when the last missing one isn't any more.
	news chan struct{}
}

func (f *Fleet) join(w *wait) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.waits) >= maxWaits {
		return ErrTooManyWaits
	}
	// With room for all from the beginning: a thousand answers come within two milliseconds.
	n := len(f.members)
	w.missing, w.through, w.applied = make(map[string]struct{}, n), make(map[string]struct{}, n), make([]Applied, 0, n)
	w.silent, w.astray = map[string]struct{}{}, map[string]struct{}{}
	for _, m := range f.members {
		if !w.Asked.IsZero() && m.Heard.Before(w.Asked) && w.reached(m) {
			w.astray[m.ID] = struct{}{}
		}
		if f.endedLocked(m) && !w.reached(m) {
			w.silent[m.ID] = struct{}{}
			continue
		}
		w.hear(m)
	}
	f.waits[w] = struct{}{}
	return nil
}

// asked returns the greatest position that is waited for.
func (f *Fleet) asked() (q presence.Await, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for w := range f.waits {
		if !ok || w.Position > q.Position {
			q, ok = presence.Await{Stream: w.Stream, Position: w.Position}, true
		}
	}
	return q, ok
}

// waitsFor reports whether there is anybody to wait for.
func (f *Fleet) waitsFor(w *wait) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id := range w.missing {
		if m, there := f.members[id]; there && !f.endedLocked(m) {
			return true
		}
	}
	return len(w.applied) == 0
}

func (f *Fleet) leave(w *wait) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.waits, w)
}

// hear takes what a replica has reported, when it is heard.
func (w *wait) hear(m *Member) {
	if _, ok := w.through[m.ID]; ok {
		return
	}
	delete(w.silent, m.ID)
	reached := w.reached(m)
	if !reached {
		delete(w.astray, m.ID)
	}
	_, astray := w.astray[m.ID]
	switch {
	case reached && !astray:
		delete(w.missing, m.ID)
		w.through[m.ID] = struct{}{}
		w.applied = append(w.applied, Applied{Member: *m, After: m.Heard.Sub(w.Stored)})
	case m.Leaving:
		delete(w.missing, m.ID)
	default:
		w.missing[m.ID] = struct{}{}
		return
	}
	if len(w.missing) == 0 {
		select {
		case w.news <- struct{}{}:
		default:
		}
	}
}

func (w *wait) reached(m *Member) bool {
	return m.Position >= w.Position && m.Stream == w.Stream
}

// progress returns how far it has come.
func (f *Fleet) progress(w *wait, now time.Time) Progress {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := Progress{Certain: f.certainLocked(now), Applied: slices.Clone(w.applied)}
	for _, ids := range []map[string]struct{}{w.missing, w.silent} {
		for id := range ids {
			m, ok := f.members[id]
			if !ok {
				continue // it has left
			}
			if seen := f.seenLocked(m); seen.Ended {
				p.Ended = append(p.Ended, seen)
			} else {
				p.Late = append(p.Late, seen)
			}
		}
	}
	slices.SortFunc(p.Applied, func(a, b Applied) int { return cmp.Compare(a.After, b.After) })
	slices.SortFunc(p.Late, compareMembers)
	slices.SortFunc(p.Ended, compareMembers)
	return p
}
