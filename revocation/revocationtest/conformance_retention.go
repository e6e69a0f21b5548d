package revocationtest

import (
	"errors"
	"testing"
	"time"

	"github.com/curfewhq/curfew/revocation"
)

func onBehindExpired(t *testing.T, h Harness) {
	r := newRecorder(0)
	f := follow(t, h.Feed(), r)
	read := h.Publish(event(0))
	r.wait(t, "the first event", func(calls []call) bool { return position(calls) >= read })
	f.stop(t)
	gone := h.Publish(event(1))
	want := []uint64{h.Publish(event(2)), h.Publish(event(3))}
	h.Expire(gone)
	r = newRecorder(read)
	f = follow(t, h.Feed(), r)
	r.wait(t, "the rest", func(calls []call) bool { return position(calls) >= want[1] })
	f.stop(t)
	if head := r.all()[0].head; head.First != want[0] || head.Last != want[1] {
		t.Errorf("head = %+v, want First %d and Last %d", head, want[0], want[1])
	}
	checkEvents(t, r.all(), want, 2)
}

func replicaOfExpired(t *testing.T, h Harness) {
	replica := open(t, h)
	catchUp(t, replica, h.Publish(event(0)))
	synced := replica.Status().Synced
	h.Cut()
	gone := h.Publish(event(1))
	last := h.Publish(event(2))
	h.Expire(gone)
	h.Heal()
	catchUp(t, replica, last)
	catchUp(t, replica, h.Beat())
	if s := replica.Status(); !synced || !s.Synced {
		t.Errorf("synced %t before, and now %+v", synced, s)
	}
	for _, n := range []int{0, 2} {
		checkRevoked(t, replica, n)
	}
	if d := replica.Check(session(3)); d.State != revocation.Active {
		t.Errorf("%v (%v) once caught up, want active", d.State, d.Cause)
	}
}

func noticesRetention(t *testing.T, h Harness) {
	const retention = 90 * 24 * time.Hour
	r := newRecorder(0)
	f := follow(t, h.Feed(), r)
	last := h.Publish(event(0))
	r.wait(t, "the event", func(calls []call) bool { return position(calls) >= last })
	h.SetRetention(retention)
	if err := f.wait(t); err == nil {
		t.Error("Follow = nil, want an error")
	}
	before := r.all()[0].head
	r = newRecorder(last)
	f = follow(t, h.Feed(), r)
	more := h.Publish(event(1))
	r.wait(t, "another event", func(calls []call) bool { return position(calls) >= more })
	f.stop(t)
	if head := r.all()[0].head; head.Retention != retention || head.Stream != before.Stream {
		t.Errorf("head = %+v, want a retention of %v of the same stream %s", head, retention, before.Stream)
	}
	checkEvents(t, r.all(), []uint64{more}, 1)
}

// A backup brings back its old, shorter retention, too. Once that has been put right the stream has grown past where it was, and isn't to be taken for the
// one that was read:
//
//  1. the replica has applied up to 4; 2. the stream is put back to 2, and its retention is too short; 3. it grows past 4; 4. retention is put right, and
//     the replica goes on after 4, never to hear of 3 and 4.
func replicaOfPutBackWhileShort(t *testing.T, h Harness) {
	replica := open(t, h)
	catchUp(t, replica, h.Publish(event(0)))
	h.Backup()
	h.Publish(event(1))
	last := h.Publish(event(2))
	catchUp(t, replica, last)
	h.Cut()
	h.PutBack()
	h.SetRetention(2 * time.Hour)
	h.Heal()
	refused := func() bool {
		s := replica.Status()
		return !s.Synced && errors.Is(s.LastError, revocation.ErrRetention)
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); !refused(); <-tick.C {
		if time.Since(began) > patience {
			t.Fatalf("a stream that was put back and keeps too little isn't refused: %+v", replica.Status())
		}
	}
	var now uint64
	for i := range 4 {
		now = h.Publish(event(10 + i))
	}
	if now <= last {
		t.Fatalf("the stream that was put back ends at %d, want past %d", now, last)
	}
	h.SetRetention(0)
	catchUp(t, replica, now)
	catchUp(t, replica, h.Beat())
	for _, n := range []int{0, 1, 2, 10, 11, 12, 13} {
		checkRevoked(t, replica, n)
	}
	if d := replica.Check(session(20)); d.State != revocation.Active {
		t.Errorf("%v (%v) once all was read, want active", d.State, d.Cause)
	}
}
