package revocation

import (
	"testing"
	"time"

	"github.com/curfewhq/curfew/internal/clocktest"
)

func TestStaleness(t *testing.T) {
	start := time.Now()
	for _, tt := range []struct {
		name string
		asOf time.Time
		// at is when the proof came, now when it is asked for.
		at, now time.Time
		want    time.Duration
	}{
		{"at once", start, start, start, 0},
		{"later", start, start, start.Add(time.Second), time.Second},
		{"an old beat", start.Add(-time.Minute), start, start.Add(time.Second), time.Minute + time.Second},
		{"a beat from the future counts from now", start.Add(time.Hour), start, start.Add(time.Second), time.Second},
		{"the machine has slept since", start, start, clocktest.Slept(t, start.Add(time.Second), time.Hour), time.Hour + time.Second},
		{"the wall clock was set back since", start, start, clocktest.Slept(t, start.Add(time.Minute), -time.Hour), time.Minute},
		{"the wall clock was set forward since", start, start, clocktest.Slept(t, start.Add(time.Minute), time.Hour), time.Hour + time.Minute},
		{"a proof without a monotonic reading", start.Round(0), start, start.Add(time.Second), time.Second},
		// By the monotonic clock, which stood still, the beat from the middle of the sleep lies in the future.
		{"reckoned over a sleep", start.Add(30 * time.Minute), clocktest.Slept(t, start, time.Hour), clocktest.Slept(t, start, time.Hour), 30 * time.Minute},
		{"reckoned over a sleep, asked later", start.Add(30 * time.Minute), clocktest.Slept(t, start, time.Hour), clocktest.Slept(t, start, time.Hour).Add(time.Second), 30*time.Minute + time.Second},
		{"reckoned over a sleep, a new beat", start.Add(time.Hour), clocktest.Slept(t, start, time.Hour), clocktest.Slept(t, start, time.Hour), 0},
		{"reckoned over a sleep, a beat from before", start.Add(time.Second), clocktest.Slept(t, start.Add(2*time.Second), time.Hour), clocktest.Slept(t, start.Add(2*time.Second), time.Hour), time.Hour + time.Second},
		{"reckoned over a wall clock set back", start.Add(time.Second), clocktest.Slept(t, start.Add(4*time.Second), -time.Hour), clocktest.Slept(t, start.Add(4*time.Second), -time.Hour), 3 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var f freshness
			if got := f.staleness(tt.now); got >= 0 {
				t.Errorf("staleness %v without any proof, want negative", got)
			}
			f.prove(tt.asOf, tt.at)
			if got := f.staleness(tt.now); got != tt.want {
				t.Errorf("staleness %v, want %v", got, tt.want)
			}
		})
	}
}

func TestForgottenProofIsNone(t *testing.T) {
	var f freshness
	now := time.Now()
	f.prove(now, now)
	f.forget()
	if got := f.staleness(now); got >= 0 {
		t.Errorf("staleness %v of a proof that was taken back, want negative", got)
	}
	// An older date than that of what was taken back counts.
	f.prove(now.Add(-time.Minute), now)
	if got := f.staleness(now); got != time.Minute {
		t.Errorf("staleness %v, want 1m", got)
	}
}

func TestProofNeverMovesBack(t *testing.T) {
	var f freshness
	now := time.Now()
	f.prove(now, now)
	f.prove(now.Add(-time.Minute), now.Add(time.Second))
	if got := f.staleness(now.Add(time.Second)); got != time.Second {
		t.Errorf("staleness %v after an older proof, want 1s", got)
	}
}

// A proof that was reckoned over a sleep lies in the future by the monotonic clock; it mustn't look newer than the next.
func TestProofOverASleepGivesWayToTheNext(t *testing.T) {
	var f freshness
	start := time.Now()
	woken := clocktest.Slept(t, start, time.Hour)
	f.prove(start.Add(30*time.Minute), woken)
	f.prove(woken, woken)
	if got := f.staleness(woken.Add(time.Second)); got != time.Second {
		t.Errorf("staleness %v after a new proof, want 1s", got)
	}
}
