package revocationhttp_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationhttp"
)

func contextFor(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// running is a set of requests that are served until their context ends.
type running struct {
	mu sync.Mutex
	// causes: session → why its context ended.
	causes map[string]error
	wg     sync.WaitGroup
}

func (g *rig) run(t *testing.T, wrap func(http.Handler) http.Handler, sids ...string) *running {
	t.Helper()
	run := &running{causes: map[string]error{}}
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(func() {
		cancel()
		run.wg.Wait()
	})
	h := wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		s, _ := revocationhttp.SessionFrom(r.Context())
		run.mu.Lock()
		defer run.mu.Unlock()
		run.causes[s.ID] = context.Cause(r.Context())
	}))
	for _, sid := range sids {
		run.wg.Go(func() { do(h, request(sid).WithContext(ctx)) })
	}
	synctest.Wait()
	return run
}

func (r *running) ended() map[string]error {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.causes)
}

func TestLiveRequestsEnd(t *testing.T) {
	all := []string{"s1 u1", "s2 u1", "s3 u2"}
	for _, tc := range []struct {
		name   string
		event  func(t *testing.T) events.Event
		ends   []string
		scope  revocation.Scope
		reason events.Reason
	}{
		{"session", func(t *testing.T) events.Event { return sessionRevoked(t, "s1", events.ReasonUserLogout) }, []string{"s1"}, revocation.ScopeSession, events.ReasonUserLogout},
		{"everywhere", func(t *testing.T) events.Event { return loggedOutEverywhere(t, "u1") }, []string{"s1", "s2"}, revocation.ScopeUser, events.ReasonPasswordChanged},
		{"others", func(t *testing.T) events.Event { return loggedOutEverywhere(t, "u1", "s2") }, []string{"s1"}, revocation.ScopeUser, events.ReasonPasswordChanged},
		{"earlier cutoff", func(t *testing.T) events.Event {
			e := loggedOutEverywhere(t, "u1").(*events.UserLoggedOutEverywhere)
			e.Cutoff = time.Now().Add(-2 * time.Hour) // the sessions began after it
			return e
		}, nil, "", ""},
		{"device", func(t *testing.T) events.Event {
			return &events.DeviceLoggedOut{Common: common(t, events.ReasonCompromised), Device: "device-of-s3", Cutoff: time.Now()}
		}, []string{"s3"}, revocation.ScopeDevice, events.ReasonCompromised},
		{"client", func(t *testing.T) events.Event {
			return &events.ClientLoggedOut{Common: common(t, events.ReasonPolicy), Client: "client-1", Cutoff: time.Now()}
		}, []string{"s1", "s2", "s3"}, revocation.ScopeClient, events.ReasonPolicy},
		{"tenant", func(t *testing.T) events.Event {
			return &events.TenantLoggedOut{Common: common(t, events.ReasonAdmin), Cutoff: time.Now()}
		}, []string{"s1", "s2", "s3"}, revocation.ScopeTenant, events.ReasonAdmin},
		{"other tenant", func(t *testing.T) events.Event {
			e := loggedOutEverywhere(t, "u1")
			e.Meta().Tenant = "other"
			return e
		}, nil, "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newRig(t, revocationhttp.Config{})
				run := g.run(t, g.guard.Handler, all...)
				if n := g.guard.Live(); n != len(all) {
					t.Fatalf("%d requests are served, want %d", n, len(all))
				}
				began := time.Now()
				g.feed.Publish(tc.event(t))
				ended := run.ended()
				if len(ended) != len(tc.ends) {
					t.Errorf("ended %v, want %v", ended, tc.ends)
				}
				for _, sid := range tc.ends {
					var why *revocation.EndedError
					if !errors.As(ended[sid], &why) || !errors.Is(ended[sid], revocation.ErrSessionEnded) {
						t.Errorf("%s ended by %v", sid, ended[sid])
						continue
					}
					if d := why.Decision; d.State != revocation.Revoked || d.Scope != tc.scope || d.Reason != tc.reason || d.EventPosition == 0 {
						t.Errorf("%s ended by %+v", sid, d)
					}
				}
				if _, _, n, _ := g.told.counts(); n != len(tc.ends) {
					t.Errorf("OnEnded told of %d, want %d", n, len(tc.ends))
				}
				if took := time.Since(began); took != 0 {
					t.Errorf("it took %v of waiting", took)
				}
				if n := g.guard.Live(); n != len(all)-len(tc.ends) {
					t.Errorf("%d requests are registered, want %d", n, len(all)-len(tc.ends))
				}
			})
		})
	}
}

// A request within two handlers of this package is registered and ended once.
func TestLiveNested(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, revocationhttp.Config{})
		run := g.run(t, func(h http.Handler) http.Handler { return g.guard.Handler(g.guard.RequireFresh(3 * time.Second)(h)) }, "s1 u1")
		if n := g.guard.Live(); n != 1 {
			t.Errorf("%d registered, want 1", n)
		}
		g.feed.Publish(sessionRevoked(t, "s1", events.ReasonAdmin))
		if !errors.Is(run.ended()["s1"], revocation.ErrSessionEnded) {
			t.Error("it isn't ended")
		}
		if _, _, n, _ := g.told.counts(); n != 1 {
			t.Errorf("OnEnded told %d times", n)
		}
	})
}

// What passed by failing open ends as well once the replica learns.
func TestLiveAfterFailOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, revocationhttp.Config{Policy: revocationhttp.Policy{DangerouslyFailOpen: true}})
		synctest.Wait()
		g.feed.Stall()
		time.Sleep(time.Minute)
		g.feed.Publish(sessionRevoked(t, "s1", events.ReasonAdmin))
		run := g.run(t, g.guard.Handler, "s1 u1", "s2 u2")
		if ended := run.ended(); len(ended) != 0 {
			t.Fatalf("ended %v while stale", ended)
		}
		g.feed.Resume()
		if ended := run.ended(); len(ended) != 1 || !errors.Is(ended["s1"], revocation.ErrSessionEnded) {
			t.Errorf("ended %v, want s1", ended)
		}
	})
}

// A client that goes away, and a handler that returns, aren't revocations.
func TestContextEndsOtherwise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, revocationhttp.Config{})
		var after context.Context
		do(g.guard.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { after = r.Context() })), request("s1 u1"))
		if !errors.Is(context.Cause(after), context.Canceled) || errors.Is(context.Cause(after), revocation.ErrSessionEnded) {
			t.Errorf("after the handler: cause %v", context.Cause(after))
		}
		g.publish(t, sessionRevoked(t, "s1", events.ReasonAdmin))
		if _, _, n, _ := g.told.counts(); n != 0 {
			t.Errorf("OnEnded told of a request that was over")
		}
		func() {
			defer func() { _ = recover() }()
			do(g.guard.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })), request("s2 u2"))
		}()
		if n := g.guard.Live(); n != 0 {
			t.Errorf("%d requests are left after a panic", n)
		}
	})
}

// No event tells of max age.
func TestLiveRequestsEndAtMaxAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, revocationhttp.Config{})
		replica, err := revocation.Open(t.Context(), revocation.Config{Feed: g.feed, MaxAge: 2 * time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		defer replica.Close()
		guard, err := revocationhttp.New(revocationhttp.Config{Replica: replica, Session: fromHeaders, OnEnded: g.told.into(&g.told.ended)})
		if err != nil {
			t.Fatal(err)
		}
		defer guard.Close()
		run := g.run(t, guard.Handler, "s1 u1") // an hour old
		time.Sleep(time.Hour - time.Second)
		if ended := run.ended(); len(ended) != 0 {
			t.Fatalf("ended %v before max age", ended)
		}
		time.Sleep(2 * time.Second)
		var why *revocation.EndedError
		if ended := run.ended(); !errors.As(ended["s1"], &why) || why.Decision.Scope != revocation.ScopeMaxAge {
			t.Errorf("ended %v", ended)
		}
		if _, _, n, _ := g.told.counts(); n != 1 {
			t.Errorf("OnEnded told of %d, want 1", n)
		}
	})
}

func TestCloseStopsWatching(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, revocationhttp.Config{})
		run := g.run(t, g.guard.Handler, "s1 u1")
		for range 3 {
			if err := g.guard.Close(); err != nil {
				t.Error(err)
			}
		}
		g.publish(t, sessionRevoked(t, "s1", events.ReasonAdmin))
		if ended := run.ended(); len(ended) != 0 {
			t.Errorf("ended %v after Close", ended)
		}
		if w := do(g.guard.Handler(ok), request("s1 u1")); w.Code != 401 {
			t.Errorf("after Close: got %d, want 401", w.Code)
		}
	})
}

// Requests and revocations of their sessions race. Every request is either refused or ended, none lives on (trap 8).
func TestRegisterCheckRace(t *testing.T) {
	const rounds, perRound = 150, 4
	g := newRig(t, revocationhttp.Config{})
	ctx, cancel := context.WithTimeout(t.Context(), 6*patience)
	defer cancel()
	var served, refused atomic.Int64
	h := g.guard.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		served.Add(1)
		<-r.Context().Done()
		if !errors.Is(context.Cause(r.Context()), revocation.ErrSessionEnded) {
			t.Errorf("cause %v", context.Cause(r.Context()))
		}
	}))
	for round := range rounds {
		sid := fmt.Sprintf("s%d u%d", round, round)
		event := loggedOutEverywhere(t, fmt.Sprintf("u%d", round))
		start := make(chan struct{})
		var wg sync.WaitGroup
		for range perRound {
			wg.Go(func() {
				<-start
				if w := do(h, request(sid).WithContext(ctx)); w.Code == 401 {
					refused.Add(1)
				}
			})
		}
		wg.Go(func() {
			<-start
			g.feed.Publish(event)
		})
		close(start)
		wg.Wait()
	}
	if served.Load()+refused.Load() != rounds*perRound {
		t.Errorf("%d served and ended, %d refused, want %d together", served.Load(), refused.Load(), rounds*perRound)
	}
	if _, _, ended, _ := g.told.counts(); int64(ended) != served.Load() {
		t.Errorf("OnEnded told of %d, %d were served", ended, served.Load())
	}
	t.Logf("%d served and ended, %d refused", served.Load(), refused.Load())
}

// interposed is a Checker that does something right after one of its answers, or right before it ends a request.
type interposed struct {
	*revocation.Replica
	calls atomic.Int64
	// nth counts from 1.
	nth    int64
	after  func()
	before func()
}

func (i *interposed) CheckWith(s revocation.Session, q revocation.Require) revocation.Decision {
	d := i.Replica.CheckWith(s, q)
	if i.calls.Add(1) == i.nth {
		i.after()
	}
	return d
}

func (i *interposed) WatchFunc(s revocation.Session, ended func(revocation.Decision)) (stop func() bool) {
	return i.Replica.WatchFunc(s, func(d revocation.Decision) {
		if i.before != nil {
			i.before()
		}
		ended(d)
	})
}

// The interleaving that is left: registered, checked active, revoked, and only then served. It must not be served.
func TestRevokedBetweenCheckAndServe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, revocationhttp.Config{})
		var decisions, ended atomic.Int64
		between := &interposed{Replica: g.replica, nth: 1, after: func() {
			g.publish(t, loggedOutEverywhere(t, "u1"))
			synctest.Wait()
		}}
		guard, err := revocationhttp.New(revocationhttp.Config{
			Replica: between, Session: fromHeaders,
			OnDecision: func(_ *http.Request, d revocation.Decision) {
				decisions.Add(1)
				if d.State != revocation.Revoked {
					t.Errorf("decided %v", d.State)
				}
			},
			OnEnded: func(*http.Request, revocation.Decision) { ended.Add(1) },
		})
		if err != nil {
			t.Fatal(err)
		}
		defer guard.Close()
		if w := do(guard.Handler(ok), request("s1 u1")); w.Code != 401 {
			t.Errorf("got %d, want 401", w.Code)
		}
		if decisions.Load() != 1 || ended.Load() != 0 {
			t.Errorf("%d decisions and %d ended, want 1 and 0", decisions.Load(), ended.Load())
		}
	})
}

// A request that has returned while the replica was about to end it isn't ended any more: a deadline would hit the connection's next one.
func TestReturnedBetweenCheckAndEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, revocationhttp.Config{})
		release, returned := make(chan struct{}), make(chan struct{})
		late := &interposed{Replica: g.replica, before: func() {
			close(release)
			<-returned
		}}
		w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
		guard, err := revocationhttp.New(revocationhttp.Config{
			Replica: late, Session: fromHeaders, EndConn: true,
			OnEnded: func(*http.Request, revocation.Decision) { t.Error("OnEnded tells of a request that has returned") },
		})
		if err != nil {
			t.Fatal(err)
		}
		defer guard.Close()
		go func() {
			// The handler returns when its session has been found to be over, before anything has come of it.
			guard.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release })).ServeHTTP(w, request("s1 u1"))
			close(returned)
		}()
		synctest.Wait()
		g.publish(t, sessionRevoked(t, "s1", events.ReasonAdmin))
		synctest.Wait()
		if n := w.set.Load(); n != 0 {
			t.Errorf("%d deadlines were set", n)
		}
	})
}

// deadlines is a ResponseWriter that counts the deadlines that are set.
type deadlines struct {
	*httptest.ResponseRecorder
	set atomic.Int64
}

func (d *deadlines) SetReadDeadline(time.Time) error {
	d.set.Add(1)
	return nil
}

func (d *deadlines) SetWriteDeadline(time.Time) error { return d.SetReadDeadline(time.Time{}) }
