package revocation

import (
	"testing"
	"time"
)

// TestNothingIsForgottenBehindASwap: until the other replica is closed it still sweeps. What is held by both by then is forgotten by the one that answers, or not at all: who forgets must
// refuse by max age what was forgotten.
func TestNothingIsForgottenBehindASwap(t *testing.T) {
	r, s := bare(Config{})
	fresh, other := bare(Config{})
	fresh.adopt(r.set.Load().hash.Key())
	now := time.Now()
	other.Event(Place{Position: 1, Stored: now.Add(-29 * 24 * time.Hour), AsOf: now}, tenantOut("default", now.Add(-30*24*time.Hour-4*time.Hour)))
	other.Beat(Place{Position: 2, Stored: now.Add(-time.Hour), AsOf: now})
	o := &offer{fresh: fresh, gate: &gate{}, restarts: r.restarts.Load(), taken: make(chan outcome, 1)}
	r.offered.Store(o)
	s.Beat(Place{Position: 2, Stored: now.Add(-time.Hour), AsOf: now})
	select {
	case out := <-o.taken:
		if out.err != nil || out.Same {
			t.Fatalf("%+v", out)
		}
	default:
		t.Fatal("it wasn't taken")
	}
	if r.set.Load() != fresh.set.Load() {
		t.Fatal("the replica answers out of another set")
	}
	fresh.newest = now.Add(48 * time.Hour)
	if n := fresh.forgotten(now.Add(48 * time.Hour)); n != 0 {
		t.Errorf("the other replica has forgotten %d of ours; ours knows of what was forgotten up to %v, the other up to %v", n, time.UnixMilli(r.swept.Load()), time.UnixMilli(fresh.swept.Load()))
	}
	r.newest = now.Add(48 * time.Hour)
	if n := r.forgotten(now.Add(48 * time.Hour)); n != 1 {
		t.Errorf("ours forgets %d, want 1", n)
	}
}
