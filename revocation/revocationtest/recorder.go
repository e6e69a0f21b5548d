package revocationtest

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/revocation"
)

// call is one call of a sink.
type call struct {
	what string
	// place has only its position where the feed tells no more.
	place revocation.Place
	event events.Event
	err   error
	head  revocation.Head
}

// position returns the highest position that the calls tell.
func position(calls []call) uint64 {
	var p uint64
	for _, c := range calls {
		p = max(p, c.place.Position)
	}
	return p
}

// recorder is a sink that writes everything down.
type recorder struct {
	begin  uint64
	refuse error
	// busy is set during a call, to catch two at once.
	busy atomic.Bool
	// overlaps counts calls that came during another.
	overlaps atomic.Int64

	mu      sync.Mutex
	calls   []call
	changed chan struct{}
}

func newRecorder(after uint64) *recorder {
	return &recorder{begin: after, changed: make(chan struct{})}
}

func (r *recorder) record(c call) {
	if !r.busy.CompareAndSwap(false, true) {
		r.overlaps.Add(1)
	}
	defer r.busy.Store(false)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls = append(r.calls, c)
	close(r.changed)
	r.changed = make(chan struct{})
}

func (r *recorder) all() []call {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.calls)
}

// after returns a channel that is closed once there are more than n calls.
func (r *recorder) after(n int) <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.calls) > n {
		closed := make(chan struct{})
		close(closed)
		return closed
	}
	return r.changed
}

func (r *recorder) wait(t *testing.T, what string, reached func([]call) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		calls := r.all()
		if reached(calls) {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("waited in vain for %s; %d calls, position %d", what, len(calls), position(calls))
		case <-r.after(len(calls)):
		}
	}
}

// Begin implements [revocation.Sink].
func (r *recorder) Begin(h revocation.Head) (uint64, error) {
	r.record(call{what: "begin", head: h})
	return r.begin, r.refuse
}

// Event implements [revocation.Sink].
func (r *recorder) Event(p revocation.Place, e events.Event) {
	r.record(call{what: "event", place: p, event: e})
}

// Skip implements [revocation.Sink].
func (r *recorder) Skip(p revocation.Place, err error) {
	r.record(call{what: "skip", place: p, err: err})
}

// Beat implements [revocation.Sink].
func (r *recorder) Beat(p revocation.Place) { r.record(call{what: "beat", place: p}) }

// Reach implements [revocation.Sink].
func (r *recorder) Reach(p uint64) {
	r.record(call{what: "reach", place: revocation.Place{Position: p}})
}
