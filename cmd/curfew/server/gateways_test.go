package server_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/curfewhq/curfew/cmd/curfew/server"
	"github.com/curfewhq/curfew/events/tab"
	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/config"
	"github.com/curfewhq/curfew/internal/gateways"
	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/internal/tabclient"
)

// answerOf calls the API, and returns what it answers.
func answerOf(t *testing.T, s *server.Server, key, method, path, body string) (status int, answer []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.URL()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if answer, err = io.ReadAll(resp.Body); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, answer
}

// call calls the API and decodes its answer.
func call(t *testing.T, s *server.Server, key, method, path, body string, into any) {
	t.Helper()
	status, answer := answerOf(t, s, key, method, path, body)
	if status != http.StatusOK {
		t.Fatalf("%s %s: %d %s", method, path, status, answer)
	}
	if err := json.Unmarshal(answer, into); err != nil {
		t.Fatalf("%s: %v", answer, err)
	}
}

// openTab opens a conn of ann's, and reads ready.
func openTab(t *testing.T, s *server.Server, key, session string) *tabclient.Conn {
	t.Helper()
	var made struct{ Ticket string }
	call(t, s, key, http.MethodPost, "/v1/tickets", `{"user":"ann","session":"`+session+`","auth_time":"`+time.Now().Add(-time.Minute).UTC().Format(time.RFC3339)+`"}`, &made)
	c, err := tabclient.Dial(t.Context(), strings.Replace(s.URL(), "http", "ws", 1), "", made.Ticket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if f, err := c.Next(t.Context()); err != nil || f.Type != tab.TypeReady {
		t.Fatalf("got %+v, %v; want ready", f, err)
	}
	return c
}

// Each of two gateways tells of the tabs at both, of the key's tenant alone; and what a tab acknowledges is heard by whoever follows.
func TestTwoGateways(t *testing.T) {
	nats := natstest.Start(t)
	gateway := func() *server.Server {
		cfg := testConfig(t)
		cfg.NATS.URL, cfg.Roles = nats.URL(), []string{config.RolePublisher, config.RoleFanout}
		return start(t, cfg)
	}
	one, other := gateway(), gateway()
	acme, beta := sharedKey(t, one, other, "acme", access.ScopePublish, access.ScopeRead), sharedKey(t, one, other, "beta", access.ScopePublish, access.ScopeRead)
	here := openTab(t, one, acme, "s1")
	openTab(t, other, acme, "s2")
	sessions := func(s *server.Server, key string) []string {
		var answer struct {
			Complete bool
			Gateways []gateways.GatewayTabs
		}
		call(t, s, key, http.MethodGet, "/v1/users/ann/tabs?timeout=5s", "", &answer)
		if !answer.Complete || len(answer.Gateways) != 2 {
			t.Errorf("got %+v, want two complete answers", answer)
		}
		var all []string
		for _, g := range answer.Gateways {
			for _, open := range g.Tabs {
				all = append(all, open.Session)
			}
		}
		slices.Sort(all)
		return all
	}
	for _, s := range []*server.Server{one, other} {
		if diff := cmp.Diff([]string{"s1", "s2"}, sessions(s, acme)); diff != "" {
			t.Errorf("ann's tabs (-want +got):\n%s", diff)
		}
		if all := sessions(s, beta); len(all) > 0 {
			t.Errorf("another tenant is told of %v", all)
		}
	}

	kv, err := other.Bus().KeyValue(t.Context(), bus.GatewaysBucket())
	if err != nil {
		t.Fatal(err)
	}
	fleet := gateways.NewFleet(other.Bus().Conn(), kv, gateways.FleetConfig{})
	defer fleet.Close()
	ctx, stop := context.WithCancel(t.Context())
	subscribed, heard, ended := make(chan struct{}), make(chan gateways.Ack, 1), make(chan struct{})
	go func() {
		defer close(ended)
		_ = fleet.FollowAcks(ctx, func(a gateways.Ack) { heard <- a }, gateways.WhenSubscribed(func() { close(subscribed) }))
	}()
	defer func() { stop(); <-ended }()
	<-subscribed
	var revoked struct{ ID string }
	call(t, other, acme, http.MethodPost, "/v1/revocations", `{"scope":"session","session":"s1","user":"ann"}`, &revoked)
	f, err := here.Next(t.Context())
	if err != nil || f.ID != revoked.ID {
		t.Fatalf("got %+v, %v; want the notice of %s", f, err, revoked.ID)
	}
	if err := here.Ack(f.ID, tab.OutcomeSignedOut); err != nil {
		t.Fatal(err)
	}
	select {
	case a := <-heard:
		if a.Tenant != "acme" || a.Event != revoked.ID || a.Outcome != tab.OutcomeSignedOut || a.Conn == 0 || a.Gateway == "" {
			t.Errorf("heard %+v", a)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("nothing was heard of the acknowledgement")
	}
}
