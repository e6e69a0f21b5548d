package revocation

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/curfewhq/curfew/internal/clocktest"
)

// What is forgotten because of its age stays refused because of its age, whatever the clocks do.
func TestSweepWithClockJumps(t *testing.T) {
	const maxAge, leeway = time.Hour, time.Minute
	now := time.Now()
	begun := now.Add(-30 * time.Minute)
	s := Session{ID: "s", User: "ada", AuthTime: begun}
	for _, tt := range []struct {
		name string
		// stream and wall are what the clocks say at the sweep, from now on; no stream's clock if negative.
		stream, wall time.Duration
		forgotten    bool
	}{
		{"both are right", 0, 0, false},
		{"both are right, later", 2 * time.Hour, 2 * time.Hour, true},
		{"ours jumps ahead", 0, 100 * time.Hour, false},
		{"the stream's jumps ahead", 100 * time.Hour, 0, false},
		{"ours jumps back", 2 * time.Hour, -100 * time.Hour, false},
		{"no beat was ever heard", -1, 100 * time.Hour, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			expired := 0
			r, sink := bare(Config{MaxAge: maxAge, Leeway: leeway, Hooks: Hooks{Expired: func(n int) { expired += n }}})
			sink.Event(Place{1, now, now}, everywhere(1, begun))
			// A publisher's clock that is far ahead says nothing about the stream's.
			sink.Event(Place{2, now, now}, sessionOut(2, "another", now.Add(1000*time.Hour)))
			if tt.stream >= 0 {
				sink.Beat(Place{3, now.Add(tt.stream), now})
			}
			r.forget(now.Add(tt.wall))
			want := 0
			if tt.forgotten {
				want = 1
			}
			if sessions, cutoffs := r.set.Load().size(); sessions != 1 || cutoffs != 1-want || expired != want {
				t.Errorf("%d cutoffs are left and %d expired, want %d forgotten", cutoffs, expired, want)
			}
			// Our clock is now what it was before the sweep: set back, where the sweep's was later.
			d := r.Check(s)
			if d.State != Revoked || (d.Scope == ScopeMaxAge) != tt.forgotten {
				t.Errorf("%v by %q (%v), want revoked, by max age: %t", d.State, d.Scope, d.Cause, tt.forgotten)
			}
			if d := r.Check(Session{ID: "t", User: "ada", AuthTime: now.Add(2 * time.Hour).Add(-maxAge)}); tt.forgotten && d.Scope == ScopeMaxAge {
				t.Errorf("a session within max age of the sweep is %v by %q", d.State, d.Scope)
			}
		})
	}
}

// Max age is about dates: an auth time that carries a monotonic reading, which stands still while the machine sleeps, reaches it all the same.
func TestMaxAgeIgnoresTheMonotonicClock(t *testing.T) {
	r, _ := bare(Config{MaxAge: time.Hour})
	// Begun now by the monotonic clock, and two hours ago by the wall clock.
	begun := clocktest.Slept(t, time.Now(), -2*time.Hour)
	if d := r.Check(Session{ID: "s", User: "ada", AuthTime: begun}); d.Scope != ScopeMaxAge {
		t.Errorf("%v by %q, want revoked by max age", d.State, d.Scope)
	}
}

// Expired is called by the sweeper: while another hook runs, and without holding up what the feed brings.
func TestExpiredIsCalledBesideTheOtherHooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		skipping, expiring := make(chan struct{}), make(chan struct{})
		var inSkipped, inExpired bool
		r, sink := bare(Config{MaxAge: time.Hour, SweepInterval: time.Minute, Hooks: Hooks{
			Skipped: func(uint64, error) { inSkipped = true; <-skipping; inSkipped = false },
			Expired: func(int) { inExpired = true; <-expiring; inExpired = false },
		}})
		go r.sweep(t.Context())
		sink.Event(Place{Position: 1}, sessionOut(1, "old", time.Now().Add(-3*time.Hour)))
		sink.Beat(Place{2, time.Now().Add(time.Hour), time.Now()})
		go sink.Skip(Place{Position: 3}, errors.New("no event"))
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if !inSkipped || !inExpired {
			t.Errorf("in Skipped: %t, in Expired: %t; want both at once", inSkipped, inExpired)
		}
		close(skipping)
		synctest.Wait()
		sink.Event(Place{Position: 4}, sessionOut(2, "new", time.Now()))
		if d := r.Check(Session{ID: "new"}); d.State != Revoked || !inExpired {
			t.Errorf("%v (%v) while Expired blocks: %t; want revoked all the same", d.State, d.Cause, inExpired)
		}
		close(expiring)
		synctest.Wait()
	})
}
