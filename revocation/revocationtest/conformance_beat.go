package revocationtest

import (
	"errors"
	"testing"
	"time"

	"github.com/curfewhq/curfew/revocation"
)

func datesBeats(t *testing.T, h Harness) {
	before := time.Now()
	first := h.Beat()
	between := time.Now()
	r := newRecorder(0)
	f := follow(t, h.Feed(), r)
	r.wait(t, "the beat from before", func(calls []call) bool { return position(calls) >= first })
	second := h.Beat()
	after := time.Now()
	r.wait(t, "the second beat", func(calls []call) bool { return position(calls) >= second })
	f.stop(t)
	for _, c := range r.all() {
		stored := after
		switch {
		case c.what != "beat":
			continue
		case c.place.Position == first:
			stored = between
		}
		if c.place.AsOf.After(stored) {
			t.Errorf("the beat at %d is dated %v after it had been stored", c.place.Position, c.place.AsOf.Sub(stored))
		}
		// A date that is too early is safe, but a feed that exaggerates is of no use.
		if early := before.Sub(c.place.AsOf); early > 2*time.Second {
			t.Errorf("the beat at %d is dated %v before it was stored", c.place.Position, early)
		}
	}
}

func headIsNoProof(t *testing.T, h Harness) {
	h.Publish(event(0))
	last := h.Beat()
	h.RemoveLast()
	r := newRecorder(0)
	f := follow(t, h.Feed(), r)
	r.wait(t, "the end", func(calls []call) bool { return position(calls) >= last })
	f.stop(t)
	for i, c := range r.all() {
		if c.what == "beat" {
			t.Errorf("call %d is a beat at %d, and none was left", i, c.place.Position)
		}
	}
	o := startOpen(t, h.Feed())
	o.waitSynced(t)
	o.cancel()
	if _, err := o.wait(t); !errors.Is(err, revocation.ErrNoBeat) {
		t.Errorf("Open = %v without a beat, want ErrNoBeat", err)
	}
	o = startOpen(t, h.Feed())
	o.waitSynced(t)
	h.Beat()
	replica, err := o.wait(t)
	if err != nil {
		t.Fatalf("Open = %v with a beat", err)
	}
	if d := replica.Check(session(1)); d.State != revocation.Active {
		t.Errorf("%v (%v) once opened, want active", d.State, d.Cause)
	}
	checkRevoked(t, replica, 0)
}
