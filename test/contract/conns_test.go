package contract

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/curfewhq/curfew/events/tab"
	"github.com/curfewhq/curfew/internal/tabclient"
)

// testConns upgrades for real, and finds the only place taken then.
func (r *rig) testConns(t *testing.T) {
	conn, err := tabclient.Dial(t.Context(), strings.Replace(r.srv.URL(), "http", "ws", 1), origin, "")
	if err != nil {
		t.Fatal(err)
	}
	// Dial has held the answer to status 101 and the subprotocol.
	r.seen["connect 101"]++
	defer conn.Close()
	r.do(t, exchange{method: "GET", path: "/v1/connect", status: 503, code: "too_many_conns", header: []string{"Upgrade", "websocket", "Connection", "Upgrade", "Sec-WebSocket-Protocol", "curfew.v1"}})
}

// testStreams opens a stream for real, which has the only place; is told there that its session is over, and acknowledges that.
func (r *rig) testStreams(t *testing.T) {
	ticket := r.ticket(t)
	dial := func() (*tabclient.Stream, error) {
		return tabclient.DialStream(t.Context(), r.client, r.srv.URL(), origin, ticket, "")
	}
	// The place of the test before is free once its conn has left.
	stream, err := dial()
	for deadline := time.Now().Add(20 * time.Second); err != nil && time.Now().Before(deadline); stream, err = dial() {
		ticket = r.ticket(t)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	// DialStream has held the answers to their statuses.
	r.seen["exchangeTicket 204"]++
	r.seen["notices 200"]++
	if f, err := stream.Next(t.Context()); err != nil || f.Type != tab.TypeReady {
		t.Fatalf("got %+v, %v; want ready", f, err)
	}
	r.fullStream(t)
	f, name := tab.Frame{}, stream.Name()
	r.do(t, exchange{method: "POST", path: "/v1/notices/acks", body: tabclient.AckBody(name, "another", tab.OutcomeSignedOut), status: 404, code: "notice_unknown"})
	r.revoke(t, "streamed")
	if f, err = stream.Next(t.Context()); err != nil || f.Type != tab.TypeLogout {
		t.Fatalf("got %+v, %v; want logout", f, err)
	}
	r.do(t, exchange{method: "POST", path: "/v1/notices/acks", body: tabclient.AckBody(name, f.ID, tab.OutcomeSignedOut), status: 204})
	// As a browser comes back by itself.
	r.do(t, exchange{method: "GET", path: "/v1/notices", header: []string{"Origin", origin, "Last-Event-ID", tab.StreamOver}, status: 204})
}

// fullStream finds the only place taken, with a pass that is good.
func (r *rig) fullStream(t *testing.T) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.srv.URL()+"/v1/notices", strings.NewReader(`{"ticket":"`+r.ticket(t)+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Origin", origin)
	resp, err := r.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if len(resp.Cookies()) != 1 {
		t.Fatalf("exchange: %d", resp.StatusCode)
	}
	cookie := resp.Cookies()[0]
	r.do(t, exchange{method: "GET", path: "/v1/notices", header: []string{"Origin", origin, "Cookie", cookie.Name + "=" + cookie.Value}, status: 503, code: "too_many_conns"})
}

// ticket makes one for a session that is revoked later.
func (r *rig) ticket(t *testing.T) string {
	t.Helper()
	body := r.do(t, exchange{method: "POST", path: "/v1/tickets", auth: r.full, status: 200,
		body: `{"user":"eve","session":"streamed","auth_time":"` + time.Now().Add(-time.Minute).UTC().Format(time.RFC3339) + `"}`})
	var made struct{ Ticket string }
	if err := json.Unmarshal(body, &made); err != nil {
		t.Fatal(err)
	}
	return made.Ticket
}

// testFollow validates the lines of an endless answer one by one: kin-openapi knows no NDJSON, and no answer without an end.
func (r *rig) testFollow(t *testing.T) {
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	resp := r.open(ctx, t, "/v1/revocations?follow=true&after=0")
	defer resp.Body.Close()
	schema := r.doc.Paths.Find("/v1/revocations").Get.Responses.Status(200).Value.Content.Get(resp.Header.Get("Content-Type")).Schema.Value
	lines := bufio.NewReader(resp.Body)
	for records := 0; records < 3; {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			t.Fatal(err)
		}
		if len(line) == 1 {
			continue
		}
		var v any
		if err := json.Unmarshal(line, &v); err != nil {
			t.Fatal(err)
		}
		if err := schema.VisitJSON(v, openapi3.EnableJSONSchema2020()); err != nil {
			t.Errorf("a line isn't as documented: %v", err)
		}
		records++
	}
}
