package revocationtest

import (
	"sync"
	"testing"
	"time"

	"github.com/curfewhq/curfew/revocation"
)

func noticesRecreated(t *testing.T, h Harness) {
	for i := range 5 {
		h.Publish(event(i))
	}
	r := newRecorder(0)
	f := follow(t, h.Feed(), r)
	r.wait(t, "the events", func(calls []call) bool { return position(calls) >= 5 })
	h.Recreate()
	if err := f.wait(t); err == nil {
		t.Error("Follow = nil, want an error")
	}
	want := []uint64{h.Publish(event(0)), h.Publish(event(1))}
	r2 := newRecorder(0)
	f = follow(t, h.Feed(), r2)
	r2.wait(t, "the new stream's events", func(calls []call) bool { return position(calls) >= want[1] })
	f.stop(t)
	if before, now := r.all()[0].head.Stream, r2.all()[0].head.Stream; before == now {
		t.Errorf("the new stream has the old one's identity %s", now)
	}
	checkEvents(t, r2.all(), want, 0)
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
	defer replica.OnApplied(func(a revocation.Applied) {
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
