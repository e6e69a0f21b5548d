package sessions_test

import (
	"context"
	"testing"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/sessionstore"
	"github.com/curfewhq/curfew/services/sessions"
)

// between does something of another process's after a session was looked at and before it is claimed.
type between struct {
	sessionstore.Store
	do func()
}

func (b *between) End(ctx context.Context, key sessionstore.Key, end sessionstore.End, seen time.Time) (sessionstore.Session, bool, error) {
	if end.Pending() && b.do != nil {
		do := b.do
		b.do = nil
		do()
	}
	return b.Store.End(ctx, key, end, seen)
}

// TestTouchBeforeClaim: 1. a sweeper finds a session idle; 2. it is touched; 3. the sweeper claims it. The claim must fail.
func TestTouchBeforeClaim(t *testing.T) {
	eachStore(t, func(t *testing.T, b *bus.Bus, open stores) {
		other := open(t, sessions.Timing{MaxAge: maxAge, IdleTimeout: 300 * time.Millisecond})
		taken := make(chan time.Time, 1)
		d := newDesk(t, b, open, sessions.Timing{IdleTimeout: 300 * time.Millisecond}, func(cfg *sessions.Config) {
			cfg.Store = &between{Store: cfg.Store, do: func() {
				at := time.Now().Truncate(time.Millisecond)
				got, err := other.Touch(context.Background(), "acme", []sessionstore.Touch{{ID: "s-1", At: at}})
				if err != nil || got[0].Outcome != sessionstore.Taken {
					t.Errorf("%+v, %v", got, err)
				}
				taken <- at
			}}
		})
		d.register(t, `{"session":"s-1","user":"ada"}`)
		d.sweep(t)
		at := <-taken
		await(t, "its end", func() bool { return len(stored(t, b)["s-1"]) > 0 })
		if e := stored(t, b)["s-1"][0]; e.Time.Before(at.Add(300 * time.Millisecond)) {
			t.Errorf("ended %v after a touch that was taken", e.Time.Sub(at))
		}
	})
}

// TestClaimBeforeClaim: 1. two sweepers find a session idle; 2. one claims it; 3. the other one does. It must leave it alone.
func TestClaimBeforeClaim(t *testing.T) {
	eachStore(t, func(t *testing.T, b *bus.Bus, open stores) {
		other := open(t, sessions.Timing{MaxAge: maxAge, IdleTimeout: 300 * time.Millisecond})
		first := common(t, events.ReasonIdleTimeout).ID
		claimed := make(chan struct{})
		d := newDesk(t, b, open, sessions.Timing{IdleTimeout: 300 * time.Millisecond}, func(cfg *sessions.Config) {
			cfg.Store = &between{Store: cfg.Store, do: func() {
				_, ok, err := other.End(context.Background(), sessionstore.Key{Tenant: "acme", ID: "s-1"},
					sessionstore.End{At: events.Floor(time.Now()), Reason: events.ReasonIdleTimeout, Event: first}, time.Time{})
				if err != nil || !ok {
					t.Error(ok, err)
				}
				close(claimed)
			}}
		})
		d.register(t, `{"session":"s-1","user":"ada"}`)
		d.sweep(t)
		<-claimed
		waitTurns(t, []*desk{d})
		if ends := stored(t, b)["s-1"]; len(ends) != 0 {
			t.Errorf("published by who hasn't claimed it: %+v", ends[0])
		}
		s, err := other.Session(t.Context(), sessionstore.Key{Tenant: "acme", ID: "s-1"})
		if err != nil || s.Ended == nil || s.Ended.Event != first {
			t.Errorf("%+v, %v", s.Ended, err)
		}
	})
}
