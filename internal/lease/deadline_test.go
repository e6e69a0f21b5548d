package lease

import (
	"testing"
	"time"
	"unsafe"
)

// slept returns at plus d by the wall clock, with the monotonic reading of at: as if the machine had slept for d, or, with d < 0, as if
// its clock had been set back.
func slept(t *testing.T, at time.Time, d time.Duration) time.Time {
	t.Helper()
	later := at.Add(d)
	// time.Time is (wall uint64, ext int64, loc *Location), and ext is the monotonic reading if there is one. No API can make the two
	// readings drift apart; a machine can.
	ext := func(t *time.Time) *int64 { return (*int64)(unsafe.Add(unsafe.Pointer(t), unsafe.Sizeof(uint64(0)))) }
	*ext(&later) = *ext(&at)
	if mono, wall := later.Sub(at), later.Round(0).Sub(at.Round(0)); mono != 0 || wall != d {
		t.Fatalf("time.Time has another layout: monotonic %v, wall %v", mono, wall)
	}
	return later
}

// A holder relies on neither of its clocks alone: one stands still while the machine sleeps, and the other can be set back.
func TestDeadlineByBothClocks(t *testing.T) {
	sent := time.Now()
	for _, tt := range []struct {
		name string
		now  time.Time
		want time.Duration
	}{
		{"at once", sent, 18 * time.Second},
		{"after a while", sent.Add(10 * time.Second), 8 * time.Second},
		{"too late", sent.Add(20 * time.Second), -2 * time.Second},
		{"after a sleep", slept(t, sent.Add(time.Second), time.Hour), 17*time.Second - time.Hour},
		{"the wall clock was set back", slept(t, sent.Add(10*time.Second), -time.Hour), 8 * time.Second},
	} {
		d := &deadline{ttl: ttl, sent: sent}
		if got := d.left(tt.now); got != tt.want {
			t.Errorf("%s: %v left, want %v", tt.name, got, tt.want)
		}
	}
}
