package revocationhttp_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationhttp"
)

// Each case brings the replica into a state; the golden file has the whole answer. Traps 29, 36, 39 and 40: missing claims don't pass,
// refusals aren't stored, revoked differs from expired, undetermined from both.
func TestAnswers(t *testing.T) {
	none := func(*testing.T, *rig) {}
	publish := func(make func(t testing.TB) events.Event) func(*testing.T, *rig) {
		return func(t *testing.T, g *rig) { g.publish(t, make(t)) }
	}
	stale := func(_ *testing.T, g *rig) {
		g.feed.Stall()
		time.Sleep(16 * time.Second)
	}
	cases := []struct {
		name    string
		arrange func(*testing.T, *rig)
		session func(*revocation.Session)
		err     error
		header  [2]string
		// cause is the decision's.
		cause error
		// open is whether the case passes under DangerouslyFailOpen.
		open bool
	}{
		{name: "active", arrange: none, open: true},
		{name: "revoked session", arrange: publish(func(t testing.TB) events.Event { return sessionRevoked(t, "s1", events.ReasonUserLogout) })},
		{name: "revoked user", arrange: publish(func(t testing.TB) events.Event { return loggedOutEverywhere(t, "u1", "s2") })},
		{name: "revoked device", arrange: publish(func(t testing.TB) events.Event {
			return &events.DeviceLoggedOut{Common: common(t, events.ReasonCompromised), Device: "device-of-s1", Cutoff: time.Now()}
		})},
		{name: "revoked client", arrange: publish(func(t testing.TB) events.Event {
			return &events.ClientLoggedOut{Common: common(t, events.ReasonPolicy), Client: "client-1", Cutoff: time.Now()}
		})},
		{name: "revoked tenant", arrange: publish(func(t testing.TB) events.Event {
			return &events.TenantLoggedOut{Common: common(t, events.ReasonAdmin), Cutoff: time.Now()}
		})},
		{name: "revoked though stale", arrange: func(t *testing.T, g *rig) {
			g.publish(t, sessionRevoked(t, "s1", events.ReasonIdleTimeout))
			stale(t, g)
		}},
		{name: "max age", arrange: none, session: func(s *revocation.Session) { s.AuthTime = time.Now().Add(-31 * 24 * time.Hour) }},
		{name: "stale", cause: revocation.ErrStale, arrange: stale, open: true},
		{name: "not synced", cause: revocation.ErrNotSynced, arrange: func(t *testing.T, g *rig) {
			g.feed.Stall()
			g.feed.Recreate()
			g.feed.Publish(sessionRevoked(t, "s9", events.ReasonAdmin))
			time.Sleep(3 * time.Second)
		}, open: true},
		{name: "behind", cause: revocation.ErrBehind, arrange: none, header: [2]string{"Curfew-Position", "1000000"}, open: true},
		{name: "closed", cause: revocation.ErrClosed, arrange: func(_ *testing.T, g *rig) { _ = g.replica.Close() }},
		{name: "missing session", cause: revocation.ErrMissingSession, arrange: none, session: func(s *revocation.Session) { s.ID = "" }},
		{name: "missing user", cause: revocation.ErrMissingUser, arrange: none, session: func(s *revocation.Session) { s.User = "" }},
		{name: "missing auth time", cause: revocation.ErrMissingAuthTime, arrange: none, session: func(s *revocation.Session) { s.AuthTime = time.Time{} }},
		{name: "missing auth time while stale", cause: revocation.ErrMissingAuthTime, arrange: stale, session: func(s *revocation.Session) { s.AuthTime = time.Time{} }},
		{name: "auth time in the future", cause: revocation.ErrAuthTimeInFuture, arrange: none, session: func(s *revocation.Session) { s.AuthTime = time.Now().Add(time.Hour) }},
		{name: "no session", arrange: none, err: revocationhttp.ErrNoSession},
		{name: "bad token", arrange: none, err: fmt.Errorf("%w: secret-cause", revocationhttp.ErrInvalidToken)},
		{name: "keys unavailable", arrange: none, err: fmt.Errorf("%w: secret-cause", revocationhttp.ErrKeysUnavailable)},
		{name: "unknown error", arrange: none, err: errors.New("secret-cause")},
		{name: "position malformed", arrange: none, header: [2]string{"Curfew-Position", "+12"}},
	}
	for _, tc := range cases {
		for _, failOpen := range []bool{false, true} {
			name := tc.name
			if failOpen {
				name += ", fail open"
			}
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					g := newRig(t, revocationhttp.Config{Policy: revocationhttp.Policy{DangerouslyFailOpen: failOpen}, RetryAfter: 1500 * time.Millisecond, Session: func(*http.Request) (revocation.Session, error) {
						s := session("s1", "u1")
						if tc.session != nil {
							tc.session(&s)
						}
						return s, tc.err
					}})
					tc.arrange(t, g)
					r := request("")
					if tc.header[0] != "" {
						r.Header.Set(tc.header[0], tc.header[1])
					}
					w := do(g.guard.Handler(ok), r)
					_, passes, _, errs := g.told.counts()
					decisions, _, _ := g.told.all()
					if len(decisions) > 0 && !errors.Is(decisions[0].Cause, tc.cause) || len(decisions)+errs != 1 {
						t.Errorf("decisions %+v, want one with cause %v", decisions, tc.cause)
					}
					if tc.name == "active" {
						if w.Code != http.StatusOK || passes != 0 {
							t.Errorf("got %d with %d fail-open passes, want 200 and none", w.Code, passes)
						}
						return
					}
					if failOpen && tc.open {
						if w.Code != http.StatusOK || passes != 1 {
							t.Errorf("got %d with %d fail-open passes counted, want 200 and 1", w.Code, passes)
						}
						return
					}
					if passes != 0 {
						t.Errorf("%d fail-open passes counted, want none", passes)
					}
					if refusedBefore := tc.err != nil || tc.name == "position malformed"; refusedBefore != (errs == 1) {
						t.Errorf("%d errors told", errs)
					}
					if strings.Contains(dump(w), "secret") || strings.Contains(dump(w), "u1") || strings.Contains(dump(w), "s1") {
						t.Errorf("the answer leaks:\n%s", dump(w))
					}
					if cc := w.Header().Get("Cache-Control"); cc != "no-store" {
						t.Errorf("Cache-Control is %q, want no-store", cc)
					}
					checkGolden(t, strings.ReplaceAll(tc.name, " ", "_")+".golden", dump(w))
				})
			})
		}
	}
}

func TestAllowAnonymous(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, revocationhttp.Config{AllowAnonymous: true})
		for _, tc := range []struct {
			sid    string
			status int
			body   string
		}{
			{"", 200, `session "" false`}, {"s1 u1", 200, `session "s1" true`}, {"bad", 401, ""}, {"broken", 503, ""},
		} {
			w := do(g.guard.Handler(ok), request(tc.sid))
			if w.Code != tc.status || tc.body != "" && w.Body.String() != tc.body {
				t.Errorf("%q: got %d %s, want %d %s", tc.sid, w.Code, w.Body, tc.status, tc.body)
			}
		}
	})
}

func TestDangerouslyAllowMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, revocationhttp.Config{
			Policy:  revocationhttp.Policy{Require: revocation.Require{DangerouslyAllowMissingSession: true}},
			Session: func(*http.Request) (revocation.Session, error) { return session("", "u1"), nil },
		})
		if w := do(g.guard.Handler(ok), request("")); w.Code != 200 {
			t.Errorf("got %d, want 200", w.Code)
		}
		if w := do(g.guard.With(revocationhttp.Policy{}).Handler(ok), request("")); w.Code != 401 {
			t.Errorf("a stricter route: got %d, want 401", w.Code)
		}
	})
}

func TestRequireFresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, revocationhttp.Config{})
		feed, payments := g.guard.Handler(ok), g.guard.RequireFresh(3*time.Second)(ok)
		nested := g.guard.Handler(payments)
		if w := do(nested, request("s1 u1")); w.Code != 200 || w.Body.String() != `session "s1" true` {
			t.Errorf("nested while fresh: got %d %s", w.Code, w.Body)
		}
		synctest.Wait()
		g.feed.Stall()
		time.Sleep(5 * time.Second)
		for _, tc := range []struct {
			name    string
			handler http.Handler
			status  int
		}{{"the replica's budget", feed, 200}, {"a shorter one", payments, 503}, {"nested", nested, 503}, {"a longer one", g.guard.RequireFresh(time.Hour)(ok), 200}} {
			if w := do(tc.handler, request("s1 u1")); w.Code != tc.status {
				t.Errorf("%s: got %d, want %d", tc.name, w.Code, tc.status)
			}
		}
		if n := g.guard.Live(); n != 0 {
			t.Errorf("%d requests are left", n)
		}
	})
}

func TestRequireFreshNegativePanics(t *testing.T) {
	g := newRig(t, revocationhttp.Config{})
	defer func() {
		if recover() == nil {
			t.Error("a negative budget doesn't panic")
		}
	}()
	g.guard.RequireFresh(-1)
}

func TestConfigFaultsAllAtOnce(t *testing.T) {
	var nilReplica *revocation.Replica
	_, err := revocationhttp.New(revocationhttp.Config{Replica: nilReplica, RetryAfter: -1, Policy: revocationhttp.Policy{Require: revocation.Require{MaxStaleness: -1}}})
	for _, want := range []string{"nil *revocation.Replica", "Session is required", "RetryAfter", "MaxStaleness"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New = %v, want a word about %s", err, want)
		}
	}
	if _, err := revocationhttp.New(revocationhttp.Config{Session: fromHeaders}); err == nil || !strings.Contains(err.Error(), "Replica is required") {
		t.Errorf("New without a replica = %v", err)
	}
}

// Answer fails closed: what it doesn't know is no pass, and writing "no refusal" doesn't look like one.
func TestAnswerFailsClosed(t *testing.T) {
	if p := revocationhttp.Answer(revocation.Decision{}); p.Status != 503 || !p.Retry {
		t.Errorf("the zero decision is answered %d", p.Status)
	}
	if p := revocationhttp.AnswerError(nil); p.Status != 503 {
		t.Errorf("a nil error is answered %d", p.Status)
	}
	if p := revocationhttp.AnswerError(&revocation.EndedError{}); p.Status != 503 {
		t.Errorf("an ended error without a decision is answered %d", p.Status)
	}
	w := httptest.NewRecorder()
	revocationhttp.Answer(revocation.Decision{State: revocation.Active}).Write(w)
	if w.Code != 500 {
		t.Errorf("the answer to an active session is written as %d, want 500", w.Code)
	}
}

// Write drops what an outer handler said of another content.
func TestProblemWriteDropsHeaders(t *testing.T) {
	w := httptest.NewRecorder()
	for _, name := range []string{"Content-Encoding", "Etag", "Last-Modified"} {
		w.Header().Set(name, "x")
	}
	w.Header().Set("Content-Length", "12345")
	revocationhttp.AnswerError(revocationhttp.ErrNoSession).Write(w)
	for _, name := range []string{"Content-Encoding", "Etag", "Last-Modified"} {
		if v := w.Header().Get(name); v != "" {
			t.Errorf("%s: %s is left", name, v)
		}
	}
	if got, want := w.Header().Get("Content-Length"), fmt.Sprint(w.Body.Len()); got != want {
		t.Errorf("Content-Length is %s, want %s", got, want)
	}
}
