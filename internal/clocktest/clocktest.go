package clocktest

import (
	"testing"
	"time"
	"unsafe"
)

// Slept returns at plus d by the wall clock, with the monotonic reading of at: as if the machine had slept for d, or, with d < 0, as if
// its clock had been set back. at is a result of time.Now.
func Slept(t *testing.T, at time.Time, d time.Duration) time.Time {
	t.Helper()
	later := at.Add(d)
	// time.Time is (wall uint64, ext int64, loc *Location), and ext is the monotonic reading if there is one. No API can make the two
	// readings drift apart; a machine can.
	ext := func(t *time.Time) *int64 { return (*int64)(unsafe.Add(unsafe.Pointer(t), unsafe.Sizeof(uint64(0)))) } //nolint:gosec // checked below
	*ext(&later) = *ext(&at)
	if mono, wall := later.Sub(at), later.Round(0).Sub(at.Round(0)); mono != 0 || wall != d {
		t.Fatalf("time.Time has another layout: monotonic %v, wall %v", mono, wall)
	}
	return later
}
