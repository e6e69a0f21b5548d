package publisher_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/gateways"
	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/services/publisher"
)

// crowdOf is a crowd of so many sessions, each of another user, or the error.
type crowdOf struct {
	sessions int
	more     bool
	tabs     gateways.CrowdAnswer
	err      error
}

func (c crowdOf) Sessions(_ context.Context, _ events.Event, each func(publisher.Seen)) (bool, error) {
	for i := range c.sessions {
		each(publisher.Seen{User: fmt.Sprint("PLANTED ", i), Client: "PLANTED app", SeenAt: time.Now()})
	}
	return c.more, c.err
}

func (c crowdOf) Tabs(context.Context, events.Event) (gateways.CrowdAnswer, error) {
	return c.tabs, nil
}

const (
	ofClient = `{"scope":"client","client":"PLANTED app","reason_admin":"leaked","initiator":{"type":"admin","id":"PLANTED op"}}`
	ofTenant = `{"scope":"tenant"}`
)

// guarded is a desk where more than ten sessions take a second person, whose key is second.
type guarded struct {
	*desk
	second string
	kv     jetstream.KeyValue
}

func newGuarded(t *testing.T, crowd publisher.Crowd, change func(*publisher.Config)) guarded {
	t.Helper()
	b := natstest.Bus(t)
	kv, err := b.KeyValue(t.Context(), bus.ApprovalsBucket())
	if err != nil {
		t.Fatal(err)
	}
	d := newDesk(t, b, func(c *publisher.Config) {
		c.Crowd, c.ApprovalThreshold, c.Approvals = crowd, 10, kv
		if change != nil {
			change(c)
		}
	})
	return guarded{desk: d, kv: kv, second: d.newKey(t, "acme", access.Scopes()...)}
}

// ask asks for a revocation that is held up.
func (g guarded) ask(t *testing.T, key, body string, header ...string) publisher.Approval {
	t.Helper()
	r := g.call(t, key, http.MethodPost, "/v1/revocations", body, header...)
	var held struct{ Approval publisher.Approval }
	if err := json.Unmarshal(r.body, &held); err != nil || r.status != http.StatusAccepted || held.Approval.ID == "" {
		t.Fatalf("%d %s, %v; want a request", r.status, r.body, err)
	}
	return held.Approval
}

func (g guarded) approve(t *testing.T, key, id string) reply {
	t.Helper()
	return g.call(t, key, http.MethodPost, "/v1/approvals/"+id+"/approve", "")
}

func (g guarded) state(t *testing.T, id string) publisher.ApprovalState {
	t.Helper()
	var a publisher.Approval
	if r := g.call(t, g.admin, http.MethodGet, "/v1/approvals/"+id, ""); json.Unmarshal(r.body, &a) != nil {
		t.Fatalf("%s", r.body)
	}
	return a.State
}

// What needs a second person, and what never does.
func TestHeldUp(t *testing.T) {
	full := gateways.CrowdAnswer{}
	for _, test := range []struct {
		name  string
		crowd crowdOf
		body  string
		held  bool
	}{
		{"a client above", crowdOf{sessions: 11, tabs: full}, ofClient, true},
		{"a client at it", crowdOf{sessions: 10, tabs: full}, ofClient, false},
		{"a client of which not all are counted", crowdOf{sessions: 1, more: true}, ofClient, true},
		{"a client of which nothing is known", crowdOf{err: errors.New("away")}, ofClient, true},
		{"a client with a gateway that is silent", crowdOf{tabs: gateways.CrowdAnswer{Missing: []gateways.Member{{Name: "g"}}}}, ofClient, true},
		{"a client with many tabs", crowdOf{tabs: gateways.CrowdAnswer{Gateways: []gateways.GatewayCrowd{{Crowd: gateways.Crowd{Tabs: 20, Users: 11}}}}}, ofClient, true},
		{"a small tenant", crowdOf{sessions: 1}, ofTenant, true},
		{"a user", crowdOf{sessions: 1000}, bodyC, false},
		{"a session", crowdOf{err: errors.New("away")}, bodyA, false},
		{"a device", crowdOf{sessions: 1000}, `{"scope":"device","device":"PLANTED d"}`, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			g := newGuarded(t, test.crowd, nil)
			r := g.call(t, g.admin, http.MethodPost, "/v1/revocations", test.body)
			want, stored := http.StatusOK, 1
			if test.held {
				want, stored = http.StatusAccepted, 0
			}
			if n := len(g.stored(t)); r.status != want || n != stored {
				t.Errorf("%d %s, and %d events; want %d and %d", r.status, r.body, n, want, stored)
			}
			var p publisher.Preview
			answer := g.call(t, g.admin, http.MethodPost, "/v1/revocations/preview", test.body)
			if err := json.Unmarshal(answer.body, &p); err != nil || (p.Approval != "") != test.held {
				t.Errorf("the preview says %s, %v", answer.body, err)
			}
		})
	}
}

// What was asked for is stored by another person's key, once, and says who both were.
func TestApprove(t *testing.T) {
	g := newGuarded(t, crowdOf{sessions: 11}, nil)
	before := time.Now()
	a := g.ask(t, g.key, ofClient)
	if a.State != publisher.ApprovalPending || a.Sessions.Count != 11 || !strings.Contains(a.Why, "11 sessions") || a.ExpiresAt.Sub(a.AskedAt) != 15*time.Minute {
		t.Errorf("got %+v", a)
	}
	first := g.approve(t, g.admin, a.ID)
	again := g.approve(t, g.second, a.ID)
	if first.status != 200 || first.Duplicate || again.status != 200 || !again.Duplicate || again.ID != first.ID {
		t.Fatalf("got %d %s and %d %s", first.status, first.body, again.status, again.body)
	}
	e, ok := g.one(t).(*events.ClientLoggedOut)
	id := func(key string) string { return strings.Split(key, "_")[1] }
	if !ok || e.Client != "PLANTED app" || e.ReasonAdmin != "leaked" || e.Initiator.ID != "PLANTED op" || e.Cutoff.Before(before.Truncate(time.Millisecond)) ||
		e.Source != "curfew/publisher?key="+id(g.key)+"&approved_by="+id(g.admin) {
		t.Errorf("stored %+v", e)
	}
	if s := g.state(t, a.ID); s != publisher.ApprovalStored {
		t.Errorf("it is %s", s)
	}
	if r := g.call(t, g.admin, http.MethodDelete, "/v1/approvals/"+a.ID, ""); r.status != http.StatusConflict || r.Code != "approval_decided" {
		t.Errorf("rejected afterwards: %d %s", r.status, r.body)
	}
	var list struct{ Approvals []publisher.Approval }
	if r := g.call(t, g.second, http.MethodGet, "/v1/approvals", ""); json.Unmarshal(r.body, &list) != nil || len(list.Approvals) != 1 || list.Approvals[0].DecidedBy != id(g.admin) {
		t.Errorf("the list is %s", r.body)
	}
}

// Who can't approve: whoever asked, by any key of theirs that can be known, whoever lacks the scope, and another tenant's.
func TestWhoApproves(t *testing.T) {
	g := newGuarded(t, crowdOf{sessions: 11}, nil)
	mux := http.NewServeMux()
	g.keys.Routes(mux, nil)
	made := g.madeBy(t, mux, g.admin)
	grandchild := g.madeBy(t, mux, made)
	foreign := g.newKey(t, "globex", access.Scopes()...)
	a := g.ask(t, g.admin, ofTenant)
	late := g.newKey(t, "acme", access.Scopes()...)
	for _, test := range []struct {
		name, key, id string
		status        int
		code          string
	}{
		{"the key that asked", g.admin, a.ID, 409, "approval_own"},
		{"one that it made", made, a.ID, 409, "approval_own"},
		{"one that that one made", grandchild, a.ID, 409, "approval_own"},
		{"one that was made since", late, a.ID, 409, "approval_own"},
		{"one without the scope", g.key, a.ID, 403, "api_key_scope"},
		{"another tenant's", foreign, a.ID, 404, "approval_not_found"},
		{"an unknown id", g.second, "0011223344556677", 404, "approval_not_found"},
		{"no id", g.second, "acme.x", 404, "approval_not_found"},
	} {
		if r := g.approve(t, test.key, test.id); r.status != test.status || r.Code != test.code {
			t.Errorf("%s: %d %s, want %d %s", test.name, r.status, r.body, test.status, test.code)
		}
	}
	if n := len(g.stored(t)); n != 0 || g.state(t, a.ID) != publisher.ApprovalPending {
		t.Fatalf("%d events are stored", n)
	}
	if r := g.approve(t, g.second, a.ID); r.status != 200 {
		t.Errorf("another person's: %d %s", r.status, r.body)
	}
	revoked := g.newKey(t, "acme", access.Scopes()...)
	b := g.ask(t, revoked, ofTenant)
	if _, err := g.keys.Revoke(t.Context(), strings.Split(revoked, "_")[1]); err != nil {
		t.Fatal(err)
	}
	if r := g.approve(t, g.second, b.ID); r.status != http.StatusConflict || r.Code != "approval_asker_revoked" {
		t.Errorf("what a revoked key has asked: %d %s", r.status, r.body)
	}
}

// madeBy has one key make another.
func (g guarded) madeBy(t *testing.T, keys http.Handler, by string) string {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/keys", strings.NewReader(`{"tenant":"acme","scopes":["publish","admin"]}`))
	req.Header.Set("Authorization", "Bearer "+by)
	req.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	keys.ServeHTTP(w, req)
	var created access.Created
	if err := json.Unmarshal(w.Body.Bytes(), &created); err != nil || w.Code != http.StatusCreated {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	return created.Text
}

func TestReject(t *testing.T) {
	g := newGuarded(t, crowdOf{sessions: 11}, nil)
	a := g.ask(t, g.key, ofClient, "Idempotency-Key", "k1")
	if r := g.call(t, g.second, http.MethodDelete, "/v1/approvals/"+a.ID, ""); r.status != 200 || !strings.Contains(string(r.body), `"state":"rejected"`) {
		t.Fatalf("%d %s", r.status, r.body)
	}
	if r := g.approve(t, g.admin, a.ID); r.status != http.StatusConflict || r.Code != "approval_rejected" {
		t.Errorf("approved afterwards: %d %s", r.status, r.body)
	}
	if r := g.revoke(t, ofClient, "Idempotency-Key", "k1"); r.status != http.StatusConflict || r.Code != "approval_rejected" {
		t.Errorf("asked again: %d %s", r.status, r.body)
	}
	if n := len(g.stored(t)); n != 0 {
		t.Errorf("%d events are stored", n)
	}
}

// A repeated call finds its request, and what has become of it.
func TestAskedAgain(t *testing.T) {
	g := newGuarded(t, crowdOf{sessions: 11}, nil)
	a := g.ask(t, g.key, ofClient, "Idempotency-Key", "k1")
	if b := g.ask(t, g.key, ofClient, "Idempotency-Key", "k1"); b.ID != a.ID || !b.AskedAt.Equal(a.AskedAt) {
		t.Errorf("got another request: %+v", b)
	}
	if b := g.ask(t, g.key, ofClient); b.ID == a.ID {
		t.Error("another call gets the same request")
	}
	if r := g.revoke(t, `{"scope":"client","client":"PLANTED other"}`, "Idempotency-Key", "k1"); r.status != http.StatusConflict || r.Code != "idempotency_key_reused" {
		t.Errorf("another request by the key: %d %s", r.status, r.body)
	}
	stored := g.approve(t, g.admin, a.ID)
	if r := g.revoke(t, ofClient, "Idempotency-Key", "k1"); r.status != 200 || !r.Duplicate || r.ID != stored.ID {
		t.Errorf("after it is stored: %d %s", r.status, r.body)
	}
	g.one(t)
}

// An array with one that needs a second person is refused as a whole, and the one is named.
func TestHeldUpInAnArray(t *testing.T) {
	g := newGuarded(t, crowdOf{sessions: 11}, nil)
	r := g.revoke(t, "["+bodyA+","+ofClient+"]")
	if r.status != http.StatusUnprocessableEntity || len(r.Faults) != 1 || r.Faults[0].Index == nil || *r.Faults[0].Index != 1 || !strings.Contains(r.Faults[0].Detail, "a call of its own") {
		t.Errorf("%d %s", r.status, r.body)
	}
	if n := len(g.stored(t)); n != 0 {
		t.Errorf("%d events are stored", n)
	}
}

// Of many who approve and reject at once either one event comes or none, and all who approved are told of the same.
func TestApproveAtOnce(t *testing.T) {
	g := newGuarded(t, crowdOf{sessions: 11}, nil)
	for range 10 {
		before := len(g.stored(t))
		a := g.ask(t, g.key, ofClient)
		var mu sync.Mutex
		ids := map[string]bool{}
		var work sync.WaitGroup
		for i := range 8 {
			key := []string{g.admin, g.second}[i%2]
			work.Go(func() {
				if i == 7 {
					_, _ = g.try(t.Context(), key, http.MethodDelete, "/v1/approvals/"+a.ID, "")
					return
				}
				r, err := g.try(t.Context(), key, http.MethodPost, "/v1/approvals/"+a.ID+"/approve", "")
				mu.Lock()
				defer mu.Unlock()
				if err == nil && r.status == 200 {
					ids[r.ID] = true
				} else if r.Code != "approval_rejected" {
					t.Errorf("%v: %d %s", err, r.status, r.body)
				}
			})
		}
		work.Wait()
		if n := len(g.stored(t)) - before; n != len(ids) || n > 1 {
			t.Errorf("%d events, and those who approved were told of %v", n, ids)
		}
	}
}
