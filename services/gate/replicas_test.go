package gate_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/sirupsen/logrus"

	"github.com/curfewhq/curfew/events/presence"
	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/access/accesstest"
	"github.com/curfewhq/curfew/internal/replicas"
	"github.com/curfewhq/curfew/internal/telemetry"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationtest"
	"github.com/curfewhq/curfew/services/gate"
)

// Replicas are asked about the tenant of the key, whatever the call says, and of nothing that can't be read: each fault counts, wherever it stands.
func TestReplicas(t *testing.T) {
	keys := newKeys(t)
	_, text := accesstest.Key(t, keys.store, "acme", access.ScopeRead)
	replica, err := revocation.Open(t.Context(), revocation.Config{Feed: revocationtest.New()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = replica.Close() })
	log := logrus.New()
	log.SetOutput(io.Discard)
	var asked *replicas.Question
	var fails error
	heard := time.Now()
	svc, err := gate.New(gate.Config{
		Reporting: func() []replicas.Member {
			return []replicas.Member{
				{Report: presence.Report{ID: "AAAAAAAAAAAA1", Name: "one:11", Group: "curfew", Position: 7, BudgetMS: 15_000}, Heard: heard},
				// It was killed, and another has started in its place and under its name.
				{Report: presence.Report{ID: "AAAAAAAAAAAA2", Name: "one:11", Group: "curfew", Position: 5, BudgetMS: 15_000}, Heard: heard, Ended: true},
				{Report: presence.Report{ID: "AAAAAAAAAAAA3", Name: "two:12", Group: "curfew", Position: 6, BudgetMS: 15_000}, Heard: heard},
				{Report: presence.Report{ID: "AAAAAAAAAAAA4", Name: "billing-7", Group: "billing", Version: "1.4.2", Position: 3, BudgetMS: 15_000}, Heard: heard, Ended: true},
			}
		},
		Replica: replica, Keys: keys.store, Metrics: telemetry.NewMetrics(prometheus.NewRegistry()), Log: log,
		AskReplicas: func(ctx context.Context, q replicas.Question) ([]replicas.Answer, error) {
			asked = &q
			if _, bounded := ctx.Deadline(); !bounded {
				t.Error("replicas are waited for without an end")
			}
			return []replicas.Answer{{Name: "two:12", Group: "curfew", Position: 6}, {ID: "AAAAAAAAAAAA1", Name: "one:11", Group: "curfew", Position: 7}}, fails
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = svc.Close() })
	mux := http.NewServeMux()
	svc.Routes(mux)
	ask := func(query, key string) *httptest.ResponseRecorder {
		asked = nil
		r := httptest.NewRequest(http.MethodGet, "/v1/replicas"+query, nil)
		r.Header.Set("Authorization", "Bearer "+key)
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		return w
	}
	w := ask("?session=s-1&user=ada&device=d&client=c&timeout=50ms&auth_time=2026-08-04T09:30:00.25Z", text)
	want := &replicas.Question{Tenant: "acme", Session: "s-1", User: "ada", Device: "d", Client: "c", AuthTime: time.Date(2026, 8, 4, 9, 30, 0, 250_000_000, time.UTC)}
	if diff := cmp.Diff(want, asked); diff != "" || w.Code != http.StatusOK {
		t.Errorf("%d %s, asked (-want +got):\n%s", w.Code, w.Body, diff)
	}
	var got replicas.Survey
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || len(got.Replicas) != 2 || got.Replicas[0].Name != "1" || got.Replicas[0].Position != 7 || got.Replicas[1].Name != "2" {
		t.Errorf("%s: %v", w.Body, err)
	}
	_, operator := accesstest.Key(t, keys.store, "acme", access.ScopeRead, access.ScopeOperator)
	if s := got.Silent; len(s) != 2 || s[0].Name != "3" || s[0].Position != 5 || s[1].Name != "4" || s[1].Group != "" || s[1].Version != "" || s[1].Position != 3 || !s[1].LeaseEnded ||
		!s[1].FailsClosedSince.Equal(heard.Add(16*time.Second)) || got.Replicas[0].Group != "" {
		t.Errorf("silent are %+v", s)
	}
	if w := ask("", operator); strings.Contains(w.Body.String(), "AAAAAAAAAAAA") || !strings.Contains(w.Body.String(), `"billing-7"`) || !strings.Contains(w.Body.String(), `"one:11"`) {
		t.Errorf("an operator isn't told which processes they are, or by ids that are nobody's to know: %s", w.Body)
	}
	for query, code := range map[string]string{
		"?tenant=globex": "unknown_parameter", "?user=a&user=b": "unknown_parameter", "?%zz": "unknown_parameter",
		"?bogus=1&auth_time=2026-08-04T09:30:00Z&timeout=1s": "unknown_parameter", "?%zz&auth_time=2026-08-04T09:30:00Z": "unknown_parameter",
		"?auth_time=": "invalid_parameter", "?timeout=6s": "invalid_timeout", "?timeout=": "invalid_timeout",
	} {
		// What is read into a map has no order.
		for range 20 {
			if w := ask(query, text); asked != nil || !strings.Contains(w.Body.String(), `"code":"`+code+`"`) {
				t.Fatalf("%s: %d %s, asked %v", query, w.Code, w.Body, asked)
			}
		}
	}
	if w := ask("", keys.check); w.Code != http.StatusForbidden || asked != nil {
		t.Errorf("with another scope: %d", w.Code)
	}
	fails = errors.New("no NATS")
	if w := ask("", text); w.Code != http.StatusServiceUnavailable {
		t.Errorf("without NATS: %d %s", w.Code, w.Body)
	}
}
