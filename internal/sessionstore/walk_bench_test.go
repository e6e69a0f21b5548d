package sessionstore_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/curfewhq/curfew/internal/sessionstore"
)

// For how long a walk over as many sessions as one preview looks at holds up whoever writes.
func BenchmarkWalk(b *testing.B) {
	const n = 200_000
	table := sessionstore.NewTable()
	now := time.Now()
	for i := range n {
		s := sessionstore.Session{
			Tenant: "acme", ID: fmt.Sprint("session-", i), User: fmt.Sprint("user-", i/2), Client: "web", AuthTime: now, CreatedAt: now, SeenAt: now, ExpiresAt: now.Add(time.Hour),
		}
		table.Put(s, uint64(i+1), s.ExpiresAt)
	}
	found := 0
	for b.Loop() {
		users := map[string]bool{}
		found = 0
		if table.Walk("acme", n, now, func(s sessionstore.Session) { users[s.User] = true; found++ }) || found != n || len(users) != n/2 {
			b.Fatalf("%d sessions of %d users", found, len(users))
		}
	}
	b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N), "ms/walk")
}
