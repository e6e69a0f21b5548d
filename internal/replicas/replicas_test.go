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
	"github.com/curfewhq/curfew/internal/bus"
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
		l, err := replicas.Listen(connect(t, srv), name, func(q replicas.Question) replicas.Answer {
			asked <- q
			return replicas.Answer{Exposure: &exposure.Answer{Count: 3}, Position: uint64(i), Fresh: true, State: "revoked", Reason: "admin", EventPosition: 7}
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(l.Close)
		if name == "stopped" {
			l.Close()
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

// What isn't in form is neither asked nor answered, and an answer goes nowhere but where answers go.
func TestAskRefuses(t *testing.T) {
	srv := natstest.Start(t)
	asked := make(chan replicas.Question, 10)
	listening := connect(t, srv)
	l, err := replicas.Listen(listening, "a", func(q replicas.Question) replicas.Answer { asked <- q; return replicas.Answer{} })
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := listening.Flush(); err != nil {
		t.Fatal(err)
	}
	nc := connect(t, srv)
	for _, q := range []replicas.Question{{}, {Tenant: "*"}, {Tenant: "acme", User: strings.Repeat("x", 257)}, {Tenant: "acme", Exposure: &exposure.Question{}}} {
		if _, err := replicas.Ask(t.Context(), nc, q); !errors.Is(err, replicas.ErrInvalid) {
			t.Errorf("%+v: %v", q, err)
		}
	}
	elsewhere, err := nc.SubscribeSync("curfew.v1.acme.00.session")
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []struct{ reply, data string }{
		{bus.LiveAnswerTopic("x"), `{`}, {bus.LiveAnswerTopic("x"), `{"v":2,"tenant":"acme"}`}, {bus.LiveAnswerTopic("x"), `{"v":1,"tenant":"*"}`},
		{"curfew.v1.acme.00.session", `{"v":1,"tenant":"acme"}`},
	} {
		if err := nc.PublishRequest(bus.LiveReplicasTopic, bad.reply, []byte(bad.data)); err != nil {
			t.Fatal(err)
		}
	}
	// A good one behind them has its answer: by then the others were dealt with.
	patient, enough := context.WithTimeout(t.Context(), 3*time.Second)
	defer enough()
	if got, err := replicas.Ask(patient, nc, replicas.Question{Tenant: "acme"}); err != nil || len(got) != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	if n := len(asked); n != 1 {
		t.Errorf("asked %d times, want once", n)
	}
	if msg, err := elsewhere.NextMsg(time.Millisecond); err == nil {
		t.Errorf("an answer went elsewhere: %s", msg.Data)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := replicas.Ask(ctx, nc, replicas.Question{Tenant: "acme"}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
