package revocation

import (
	"fmt"
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

// TestRebuildGivesWhatWasLacking: a replica that has lost something has it afterwards, and holds what others do.
func TestRebuildGivesWhatWasLacking(t *testing.T) {
	r, s := bare(Config{})
	fresh, other := bare(Config{})
	fresh.adopt(r.set.Load().hash.Key())
	now := time.Now()
	s.Event(Place{Position: 1, Stored: now, AsOf: now}, sessionOut(1, "both", now.Add(time.Hour)))
	for n, id := range []string{"both", "lacking"} {
		other.Event(Place{Position: uint64(n + 1), Stored: now, AsOf: now}, sessionOut(n+1, id, now.Add(time.Hour)))
	}
	want := fresh.Digest()
	o := &offer{fresh: fresh, gate: &gate{}, restarts: r.restarts.Load(), taken: make(chan outcome, 1)}
	r.offered.Store(o)
	s.Beat(Place{Position: 2, Stored: now, AsOf: now})
	if out := <-o.taken; out.err != nil || out.Same || out.Digest != want || r.Digest() != want {
		t.Errorf("%+v, want the digest %x", out, want)
	}
	if d := r.Check(Session{ID: "lacking"}); d.State != Revoked {
		t.Errorf("%v (%v)", d.State, d.Cause)
	}
}

// BenchmarkSwap is for how long a rebuild holds up the writer: where both sets hold the same, and where they don't.
func BenchmarkSwap(b *testing.B) {
	const sessions = 1_000_000
	now := time.Now()
	fill := func(key HashKey, from int) *Replica {
		r, s := bare(Config{})
		r.adopt(key)
		for n := range sessions {
			s.Event(Place{Position: uint64(n + 1), Stored: now, AsOf: now}, sessionOut(n, fmt.Sprint(from+n), now.Add(time.Hour)))
		}
		return r
	}
	for name, from := range map[string]int{"the same": 0, "half is another": sessions / 2} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				one, another := fill(HashKey{1}, 0), fill(HashKey{1}, from)
				b.StartTimer()
				one.replace(another)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/sessions, "ns/revocation")
		})
	}
}
