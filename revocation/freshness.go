package revocation

import (
	"sync/atomic"
	"time"
)

// freshness holds the latest moment at which the replica had proof, by a beat, that it had applied everything. Safe for concurrent use.
type freshness struct {
	// proof is nil before the first. Its time has a monotonic reading.
	proof atomic.Pointer[time.Time]
}

// prove moves the proof forward to asOf, never back, and never into the future. Called by the writer only.
//
// What is kept is now − age(asOf), so that both of the proof's readings are right even if asOf was reckoned from readings that the
// machine's sleep has pulled apart: by the clock that stood still, a beat that was stored in the middle of an hour's sleep lies in the
// future, and by the other half an hour ago. Feeds leave that to this place.
func (f *freshness) prove(asOf, now time.Time) {
	asOf = now.Add(-age(asOf, now))
	if old := f.proof.Load(); old == nil || asOf.After(*old) {
		f.proof.Store(&asOf)
	}
}

// forget takes the proof back. Called by the writer only.
func (f *freshness) forget() { f.proof.Store(nil) }

// staleness returns the age of the proof, or -1 if there is none.
func (f *freshness) staleness(now time.Time) time.Duration { return staleness(f.proof.Load(), now) }

// staleness returns the age of a proof, or -1 if there is none.
func staleness(proof *time.Time, now time.Time) time.Duration {
	if proof == nil {
		return -1
	}
	return age(*proof, now)
}

// within reports whether there is a proof that is no older than budget.
func within(staleness, budget time.Duration) bool { return staleness >= 0 && staleness <= budget }

// age returns how long before now t was, at least 0.
//
// The monotonic clock stands still while a machine is suspended, and the wall clock can be set back: the larger of the two ages is
// right in both cases, and errs towards stale when the wall clock is set forward.
func age(t, now time.Time) time.Duration {
	// Sub takes the monotonic readings if both have one, and stops at the longest Duration; UnixNano is the wall clock's, and of no use for dates
	// that are centuries away.
	return max(now.Sub(t), time.Duration(now.UnixNano()-t.UnixNano()), 0)
}
