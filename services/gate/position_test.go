package gate_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/curfewhq/curfew/revocation"
)

func TestCheckMaxStaleness(t *testing.T) {
	bubble(t, nil, func(t *testing.T, g *rig) {
		g.feed.Stall()
		pass(5 * time.Second)
		tests := []struct {
			member, want string
			staleness    float64
		}{
			{"", "active", 5000},
			{"4999", "undetermined", 5000},
			{"5000", "active", 5000},
			{"1", "undetermined", 5000},
			// More than the replica's budget has no effect, and a number that would overflow has none either.
			{"9223372036854775807", "active", 5000},
			{"9223372036855", "active", 5000},
		}
		for _, tt := range tests {
			query := whole
			if tt.member != "" {
				query += "&max_staleness_ms=" + tt.member
			}
			got := read(t, g.get(t, query))
			if got.State != tt.want || got.Staleness != tt.staleness {
				t.Errorf("%q: %s, %v ms, want %s, %v ms", tt.member, got.State, got.Staleness, tt.want, tt.staleness)
			}
		}
	})
}

// ways are the places where a call may name a position.
func ways(g *rig, position string) map[string]call {
	header := http.Header{"Curfew-Position": {position}}
	question := `{"session":"laptop","user":"ada","auth_time":"1999-12-31T23:00:00Z"%s}`
	plain, member := fmt.Sprintf(question, ""), fmt.Sprintf(question, `,"position":`+position)
	return map[string]call{
		"parameter":                       {target: "/v1/check?" + whole + "&position=" + position, key: g.keys.check},
		"header of GET":                   {target: "/v1/check?" + whole, key: g.keys.check, header: header},
		"header beside a lower parameter": {target: "/v1/check?" + whole + "&position=1", key: g.keys.check, header: header},
		"member":                          {method: http.MethodPost, target: "/v1/check", key: g.keys.check, body: member},
		"header of POST":                  {method: http.MethodPost, target: "/v1/check", key: g.keys.check, body: plain, header: header},
		"member of an array's last":       {method: http.MethodPost, target: "/v1/check", key: g.keys.check, body: "[{}," + member + "]"},
		"header of an array":              {method: http.MethodPost, target: "/v1/check", key: g.keys.check, body: "[{}," + plain + "]", header: header},
	}
}

// last is the answer to the last question.
func last(t *testing.T, w *httptest.ResponseRecorder) reply {
	t.Helper()
	got := read(t, w)
	if n := len(got.Decisions); n > 0 {
		return got.Decisions[n-1]
	}
	return got
}

// Who has just logged out never sees an answer that doesn't know yet ("read your logout").
func TestCheckWaitsForPosition(t *testing.T) {
	bubble(t, nil, func(t *testing.T, g *rig) {
		for name := range ways(g, "1") {
			g.feed.Stall()
			position := g.feed.Publish(sessionRevoked("laptop"))
			answered := make(chan *httptest.ResponseRecorder, 1)
			go func() { answered <- g.do(t, ways(g, fmt.Sprint(position))[name]) }()
			synctest.Wait()
			if len(answered) > 0 {
				t.Fatalf("%s: answered before the replica knew: %s", name, (<-answered).Body)
			}
			g.feed.Resume()
			if got := last(t, <-answered); got.State != "revoked" || got.Position < position {
				t.Errorf("%s: %s at position %d, want revoked at %d", name, got.State, got.Position, position)
			}
		}
	})
}

func TestCheckGivesUpOnPosition(t *testing.T) {
	bubble(t, nil, func(t *testing.T, g *rig) {
		for name, c := range ways(g, "18446744073709551615") {
			began := time.Now()
			w := g.do(t, c)
			if waited := time.Since(began); waited != time.Second {
				t.Errorf("%s: waited %v, want a second", name, waited)
			}
			got := last(t, w)
			if got.State != "undetermined" || got.Cause != "replica is behind the required position" {
				t.Errorf("%s: %s, %q", name, got.State, got.Cause)
			}
			if c.method == "" && (w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") != "1") {
				t.Errorf("%s: %d, Retry-After %q, want 503 and 1", name, w.Code, w.Header().Get("Retry-After"))
			}
		}
		for _, values := range [][]string{{"-1"}, {"1", "1"}, {""}, {"0x1"}} {
			w := g.do(t, call{method: http.MethodPost, target: "/v1/check", key: g.keys.check, body: "{}", header: http.Header{"Curfew-Position": values}})
			if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), `"code":"invalid_position"`) {
				t.Errorf("header %q: %d %s", values, w.Code, w.Body)
			}
		}
	})
}

// When positions that others make up take all places to wait in, who names one that is no nearer is answered at once.
func TestCheckDoesNotWaitAmongTooMany(t *testing.T) {
	bubble(t, nil, func(t *testing.T, g *rig) {
		ctx, leave := context.WithCancel(t.Context())
		defer leave()
		for range revocation.MaxWaiters {
			go func() { _ = g.replica.WaitFor(ctx, 1<<60) }()
		}
		synctest.Wait()
		for name, c := range ways(g, "18446744073709551615") {
			began := time.Now()
			got := last(t, g.do(t, c))
			if waited := time.Since(began); waited != 0 || got.State != "undetermined" || got.Cause != "replica is behind the required position" {
				t.Errorf("%s: %s, %q after %v, want undetermined at once", name, got.State, got.Cause, waited)
			}
		}
	})
}
