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

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/replicas"
	"github.com/curfewhq/curfew/internal/telemetry"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationtest"
	"github.com/curfewhq/curfew/services/gate"
)

// Replicas are asked about the tenant of the key, whatever the call says, and of nothing that can't be read: each fault counts, wherever it stands.
func TestReplicas(t *testing.T) {
	keys := newKeys(t)
	_, text, err := keys.store.Create(t.Context(), access.Request{Tenant: "acme", Scopes: []access.Scope{access.ScopeRead}})
	if err != nil {
		t.Fatal(err)
	}
	replica, err := revocation.Open(t.Context(), revocation.Config{Feed: revocationtest.New()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = replica.Close() })
	log := logrus.New()
	log.SetOutput(io.Discard)
	var asked *replicas.Question
	var fails error
	svc, err := gate.New(gate.Config{
		Replica: replica, Keys: keys.store, Metrics: telemetry.NewMetrics(prometheus.NewRegistry()), Log: log,
		AskReplicas: func(ctx context.Context, q replicas.Question) ([]replicas.Answer, error) {
			asked = &q
			if _, bounded := ctx.Deadline(); !bounded {
				t.Error("replicas are waited for without an end")
			}
			return []replicas.Answer{{Name: "two:12", Position: 6}, {Name: "one:11", Position: 7}}, fails
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
	w := ask("?session=s-1&user=ada&device=d&client=c&timeout=50ms&auth_time=2026-08-04T09:30:00.25Z", text.Reveal())
	want := &replicas.Question{Tenant: "acme", Session: "s-1", User: "ada", Device: "d", Client: "c", AuthTime: time.Date(2026, 8, 4, 9, 30, 0, 250_000_000, time.UTC)}
	if diff := cmp.Diff(want, asked); diff != "" || w.Code != http.StatusOK {
		t.Errorf("%d %s, asked (-want +got):\n%s", w.Code, w.Body, diff)
	}
	var got gate.Replicas
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || len(got.Replicas) != 2 || got.Replicas[0].Name != "1" || got.Replicas[0].Position != 7 || got.Replicas[1].Name != "2" {
		t.Errorf("%s: %v", w.Body, err)
	}
	_, operator, err := keys.store.Create(t.Context(), access.Request{Tenant: "acme", Scopes: []access.Scope{access.ScopeRead, access.ScopeOperator}})
	if err != nil {
		t.Fatal(err)
	}
	if w := ask("", operator.Reveal()); !strings.Contains(w.Body.String(), `"one:11"`) {
		t.Errorf("an operator isn't told which processes they are: %s", w.Body)
	}
	for query, code := range map[string]string{
		"?tenant=globex": "unknown_parameter", "?user=a&user=b": "unknown_parameter", "?%zz": "unknown_parameter",
		"?bogus=1&auth_time=2026-08-04T09:30:00Z&timeout=1s": "unknown_parameter", "?%zz&auth_time=2026-08-04T09:30:00Z": "unknown_parameter",
		"?auth_time=": "invalid_parameter", "?timeout=6s": "invalid_timeout", "?timeout=": "invalid_timeout",
	} {
		// What is read into a map has no order.
		for range 20 {
			if w := ask(query, text.Reveal()); asked != nil || !strings.Contains(w.Body.String(), `"code":"`+code+`"`) {
				t.Fatalf("%s: %d %s, asked %v", query, w.Code, w.Body, asked)
			}
		}
	}
	if w := ask("", keys.check); w.Code != http.StatusForbidden || asked != nil {
		t.Errorf("with another scope: %d", w.Code)
	}
	fails = errors.New("no NATS")
	if w := ask("", text.Reveal()); w.Code != http.StatusServiceUnavailable {
		t.Errorf("without NATS: %d %s", w.Code, w.Body)
	}
}

// sayer is a replica that says what it is told to.
type sayer struct {
	status   revocation.Status
	decision revocation.Decision
	asked    revocation.Session
}

func (s *sayer) Status() revocation.Status { return s.status }
func (s *sayer) Check(session revocation.Session) revocation.Decision {
	s.asked = session
	return s.decision
}

// A replica answers with its own state, and with what it knows of a session where one was named.
func TestAnswerFor(t *testing.T) {
	s := &sayer{
		status:   revocation.Status{Position: 9, Fresh: true, Staleness: 1500 * time.Microsecond},
		decision: revocation.Decision{State: revocation.Revoked, Scope: revocation.ScopeUser, Reason: events.ReasonAdmin, EventPosition: 7},
	}
	answer := gate.AnswerFor(s)
	own := replicas.Answer{Position: 9, Fresh: true, StalenessMS: 1.5}
	if diff := cmp.Diff(own, answer(replicas.Question{Tenant: "acme"})); diff != "" {
		t.Errorf("of itself (-want +got):\n%s", diff)
	}
	known := own
	known.State, known.Scope, known.Reason, known.EventPosition = "revoked", "user", "admin", 7
	if diff := cmp.Diff(known, answer(replicas.Question{Tenant: "acme", Session: "s-1", User: "ada"})); diff != "" {
		t.Errorf("of a session (-want +got):\n%s", diff)
	}
	if s.asked.Tenant != "acme" || s.asked.ID != "s-1" || s.asked.User != "ada" {
		t.Errorf("looked for %+v", s.asked)
	}
	// A replica without a proof isn't one with the best there can be.
	s.status = revocation.Status{Staleness: -1}
	if diff := cmp.Diff(replicas.Answer{StalenessMS: -1}, answer(replicas.Question{Tenant: "acme"})); diff != "" {
		t.Errorf("without a proof (-want +got):\n%s", diff)
	}
}
