package revocation

import (
	"fmt"
	"testing"
	"time"
)

// A snapshot that is older than ticks can tell apart when the first event comes: what it holds that has ended is forgotten at the next sweep.
func TestOldSnapshotIsSwept(t *testing.T) {
	keep := lifetimes{maxAge: time.Hour, leeway: 5 * time.Minute}
	for _, first := range []string{"a beat", "an event"} {
		t.Run(first, func(t *testing.T) {
			s := newSet(keep, testKey)
			then, now := time.Now().Add(-40*time.Hour), time.Now()
			// As it is loaded.
			s.sweptTo(then.UnixMilli())
			for i := range 100 {
				s.apply(sessionOut(i, fmt.Sprint(i), then), uint64(i+1), then)
			}
			if first == "an event" && s.farSince(now) {
				s.expire(now)
			}
			gone := s.expire(now)
			if left, _ := s.size(); left != 0 || gone != 100 {
				t.Errorf("%d are forgotten and %d left, want 100 and none", gone, left)
			}
		})
	}
}
