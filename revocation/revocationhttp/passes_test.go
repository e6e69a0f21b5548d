package revocationhttp_test

import (
	"math"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/events/exposure"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationhttp"
	"github.com/curfewhq/curfew/revocation/revocationtest"
)

// passing is a middleware that remembers what it passes, over a replica.
func passing(t testing.TB, change func(*revocationhttp.Config)) (*revocationhttp.Middleware, *revocation.Passes, *revocationtest.Feed, *revocation.Replica) {
	t.Helper()
	feed := revocationtest.New()
	feed.Beat()
	replica, err := revocation.Open(t.Context(), revocation.Config{Feed: feed})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = replica.Close() })
	passes, err := revocation.NewPasses(replica, revocation.PassesConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(passes.Close)
	cfg := revocationhttp.Config{Replica: replica, Passes: passes, AllowAnonymous: true, Session: func(r *http.Request) (revocation.Session, error) {
		sid := r.Header.Get("X-Session")
		if sid == "" {
			return revocation.Session{}, revocationhttp.ErrNoSession
		}
		return session(sid, "ann"), nil
	}}
	if change != nil {
		change(&cfg)
	}
	guard, err := revocationhttp.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = guard.Close() })
	return guard, passes, feed, replica
}

// routesOf are the routes on which a session passed, in order; an undetermined one has a question mark.
func routesOf(passes *revocation.Passes, sid string) (routes []string) {
	for _, pass := range passes.Answer(events.DefaultTenant, exposure.Question{Position: 1, Sessions: []string{sid}, UntilMS: math.MaxInt64}).Passes {
		route := pass.Route
		if pass.Undetermined {
			route += "?"
		}
		routes = append(routes, route)
	}
	return routes
}

// What passes is remembered once, by the mux's pattern; what is refused and what has no session isn't.
func TestPassesAreRemembered(t *testing.T) {
	guard, passes, feed, replica := passing(t, nil)
	mux := http.NewServeMux()
	nothing := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	mux.Handle("GET /orders/{id}", guard.Handler(guard.With(revocationhttp.Policy{}).Handler(nothing)))
	mux.Handle("/", guard.Handler(nothing))
	ask := func(path, sid string) int {
		r, w := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil), httptest.NewRecorder()
		r.Header.Set("X-Session", sid)
		mux.ServeHTTP(w, r)
		return w.Code
	}
	for _, path := range []string{"/orders/secret-1", "/orders/secret-2", "/other"} {
		if code := ask(path, "s-1"); code != http.StatusOK {
			t.Fatal(code)
		}
	}
	ask("/other", "")
	feed.Publish(sessionRevoked(t, "s-2", events.ReasonAdmin))
	if err := replica.WaitFor(t.Context(), feed.Last()); err != nil {
		t.Fatal(err)
	}
	if code := ask("/other", "s-2"); code != http.StatusUnauthorized {
		t.Fatal(code)
	}
	if diff := cmp.Diff([]string{"GET /orders/{id}", "GET /orders/{id}", "/"}, routesOf(passes, "s-1")); diff != "" {
		t.Error(diff)
	}
	if got := routesOf(passes, "s-2"); got != nil {
		t.Errorf("refused, and remembered: %v", got)
	}
}

// A pass by choice is remembered as one, under the name that the configuration gives.
func TestPassesByChoiceAreRemembered(t *testing.T) {
	guard, passes, _, replica := passing(t, func(c *revocationhttp.Config) {
		c.Policy.DangerouslyFailOpen, c.PositionTimeout = true, -1
		c.Route = func(*http.Request) string { return "named" }
	})
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/x", nil)
	r.Header.Set("X-Session", "s-1")
	r.Header.Set("Curfew-Position", "999999")
	w := httptest.NewRecorder()
	guard.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(w, r)
	if d := replica.Check(session("s-1", "ann")); w.Code != http.StatusOK || d.State != revocation.Active {
		t.Fatalf("%d, %v", w.Code, d.State)
	}
	if diff := cmp.Diff([]string{"named?"}, routesOf(passes, "s-1")); diff != "" {
		t.Error(diff)
	}
}

// BenchmarkPasses is the whole middleware, without and with what remembers passes.
func BenchmarkPasses(b *testing.B) {
	for _, with := range []string{"none", "on"} {
		run := func(b *testing.B, do func(b *testing.B, h http.Handler, r *http.Request)) {
			s := session("5e551000-0000-7000-8000-000000000001", "0b9f6c1e-1111-4222-8333-444455556666")
			guard, _, _, _ := passing(b, func(c *revocationhttp.Config) {
				c.Session = func(*http.Request) (revocation.Session, error) { return s, nil }
				if with == "none" {
					c.Passes = nil
				}
			})
			r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, "/orders/1", nil)
			r.Pattern = "GET /orders/{id}"
			b.ReportAllocs()
			do(b, guard.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})), r)
		}
		b.Run("passes="+with, func(b *testing.B) {
			run(b, func(b *testing.B, h http.Handler, r *http.Request) {
				w := httptest.NewRecorder()
				for b.Loop() {
					h.ServeHTTP(w, r)
				}
			})
		})
		b.Run("parallel/passes="+with, func(b *testing.B) {
			run(b, func(b *testing.B, h http.Handler, r *http.Request) {
				b.RunParallel(func(pb *testing.PB) {
					w := httptest.NewRecorder()
					for pb.Next() {
						h.ServeHTTP(w, r)
					}
				})
			})
		})
	}
}
