package revocationhttp_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationhttp"
)

func withPosition(r *http.Request, position uint64) *http.Request {
	r.Header.Set(revocationhttp.PositionHeader, strconv.FormatUint(position, 10))
	return r
}

// Read your logout: a request that presents the position of a publish is refused by a replica that hasn't heard of it yet.
func TestReadYourLogout(t *testing.T) {
	for _, tc := range []struct {
		sid    string
		status int
	}{{"s1 u1", 401}, {"s2 u1", 200}} {
		t.Run(tc.sid, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newRig(t, revocationhttp.Config{})
				synctest.Wait()
				g.feed.Stall()
				position := g.feed.Publish(sessionRevoked(t, "s1", events.ReasonUserLogout))
				if w := do(g.guard.Handler(ok), request("s1 u1")); w.Code != 200 {
					t.Fatalf("without the position: got %d, want 200: the feed is stalled", w.Code)
				}
				time.AfterFunc(400*time.Millisecond, g.feed.Resume)
				began := time.Now()
				w := do(g.guard.Handler(ok), withPosition(request(tc.sid), position))
				if w.Code != tc.status {
					t.Errorf("got %d, want %d", w.Code, tc.status)
				}
				if took := time.Since(began); took != 400*time.Millisecond {
					t.Errorf("it took %v, want 400ms", took)
				}
			})
		})
	}
}

func TestPositionTimesOut(t *testing.T) {
	for _, tc := range []struct{ timeout, want time.Duration }{{0, time.Second}, {3 * time.Second, 3 * time.Second}, {-1, 0}} {
		synctest.Test(t, func(t *testing.T) {
			g := newRig(t, revocationhttp.Config{PositionTimeout: tc.timeout})
			began := time.Now()
			w := do(g.guard.Handler(ok), withPosition(request("s1 u1"), 1<<60))
			if took := time.Since(began); w.Code != 503 || took != tc.want {
				t.Errorf("timeout %v: got %d after %v, want 503 after %v", tc.timeout, w.Code, took, tc.want)
			}
			if got := w.Header().Get("Retry-After"); got != "1" {
				t.Errorf("Retry-After is %q, want 1", got)
			}
		})
	}
}

// A session that is over isn't made to wait, and a request that waits can be ended by its client.
func TestPositionDoesNotHoldUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, revocationhttp.Config{})
		g.publish(t, sessionRevoked(t, "s1", events.ReasonUserLogout))
		began := time.Now()
		if w := do(g.guard.Handler(ok), withPosition(request("s1 u1"), 1<<60)); w.Code != 401 || time.Since(began) != 0 {
			t.Errorf("revoked: got %d after %v, want 401 at once", w.Code, time.Since(began))
		}
		r := withPosition(request("s2 u1"), 1<<60)
		r = r.WithContext(contextFor(t, 200*time.Millisecond))
		if w := do(g.guard.Handler(ok), r); w.Code != 503 || time.Since(began) != 200*time.Millisecond {
			t.Errorf("client gone: got %d after %v, want 503 after 200ms", w.Code, time.Since(began))
		}
		// Nobody waits without a session.
		if w := do(g.guard.Handler(ok), withPosition(request(""), 1<<60)); w.Code != 401 || time.Since(began) != 200*time.Millisecond {
			t.Errorf("no session: got %d after %v, want 401 at once", w.Code, time.Since(began))
		}
	})
}

func TestPositionForms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, revocationhttp.Config{})
		g.publish(t, sessionRevoked(t, "s9", events.ReasonUserLogout))
		for _, tc := range []struct {
			values []string
			status int
		}{
			{[]string{"0"}, 200}, {[]string{"1"}, 200}, {[]string{"0001"}, 200},
			{[]string{""}, 400}, {[]string{"-1"}, 400}, {[]string{"+1"}, 400}, {[]string{"1.0"}, 400}, {[]string{"0x1"}, 400}, {[]string{"1_0"}, 400},
			{[]string{" 1"}, 400}, {[]string{"1, 2"}, 400}, {[]string{"1", "1"}, 400}, {[]string{"18446744073709551616"}, 400}, {[]string{"١"}, 400},
		} {
			r := request("s1 u1")
			r.Header[revocationhttp.PositionHeader] = tc.values
			if w := do(g.guard.Handler(ok), r); w.Code != tc.status {
				t.Errorf("%q: got %d, want %d", tc.values, w.Code, tc.status)
			}
		}
	})
}

func TestPositionOf(t *testing.T) {
	for _, tc := range []struct {
		name    string
		values  []string
		want    uint64
		present bool
		err     error
	}{
		{"absent", nil, 0, false, nil},
		{"zero", []string{"0"}, 0, true, nil},
		{"a position", []string{"42"}, 42, true, nil},
		{"the largest", []string{"18446744073709551615"}, 1<<64 - 1, true, nil},
		{"too large", []string{"18446744073709551616"}, 0, true, revocationhttp.ErrInvalidPosition},
		{"empty", []string{""}, 0, true, revocationhttp.ErrInvalidPosition},
		{"no number", []string{"soon"}, 0, true, revocationhttp.ErrInvalidPosition},
		{"hexadecimal", []string{"0x2a"}, 0, true, revocationhttp.ErrInvalidPosition},
		{"a list", []string{"1, 2"}, 0, true, revocationhttp.ErrInvalidPosition},
		{"twice the same", []string{"1", "1"}, 0, true, revocationhttp.ErrInvalidPosition},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			for _, v := range tc.values {
				r.Header.Add("curfew-position", v)
			}
			got, present, err := revocationhttp.PositionOf(r)
			if got != tc.want || present != tc.present || !errors.Is(err, tc.err) {
				t.Errorf("PositionOf = %d, %t, %v; want %d, %t, %v", got, present, err, tc.want, tc.present, tc.err)
			}
		})
	}
}

// Positions that others make up may take all places to wait in. Who names one that is no nearer isn't made to wait; who names that of a publish is, and is
// answered once the replica has got there.
func TestPositionsThatAreMadeUpKeepNobodyOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, revocationhttp.Config{})
		ctx, leave := context.WithCancel(t.Context())
		defer leave()
		for range revocation.MaxWaiters {
			go func() { _ = g.replica.WaitFor(ctx, 1<<60) }()
		}
		synctest.Wait()
		began := time.Now()
		if w := do(g.guard.Handler(ok), withPosition(request("s1 u1"), 1<<60)); w.Code != 503 || time.Since(began) != 0 {
			t.Errorf("a far-off position among many: got %d after %v, want 503 at once", w.Code, time.Since(began))
		}
		g.feed.Stall()
		position := g.feed.Publish(sessionRevoked(t, "s1", events.ReasonUserLogout))
		time.AfterFunc(400*time.Millisecond, g.feed.Resume)
		if w := do(g.guard.Handler(ok), withPosition(request("s1 u1"), position)); w.Code != 401 || time.Since(began) != 400*time.Millisecond {
			t.Errorf("the position of a logout among many: got %d after %v, want 401 after 400ms", w.Code, time.Since(began))
		}
	})
}

// The route's own position counts as well.
func TestRequirePosition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, revocationhttp.Config{PositionTimeout: -1})
		variant := g.guard.With(revocationhttp.Policy{Require: revocation.Require{Position: 1 << 40}})
		if w := do(variant.Handler(ok), request("s1 u1")); w.Code != 503 {
			t.Errorf("got %d, want 503", w.Code)
		}
		if w := do(variant.Handler(ok), withPosition(httptest.NewRequest(http.MethodGet, "/", nil), 1)); w.Code != 401 {
			t.Errorf("got %d, want 401", w.Code)
		}
	})
}
