package sessionstore_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/sessionstore"
)

// TestRegisteredAgain: a session is long over, and before anybody has told that it is forgotten, the same user's is registered under its id. That is another session, with a due time of its own.
func TestRegisteredAgain(t *testing.T) {
	table := sessionstore.NewTable()
	at := time.Now().UTC().Truncate(time.Millisecond).Add(-90 * 24 * time.Hour)
	old := sessionstore.Session{
		Tenant: "acme", ID: "s-1", User: "ada", Device: "old", AuthTime: at, CreatedAt: at, SeenAt: at, ExpiresAt: at.Add(time.Hour),
		Ended: &sessionstore.End{At: at.Add(time.Hour), Reason: events.ReasonMaxAge},
	}
	table.Put(old, 1, time.Time{})
	now := at.Add(90 * 24 * time.Hour)
	again := sessionstore.Session{Tenant: "acme", ID: "s-1", User: "ada", Device: "new", AuthTime: now, CreatedAt: now, SeenAt: now, ExpiresAt: now.Add(time.Hour)}
	table.Put(again, 2, now)
	got, _, _ := table.Get(again.Key())
	if diff := cmp.Diff(again, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if due := table.Due(now, 10); !slices.Equal(due, []sessionstore.Key{again.Key()}) {
		t.Errorf("due: %v", due)
	}
}
