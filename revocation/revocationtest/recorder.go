package revocationtest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/revocation"
)

// call is one call of a sink.
type call struct {
	what     string
	position uint64
	event    events.Event
	err      error
	asOf     time.Time
	head     revocation.Head
}

// position returns the highest position that the calls tell.
func position(calls []call) uint64 {
	var p uint64
	for _, c := range calls {
		p = max(p, c.position)
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
func (r *recorder) Event(p uint64, e events.Event) {
	r.record(call{what: "event", position: p, event: e})
}

// Skip implements [revocation.Sink].
func (r *recorder) Skip(p uint64, err error) { r.record(call{what: "skip", position: p, err: err}) }

// Beat implements [revocation.Sink].
func (r *recorder) Beat(p uint64, _, asOf time.Time) {
	r.record(call{what: "beat", position: p, asOf: asOf})
}

// Reach implements [revocation.Sink].
func (r *recorder) Reach(p uint64) { r.record(call{what: "reach", position: p}) }

// following is a Follow under way.
type following struct {
	sink   *recorder
	cancel context.CancelFunc
	done   chan struct{}
	// err is Follow's; read it after done.
	err error
}

func follow(t *testing.T, feed revocation.Feed, r *recorder) *following {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	f := &following{sink: r, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(f.done)
		f.err = feed.Follow(ctx, r)
	}()
	t.Cleanup(func() {
		cancel()
		<-f.done
	})
	return f
}

func (f *following) ended() bool {
	select {
	case <-f.done:
		return true
	default:
		return false
	}
}

// wait waits for Follow to return.
func (f *following) wait(t *testing.T) error {
	t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-f.done:
	case <-timer.C:
		t.Fatal("Follow doesn't return")
	}
	if n := f.sink.overlaps.Load(); n > 0 {
		t.Errorf("%d calls of the sink came while another was under way", n)
	}
	return f.err
}

func (f *following) stop(t *testing.T) {
	t.Helper()
	f.cancel()
	_ = f.wait(t)
}

// checkEvents checks that the events among calls are event(first), event(first+1) … at exactly the positions want.
func checkEvents(t *testing.T, calls []call, want []uint64, first int) {
	t.Helper()
	var got []call
	for _, c := range calls {
		if c.what == "event" {
			got = append(got, c)
		}
	}
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			t.Fatalf("%d events, want %d: none after %d", len(got), len(want), position(got))
		case i >= len(want):
			t.Fatalf("%d events, want %d", len(got), len(want))
		case got[i].position != want[i]:
			t.Fatalf("event %d lies at %d, want %d", i, got[i].position, want[i])
		case got[i].event.Target() != event(first+i).Target():
			t.Fatalf("event %d is of %s, want %s", i, got[i].event.Target(), event(first+i).Target())
		}
	}
}

// event returns an event whose target tells its number.
func event(n int) events.Event {
	return &events.SessionRevoked{
		Common: events.Common{
			ID: fmt.Sprintf("01890a5d-ac96-774b-bcce-%012x", n), Time: time.Now(), Source: "revocationtest", Tenant: events.DefaultTenant,
			Reason: events.ReasonUserLogout, Initiator: events.Initiator{Type: events.InitiatorUser},
		},
		Session: fmt.Sprintf("session-%d", n), User: fmt.Sprintf("user-%d", n%7),
	}
}

// session returns the session that event(n) revokes.
func session(n int) revocation.Session {
	return revocation.Session{ID: fmt.Sprintf("session-%d", n), User: fmt.Sprintf("user-%d", n%7), AuthTime: time.Now().Add(-time.Hour)}
}

// opening is an Open under way.
type opening struct {
	cancel context.CancelFunc
	// synced is sent where the replica was first synced.
	synced chan uint64
	done   chan struct{}
	// replica and err are Open's; read them after done.
	replica *revocation.Replica
	err     error
}

func startOpen(t *testing.T, feed revocation.Feed) *opening {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	o := &opening{cancel: cancel, synced: make(chan uint64, 1), done: make(chan struct{})}
	go func() {
		defer close(o.done)
		o.replica, o.err = revocation.Open(ctx, revocation.Config{Feed: feed, Hooks: revocation.Hooks{Synced: func(p uint64) {
			select {
			case o.synced <- p:
			default:
			}
		}}})
	}()
	t.Cleanup(func() {
		cancel()
		<-o.done
		if o.replica != nil {
			_ = o.replica.Close()
		}
	})
	return o
}

// waitSynced waits until the replica is synced, and returns at which position.
func (o *opening) waitSynced(t *testing.T) uint64 {
	t.Helper()
	select {
	case p := <-o.synced:
		return p
	case <-o.done:
		t.Fatalf("Open = %v before the replica was synced", o.err)
		return 0
	}
}

// wait waits for Open to return.
func (o *opening) wait(t *testing.T) (*revocation.Replica, error) {
	t.Helper()
	<-o.done // within patience, for its ctx ends then
	return o.replica, o.err
}

// open opens a replica of h, whose stream it gives a beat.
func open(t *testing.T, h Harness) *revocation.Replica {
	t.Helper()
	h.Beat()
	replica, err := startOpen(t, h.Feed()).wait(t)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return replica
}

// catchUp waits until the replica has applied the stream up to position.
func catchUp(t *testing.T, replica *revocation.Replica, position uint64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := replica.WaitFor(ctx, position); err != nil {
		t.Fatalf("WaitFor(%d) = %v; %+v", position, err, replica.Status())
	}
}

func checkRevoked(t *testing.T, replica *revocation.Replica, n int) {
	t.Helper()
	if d := replica.Check(session(n)); d.State != revocation.Revoked {
		t.Errorf("session %d is %v (%v), want revoked", n, d.State, d.Cause)
	}
}

func replicaOfRecreated(t *testing.T, h Harness) {
	replica := open(t, h)
	var before uint64
	for i := range 4 {
		before = h.Publish(event(i))
	}
	catchUp(t, replica, before)
	first := replica.Status().Stream
	h.Recreate()
	// As many messages as before and one more: positions of the old stream would pass for positions of the new one.
	var last uint64
	for i := range 6 {
		last = h.Publish(event(10 + i))
	}
	if last != before+1 {
		t.Fatalf("the new stream ends at %d, want one more than %d", last, before)
	}
	// Event 10 lies at a position that was applied long ago, of another stream.
	applied := make(chan struct{})
	var once sync.Once
	defer replica.Watch(func(a revocation.Applied) {
		if a.Position == last && a.Event.Target() == "session-15" {
			once.Do(func() { close(applied) })
		}
	})()
	if replica.Check(session(15)).State != revocation.Revoked {
		timer := time.NewTimer(patience)
		defer timer.Stop()
		select {
		case <-applied:
		case <-timer.C:
			t.Fatalf("the new stream's events aren't applied: %+v", replica.Status())
		}
	}
	catchUp(t, replica, last)
	if s := replica.Status(); s.Stream == first {
		t.Errorf("the replica still follows %s", s.Stream)
	}
	for _, n := range []int{0, 3, 10, 15} {
		checkRevoked(t, replica, n)
	}
	// The old stream's beat is younger than the budget, and says nothing about this stream.
	if d := replica.Check(session(20)); d.State != revocation.Undetermined || d.Staleness >= 0 {
		t.Errorf("%v with staleness %v before the new stream's first beat, want undetermined and none", d.State, d.Staleness)
	}
	catchUp(t, replica, h.Beat())
	if d := replica.Check(session(20)); d.State != revocation.Active {
		t.Errorf("%v (%v) after the new stream's first beat, want active", d.State, d.Cause)
	}
}

func replicaAfterHeal(t *testing.T, h Harness) {
	replica := open(t, h)
	catchUp(t, replica, h.Publish(event(0)))
	h.Cut()
	last := h.Publish(event(1))
	checkRevoked(t, replica, 0)
	h.Heal()
	catchUp(t, replica, last)
	checkRevoked(t, replica, 1)
	if d := replica.Check(session(2)); d.State == revocation.Revoked {
		t.Errorf("a session that nothing revokes is revoked: %+v", d)
	}
}
