package ledger_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/ledger"
)

// TestSinceFarAway: NATS counts nanoseconds in 64 bits, in which the year 1600 lies behind 2100, and its clients can't even write the year 10000.
func TestSinceFarAway(t *testing.T) {
	b := newBook(t)
	b.store(t, "acme", "ann", "s1")
	all, none := []string{"1:s1"}, []string{}
	for year, want := range map[int][]string{1: all, 1000: all, 1600: all, 1969: all, 2261: none, 2300: none, 9999: none, 10889: none} {
		since := time.Date(year, 6, 1, 0, 0, 0, 0, time.UTC)
		if diff := cmp.Diff(want, b.read(t, ledger.Range{Topics: []string{events.TopicAll}, Since: since})); diff != "" {
			t.Errorf("since the year %d: %s", year, diff)
		}
	}
}
