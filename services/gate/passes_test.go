package gate_test

import (
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/events/exposure"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/services/gate"
)

// TestPassesAreRemembered: active answers, in the tenant of the key, and callers whom forward-auth lets through; no others.
func TestPassesAreRemembered(t *testing.T) {
	var passes *revocation.Passes
	g := newRig(t, newKeys(t), func(c *gate.Config) {
		var err error
		if passes, err = revocation.NewPasses(c.Replica, revocation.PassesConfig{}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(passes.Close)
		c.Passes = passes
	})
	g.publish(t, &events.SessionRevoked{Common: events.Common{
		ID: eventID, Time: time.Now(), Source: "test", Tenant: events.DefaultTenant, Reason: events.ReasonAdmin, Initiator: events.Initiator{Type: events.InitiatorAdmin},
	}, Session: "gone"})
	begun := time.Now().Add(-time.Minute).UTC().Format(time.RFC3339)
	send := func(method, path, body, auth string, want int) {
		t.Helper()
		r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
		r.Header.Set("Authorization", "Bearer "+auth)
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		if g.mux.ServeHTTP(w, r); w.Code != want {
			t.Errorf("%s %s: %d %s", method, path, w.Code, w.Body)
		}
	}
	query := "/v1/check?user=ann&auth_time=" + begun + "&session="
	send(http.MethodGet, query+"s-1", "", g.keys.check, 200)
	send(http.MethodGet, query+"gone", "", g.keys.check, 401)
	send(http.MethodGet, query+"s-1", "", g.keys.acme, 200)
	send(http.MethodPost, "/v1/check", `[{"session":"s-1","user":"ann","auth_time":"`+begun+`"},{"session":"gone"},{"session":"s-3"}]`, g.keys.check, 200)
	send(http.MethodGet, "/v1/forward-auth", "", token(t, claims("s-1", "ann")), 200)
	send(http.MethodGet, "/v1/forward-auth", "", token(t, claims("gone", "ann")), 401)
	got := map[string][]string{}
	for _, of := range [][2]string{{events.DefaultTenant, "s-1"}, {events.DefaultTenant, "gone"}, {events.DefaultTenant, "s-3"}, {"acme", "s-1"}} {
		for _, pass := range passes.Answer(of[0], exposure.Question{Position: 1, Sessions: []string{of[1]}, UntilMS: math.MaxInt64}).Passes {
			got[of[0]+" "+of[1]] = append(got[of[0]+" "+of[1]], pass.Route)
		}
	}
	want := map[string][]string{"default s-1": {"GET /v1/check", "POST /v1/check", "GET /v1/forward-auth"}, "acme s-1": {"GET /v1/check"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
