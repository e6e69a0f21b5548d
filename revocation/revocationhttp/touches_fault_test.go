package revocationhttp_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/curfewhq/curfew/revocation/revocationhttp"
)

// What failed is sent again, later and later, and a newer time isn't lost by it.
func TestTouchesAreSentAgain(t *testing.T) {
	touching(t, nil, func(t *testing.T, touches *revocationhttp.Touches, g *registry, f *failures) {
		began := time.Now()
		g.answer(503)
		touches.Touch(sessionOf("", "s1", ""))
		touches.Touch(sessionOf("", "s2", ""))
		touches.Touch(sessionOf("acme", "s3", ""))
		lapse(15*time.Second + 100*time.Millisecond)
		errs := f.take()
		if len(errs) != 2 || !errors.Is(errs[0], revocationhttp.ErrTouchesUnavailable) || g.asked() != 2 {
			t.Fatalf("%v, in %d requests", errs, g.asked())
		}
		// 15.1 s: while it waits for its next chance.
		touches.Touch(sessionOf("", "s1", ""))
		lapse(2 * time.Minute)
		// 1, 2, 4, …, 60 s, each by half as much at random, for two tenants.
		if n := len(f.take()); n < 8 || n > 16 {
			t.Errorf("tried %d times in two minutes", n)
		}
		g.answer(0)
		lapse(2 * time.Minute)
		got := map[string]bool{}
		for _, text := range at(began, g.take()) {
			got[text] = true
		}
		if diff := cmp.Diff(map[string]bool{"default s1 15.1s": true, "default s2 0s": true, "acme s3 0s": true}, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		// All is well: it is as if nothing had been.
		requests := g.asked()
		touches.Touch(sessionOf("", "s1", ""))
		lapse(15*time.Second + time.Millisecond)
		if s := touches.Stats(); g.asked() != requests+1 || s.Waiting != 0 || s.Dropped != 0 || s.Touched != 4 {
			t.Errorf("%d requests more, %+v", g.asked()-requests, s)
		}
	})
}

// A touch that comes while an earlier one of its session is on its way, which fails, takes that one's place.
func TestTouchesNewerWhileOnTheWay(t *testing.T) {
	touching(t, nil, func(t *testing.T, touches *revocationhttp.Touches, g *registry, f *failures) {
		began := time.Now()
		g.block = make(chan struct{})
		touches.Touch(sessionOf("", "s1", ""))
		touches.Touch(sessionOf("", "s2", ""))
		lapse(16 * time.Second)
		touches.Touch(sessionOf("", "s1", ""))
		if s := touches.Stats(); s.Waiting != 3 {
			t.Errorf("%d touches wait or are on their way", s.Waiting)
		}
		lapse(5 * time.Second)
		if s := touches.Stats(); s.Waiting != 2 || len(f.take()) != 1 {
			t.Errorf("after the failure %+v", s)
		}
		close(g.block)
		lapse(time.Minute)
		if diff := cmp.Diff([]string{"default s2 0s", "default s1 16s"}, at(began, g.take())); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if s := touches.Stats(); s.Waiting != 0 || s.Dropped != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// Each failure that there can be, and whether it is tried again.
func TestTouchesFailures(t *testing.T) {
	good := func(w http.ResponseWriter, body string) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, body)
	}
	for name, tt := range map[string]struct {
		answer http.HandlerFunc
		want   error
	}{
		"400": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(400) }, revocationhttp.ErrTouchesRejected},
		"413": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(413) }, revocationhttp.ErrTouchesRejected},
		"422": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(422) }, revocationhttp.ErrTouchesRejected},
		"401": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401) }, revocationhttp.ErrTouchesUnavailable},
		"404": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) }, revocationhttp.ErrTouchesUnavailable},
		"429": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(429) }, revocationhttp.ErrTouchesUnavailable},
		"500": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }, revocationhttp.ErrTouchesUnavailable},
		"a redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://evil.example/", http.StatusTemporaryRedirect)
		}, revocationhttp.ErrTouchesUnavailable},
		"a broken connection": {func(w http.ResponseWriter, _ *http.Request) {
			if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
				_ = conn.Close()
			}
		}, revocationhttp.ErrTouchesUnavailable},
		"no answer": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, revocationhttp.ErrTouchesUnavailable},
		"a page":    {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") }, revocationhttp.ErrTouchesUnavailable},
		"nothing":   {func(w http.ResponseWriter, _ *http.Request) { good(w, `{}`) }, revocationhttp.ErrTouchesUnavailable},
		"another's": {func(w http.ResponseWriter, _ *http.Request) {
			good(w, `{"results":[{"session":"s2","result":"touched"}]}`)
		}, revocationhttp.ErrTouchesUnavailable},
		"too many": {func(w http.ResponseWriter, _ *http.Request) {
			good(w, `{"results":[{"session":"secret-s1","result":"touched"},{"session":"s2","result":"touched"}]}`)
		}, revocationhttp.ErrTouchesUnavailable},
		"without an end": {func(w http.ResponseWriter, _ *http.Request) { good(w, `{"results":["`+strings.Repeat("x", 3<<20)) }, revocationhttp.ErrTouchesUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &failures{}
				_, transport := serveOver(t, tt.answer)
				touches, err := revocationhttp.NewTouches(revocationhttp.TouchesConfig{
					URL: "http://localhost", Transport: transport, OnError: f.told, Keys: map[string]revocationhttp.APIKey{"default": revocationhttp.NewAPIKey(keyText)},
				})
				if err != nil {
					t.Fatal(err)
				}
				touches.Touch(sessionOf("", "secret-s1", "secret-u1"))
				lapse(25 * time.Second)
				errs, s := f.take(), touches.Stats()
				for _, err := range errs {
					if !errors.Is(err, tt.want) || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), keyText) {
						t.Errorf("told %v, want %v", err, tt.want)
					}
				}
				if rejected := tt.want == revocationhttp.ErrTouchesRejected; rejected && (len(errs) != 1 || s.Dropped != 1 || s.Waiting != 0) || !rejected && (len(errs) < 1 || s.Dropped != 0 || s.Waiting != 1) {
					t.Errorf("%d failures, %+v", len(errs), s)
				}
				if err := touches.Close(); (err != nil) != (tt.want != revocationhttp.ErrTouchesRejected) {
					t.Errorf("close: %v", err)
				}
			})
		})
	}
}

// A registry that says when to come back is believed.
func TestTouchesRetryAfter(t *testing.T) {
	touching(t, nil, func(t *testing.T, touches *revocationhttp.Touches, g *registry, f *failures) {
		g.after = "30"
		g.answer(503)
		touches.Touch(sessionOf("", "s1", ""))
		lapse(44 * time.Second)
		if g.asked() != 1 {
			t.Errorf("asked %d times in 29 s", g.asked())
		}
		lapse(2 * time.Second)
		if g.asked() != 2 {
			t.Errorf("asked %d times in 31 s", g.asked())
		}
	})
}

func TestTouchesConfigFaults(t *testing.T) {
	_, err := revocationhttp.NewTouches(revocationhttp.TouchesConfig{URL: "http://example.com", Interval: -1, Timeout: -1, MaxConcurrent: -1, MaxSessions: -1})
	for _, word := range []string{"URL must be https", "--scopes sessions", "Interval", "Timeout", "MaxConcurrent", "MaxSessions"} {
		if err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%v doesn't say %q", err, word)
		}
	}
	_, err = revocationhttp.NewTouches(revocationhttp.TouchesConfig{URL: "https://example.com", Keys: map[string]revocationhttp.APIKey{"A B": revocationhttp.NewAPIKey("hidden key")}})
	if err == nil || !strings.Contains(err.Error(), "isn't the name of a tenant") || strings.Contains(err.Error(), "hidden") {
		t.Errorf("%v", err)
	}
}
