package revocation_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationtest"
)

// watching is a context under watch.
type watching struct {
	context.Context
	stop context.CancelFunc
	revocation.Decision
}

func watch(ctx context.Context, r *revocation.Replica, s revocation.Session) watching {
	var w watching
	w.Context, w.stop, w.Decision = r.Watch(ctx, s, revocation.Require{})
	return w
}

// checkEnded checks that a context has been ended by a decision of scope and reason.
func checkEnded(t *testing.T, name string, ctx context.Context, scope revocation.Scope, reason events.Reason) {
	t.Helper()
	var ended *revocation.EndedError
	if cause := context.Cause(ctx); !errors.As(cause, &ended) || !errors.Is(cause, revocation.ErrSessionEnded) {
		t.Errorf("%s: the cause is %v", name, cause)
		return
	}
	if d := ended.Decision; d.State != revocation.Revoked || d.Scope != scope || d.Reason != reason {
		t.Errorf("%s: ended by %+v, want scope %s and reason %s", name, d, scope, reason)
	}
}

func checkLives(t *testing.T, name string, ctx context.Context) {
	t.Helper()
	if err := ctx.Err(); err != nil {
		t.Errorf("%s has ended: %v", name, context.Cause(ctx))
	}
}

func checkWatched(t *testing.T, replica *revocation.Replica, want int) {
	t.Helper()
	if got := replica.Watched(); got != want {
		t.Errorf("%d watches, want %d", got, want)
	}
}

// fresh opens a replica that stays fresh. It is for use in a bubble.
func fresh(t *testing.T, cfg revocation.Config) (*revocationtest.Feed, *revocation.Replica) {
	t.Helper()
	feed := revocationtest.New()
	feed.AutoBeat(time.Second)
	replica := open(t, feed, cfg)
	synctest.Wait()
	return feed, replica
}

func TestWatchEndsWithTheSession(t *testing.T) {
	began := time.Now().Add(-time.Hour)
	sessions := map[string]revocation.Session{
		"phone":  {ID: "phone", User: "ada", Device: "pixel", Client: "mail", AuthTime: began},
		"laptop": {ID: "laptop", User: "ada", Device: "thinkpad", Client: "web", AuthTime: began},
		"other":  {ID: "other", User: "bob", Device: "mac", Client: "web", AuthTime: began},
		"abroad": {Tenant: "abroad", ID: "phone", User: "ada", Device: "pixel", Client: "web", AuthTime: began},
	}
	now := time.Now
	for _, tc := range []struct {
		name  string
		event func() events.Event
		ends  []string
		scope revocation.Scope
	}{
		{"session", func() events.Event { return &events.SessionRevoked{Common: common(1, now()), Session: "phone"} }, []string{"phone"}, revocation.ScopeSession},
		{"user", func() events.Event { return everywhere("ada", now()) }, []string{"phone", "laptop"}, revocation.ScopeUser},
		{"others", func() events.Event { return everywhere("ada", now(), "laptop") }, []string{"phone"}, revocation.ScopeUser},
		{"known by name", func() events.Event {
			e := everywhere("carla", now())
			e.KnownSessions = []string{"other"}
			return e
		}, []string{"other"}, revocation.ScopeUser},
		{"earlier cutoff", func() events.Event { return everywhere("ada", now().Add(-2*time.Hour)) }, nil, ""},
		{"device", func() events.Event {
			return &events.DeviceLoggedOut{Common: common(1, now()), Device: "pixel", Cutoff: now()}
		}, []string{"phone"}, revocation.ScopeDevice},
		{"client", func() events.Event {
			return &events.ClientLoggedOut{Common: common(1, now()), Client: "web", Cutoff: now()}
		}, []string{"laptop", "other"}, revocation.ScopeClient},
		{"tenant", func() events.Event { return &events.TenantLoggedOut{Common: common(1, now()), Cutoff: now()} }, []string{"phone", "laptop", "other"}, revocation.ScopeTenant},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				feed, replica := fresh(t, revocation.Config{})
				watches := map[string]watching{}
				for name, s := range sessions {
					s.AuthTime = now().Add(-time.Hour) // the bubble's clock
					watches[name] = watch(t.Context(), replica, s)
					if watches[name].State != revocation.Active {
						t.Fatalf("%s is %v", name, watches[name].State)
					}
				}
				published := now()
				feed.Publish(tc.event())
				synctest.Wait()
				for _, name := range tc.ends {
					checkEnded(t, name, watches[name], tc.scope, events.ReasonUserLogout)
					delete(watches, name)
				}
				for name, w := range watches {
					checkLives(t, name, w)
				}
				if waited := now().Sub(published); waited != 0 {
					t.Errorf("it took a wait of %v", waited)
				}
				checkWatched(t, replica, len(watches))
			})
		})
	}
}

// A session that is over when it is watched ends its context before Watch returns.
func TestWatchOfASessionThatIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed, replica := fresh(t, revocation.Config{})
		if err := replica.WaitFor(t.Context(), feed.Publish(logout(1))); err != nil {
			t.Fatal(err)
		}
		w := watch(t.Context(), replica, session(1))
		if w.State != revocation.Revoked {
			t.Errorf("it is %v", w.State)
		}
		checkEnded(t, "it", w, revocation.ScopeSession, events.ReasonUserLogout)
		checkWatched(t, replica, 0)
	})
}

// What can't be told goes on being watched, and ends when the replica learns.
func TestWatchWhileUndetermined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed, replica := fresh(t, revocation.Config{})
		feed.Stall()
		time.Sleep(time.Minute)
		w := watch(t.Context(), replica, session(1))
		if w.State != revocation.Undetermined || !errors.Is(w.Cause, revocation.ErrStale) {
			t.Errorf("it is %v because of %v", w.State, w.Cause)
		}
		feed.Publish(logout(1))
		synctest.Wait()
		checkLives(t, "it", w)
		feed.Resume()
		synctest.Wait()
		checkEnded(t, "it", w, revocation.ScopeSession, events.ReasonUserLogout)
	})
}

func TestWatchTellsWhatIsRequired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed, replica := fresh(t, revocation.Config{})
		_, stop, d := replica.Watch(t.Context(), session(1), revocation.Require{Position: feed.Last() + 1})
		defer stop()
		if d.State != revocation.Undetermined || !errors.Is(d.Cause, revocation.ErrBehind) {
			t.Errorf("it is %v because of %v", d.State, d.Cause)
		}
	})
}

// No event tells of max age, so the replica looks at the clock.
func TestWatchEndsAtMaxAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, replica := fresh(t, revocation.Config{MaxAge: time.Hour})
		began := time.Now()
		at := func(age time.Duration) watching {
			s := session(int(age))
			s.AuthTime = began.Add(-age)
			return watch(t.Context(), replica, s)
		}
		old, young := at(30*time.Minute), at(0)
		// One that comes when the replica has an end in sight already, and is before it.
		older := at(59*time.Minute + 30*time.Second + time.Microsecond)
		time.Sleep(30*time.Second - 2*time.Millisecond)
		checkLives(t, "older, before its end", older)
		time.Sleep(time.Second + 3*time.Millisecond)
		checkEnded(t, "older", older, revocation.ScopeMaxAge, events.ReasonMaxAge)

		time.Sleep(time.Until(began.Add(30*time.Minute)) - 2*time.Millisecond)
		checkLives(t, "old, before its end", old)
		time.Sleep(time.Second + 3*time.Millisecond)
		checkEnded(t, "old", old, revocation.ScopeMaxAge, events.ReasonMaxAge)
		checkLives(t, "young", young)
		young.stop()

		// All are gone: the next one wakes the replica again.
		last := at(time.Since(began))
		s := session(1)
		s.AuthTime = time.Time{}
		undated := watch(t.Context(), replica, s)
		time.Sleep(time.Hour + time.Second)
		checkEnded(t, "last", last, revocation.ScopeMaxAge, events.ReasonMaxAge)
		checkLives(t, "undated", undated)
		undated.stop()
		checkWatched(t, replica, 0)
	})
}

// A watch ends with the context that it was begun with, and with stop; neither looks like a revocation.
func TestWatchEndsOtherwise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed, replica := fresh(t, revocation.Config{})
		gone := errors.New("the client is gone")
		ctx, cancel := context.WithCancelCause(t.Context())
		left, stopped := watch(ctx, replica, session(1)), watch(t.Context(), replica, session(1))
		checkWatched(t, replica, 2)
		cancel(gone)
		stopped.stop()
		stopped.stop()
		synctest.Wait()
		checkWatched(t, replica, 0)
		feed.Publish(logout(1))
		synctest.Wait()
		checkWatched(t, replica, 0)
		if cause := context.Cause(left); !errors.Is(cause, gone) || errors.Is(cause, revocation.ErrSessionEnded) {
			t.Errorf("the cause of the one is %v", cause)
		}
		if cause := context.Cause(stopped); !errors.Is(cause, context.Canceled) || errors.Is(cause, revocation.ErrSessionEnded) {
			t.Errorf("the cause of the other is %v", cause)
		}
		// After the end, stop does nothing.
		over := watch(t.Context(), replica, session(1))
		over.stop()
		checkEnded(t, "over", over, revocation.ScopeSession, events.ReasonUserLogout)
	})
}

// The values of the context that it was begun with are there, and its deadline holds.
func TestWatchDerivesFromItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, replica := fresh(t, revocation.Config{})
		type mine struct{}
		ctx, cancel := context.WithTimeout(context.WithValue(t.Context(), mine{}, "value"), time.Minute)
		defer cancel()
		w := watch(ctx, replica, session(1))
		if w.Value(mine{}) != "value" {
			t.Error("the value is gone")
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if !errors.Is(w.Err(), context.DeadlineExceeded) {
			t.Errorf("after its deadline: %v", w.Err())
		}
		checkWatched(t, replica, 0)
	})
}

func TestWatchFunc(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed, replica := fresh(t, revocation.Config{})
		var told, never atomic.Int64
		stop := replica.WatchFunc(session(1), func(d revocation.Decision) {
			told.Add(1)
			if d.State != revocation.Revoked || d.EventPosition == 0 || replica.Status().Position < d.EventPosition {
				t.Errorf("told %+v at position %d", d, replica.Status().Position)
			}
		})
		stopped := replica.WatchFunc(session(1), func(revocation.Decision) { never.Add(1) })
		if !stopped() || stopped() {
			t.Error("stop doesn't report once that the watch was there")
		}
		for range 3 {
			feed.Publish(logout(1))
		}
		synctest.Wait()
		if told.Load() != 1 || never.Load() != 0 {
			t.Errorf("told %d and %d times, want 1 and 0", told.Load(), never.Load())
		}
		if stop() {
			t.Error("stop says that the watch was there when it had ended")
		}
		// Too late: this is why the caller checks, afterwards.
		late := replica.WatchFunc(session(1), func(revocation.Decision) { never.Add(1) })
		synctest.Wait()
		if !late() || never.Load() != 0 {
			t.Error("a session that was over before has ended its watch")
		}
	})
}

// A closed replica ends nothing, and hears nothing any more.
func TestWatchAfterClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed, replica := fresh(t, revocation.Config{})
		w := watch(t.Context(), replica, session(1))
		_ = replica.Close()
		feed.Publish(logout(1))
		synctest.Wait()
		checkLives(t, "it", w)
		after := watch(t.Context(), replica, session(2))
		if !errors.Is(after.Cause, revocation.ErrClosed) {
			t.Errorf("it is %v because of %v", after.State, after.Cause)
		}
	})
}
