package gate

import (
	"testing"

	"github.com/curfewhq/curfew/events"
)

// What is remembered is bounded by what it holds, and not by how many events that is.
func TestRecallRemembersWithinBounds(t *testing.T) {
	l := newRecall(nil)
	big := &events.UserLoggedOutEverywhere{KnownSessions: make([]string, events.MaxKnownSessions)}
	for p := range uint64(20_000) {
		var e events.Event = &events.SessionRevoked{}
		if p%7 == 0 {
			e = big
		}
		l.remember(p+1, e)
		if p%3 == 0 {
			l.forget(p / 2)
		}
		held := 0
		if p%1000 == 999 {
			for _, e := range l.recent {
				held += weight(e)
			}
			if held != l.held || held > maxRecent || len(l.order) != len(l.recent) {
				t.Fatalf("after %d: holds %d, says %d of %d, in %d entries and %d places", p, held, l.held, maxRecent, len(l.recent), len(l.order))
			}
		}
	}
	if found, _ := l.remembered([]uint64{20_000, 1}); len(found) != 1 || found[20_000] == nil {
		t.Errorf("remembers %v, want the last and not the first", found)
	}
}
