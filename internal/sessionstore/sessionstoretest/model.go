package sessionstoretest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/sessionstore"
)

// testModel holds the store against Memory, which is small enough to be looked through.
func testModel(t *testing.T, open Opener) {
	s := open()
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		m := &model{store: s, memory: sessionstore.NewMemory(), tenant: fmt.Sprintf("t-%d", run), at: start()}
		for range rapid.IntRange(1, 25).Draw(rt, "steps") {
			m.step(rt)
		}
	})
}

type model struct {
	store  sessionstore.Store
	memory *sessionstore.Memory
	tenant string
	at     time.Time
}

func (m *model) step(t *rapid.T) {
	ctx := context.Background()
	id := rapid.SampledFrom([]string{"s-1", "s-2", "s-3"}).Draw(t, "session")
	key := sessionstore.Key{Tenant: m.tenant, ID: id}
	moment := func(name string) time.Time {
		return m.at.Add(time.Duration(rapid.IntRange(0, 4).Draw(t, name)) * time.Second)
	}
	var got, want any
	switch rapid.SampledFrom([]string{"create", "touch", "touch", "warn", "end", "look", "list"}).Draw(t, "call") {
	case "create":
		session := sample(id)
		session.Tenant, session.User = m.tenant, rapid.SampledFrom([]string{"u-1", "u-2"}).Draw(t, "user")
		session.CreatedAt, session.SeenAt = m.at.Add(time.Duration(id[2])*time.Second), m.at
		session.AuthTime, session.ExpiresAt = m.at, m.at.Add(time.Hour*24)
		got, want = both(m, func(s sessionstore.Store) any {
			stored, created, err := s.Create(ctx, session, session.ExpiresAt)
			return []any{stored, created, err}
		})
	case "touch":
		touches := []sessionstore.Touch{{ID: id, At: moment("at")}, {ID: "s-2", At: moment("at too")}}
		got, want = both(m, func(s sessionstore.Store) any {
			touched, err := s.Touch(ctx, m.tenant, touches)
			return []any{touched, err}
		})
	case "warn":
		seen := moment("seen")
		got, want = both(m, func(s sessionstore.Store) any {
			ok, err := s.Warn(ctx, key, seen)
			return []any{ok, err}
		})
	case "end":
		end := sessionstore.End{At: m.at, Reason: events.ReasonIdleTimeout}
		end.Event = rapid.SampledFrom([]string{"", "e-1", "e-2"}).Draw(t, "event")
		end.Position = rapid.SampledFrom([]uint64{0, 7}).Draw(t, "position")
		seen := time.Time{}
		if rapid.Bool().Draw(t, "if idle") {
			seen = moment("seen")
		}
		got, want = both(m, func(s sessionstore.Store) any {
			session, ended, err := s.End(ctx, key, end, seen)
			return []any{session, ended, errors.Is(err, sessionstore.ErrUnknown)}
		})
	case "look":
		got, want = both(m, func(s sessionstore.Store) any {
			session, err := s.Session(ctx, key)
			return []any{session, errors.Is(err, sessionstore.ErrUnknown)}
		})
	case "list":
		got, want = both(m, func(s sessionstore.Store) any {
			list, more, err := s.Sessions(ctx, m.tenant, "u-1", 2)
			if len(list) == 0 {
				list = nil
			}
			return []any{list, more, err}
		})
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("(-memory +store):\n%s", diff)
	}
}

func both(m *model, call func(sessionstore.Store) any) (got, want any) {
	return call(m.store), call(m.memory)
}
