package replicas_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"github.com/curfewhq/curfew/events/exposure"
	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/internal/replicas"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func connect(t *testing.T, srv *natstest.Server) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(srv.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// Each replica that listens answers what it was asked, and one that has stopped doesn't.
func TestAsk(t *testing.T) {
	srv := natstest.Start(t)
	asked := make(chan replicas.Question, 10)
	want := replicas.Question{Tenant: "acme", Session: "s-1", User: "用户", AuthTime: time.Date(2026, 8, 4, 9, 30, 0, 250_000_000, time.UTC)}
	want.Exposure = &exposure.Question{Position: 7, Event: "e", Sessions: []string{"s-1"}, UntilMS: 1}
	for i, name := range []string{"b", "a", "stopped"} {
		stop := natstest.Answer(t, connect(t, srv), name, func(q replicas.Question) replicas.Answer {
			asked <- q
			return replicas.Answer{Exposure: &exposure.Answer{Count: 3}, Position: uint64(i), Fresh: true, State: "revoked", Reason: "admin", EventPosition: 7}
		})
		if name == "stopped" {
			stop()
		}
	}
	nc := connect(t, srv)
	var got []replicas.Answer
	// What was subscribed to a moment ago may not be known to the server yet.
	for deadline := time.Now().Add(10 * time.Second); len(got) < 2 && time.Now().Before(deadline); {
		var err error
		if got, err = replicas.Ask(t.Context(), nc, want); err != nil {
			t.Fatal(err)
		}
	}
	answer := func(name string, position uint64) replicas.Answer {
		return replicas.Answer{Exposure: &exposure.Answer{Count: 3}, Name: name, Position: position, Fresh: true, State: "revoked", Reason: "admin", EventPosition: 7}
	}
	if diff := cmp.Diff([]replicas.Answer{answer("a", 1), answer("b", 0)}, got, cmpopts.IgnoreFields(replicas.Answer{}, "Asked", "Heard")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, a := range got {
		if a.Asked.IsZero() || a.Heard.Before(a.Asked) {
			t.Errorf("asked at %v, and heard at %v", a.Asked, a.Heard)
		}
	}
	if diff := cmp.Diff(want, <-asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
}

// What isn't in form isn't asked.
func TestAskRefuses(t *testing.T) {
	nc := connect(t, natstest.Start(t))
	for _, q := range []replicas.Question{{}, {Tenant: "*"}, {Tenant: "acme", User: strings.Repeat("x", 257)}, {Tenant: "acme", Exposure: &exposure.Question{}}} {
		if _, err := replicas.Ask(t.Context(), nc, q); !errors.Is(err, replicas.ErrInvalid) {
			t.Errorf("%+v: %v", q, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := replicas.Ask(ctx, nc, replicas.Question{Tenant: "acme"}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
