package publisher_test

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/gateways"
	"github.com/curfewhq/curfew/services/publisher"
)

// slowOfTenant is a crowd that counts a tenant's tabs only once it is let.
type slowOfTenant struct {
	crowdOf
	counts, let chan struct{}
}

func (c slowOfTenant) Tabs(ctx context.Context, e events.Event) (gateways.CrowdAnswer, error) {
	if e.Kind() == events.KindTenant {
		c.counts <- struct{}{}
		<-c.let
	}
	return c.crowdOf.Tabs(ctx, e)
}

// A request that somebody looks at stays what it is: another one with its Idempotency-Key, which was counted meanwhile, doesn't take its place under its id.
func TestRequestIsntExchanged(t *testing.T) {
	crowd := slowOfTenant{crowdOf: crowdOf{sessions: 11}, counts: make(chan struct{}), let: make(chan struct{})}
	g := newGuarded(t, crowd, nil)
	late := make(chan reply, 1)
	go func() {
		r, err := g.try(t.Context(), g.admin, http.MethodPost, "/v1/revocations", ofTenant, "Idempotency-Key", "k")
		if err != nil {
			t.Error(err)
		}
		late <- r
	}()
	<-crowd.counts
	a := g.ask(t, g.admin, ofClient, "Idempotency-Key", "k")
	close(crowd.let)
	if r := <-late; r.status != http.StatusConflict {
		t.Errorf("%d %s", r.status, r.body)
	}
	var now publisher.Approval
	if r := g.call(t, g.second, http.MethodGet, "/v1/approvals/"+a.ID, ""); json.Unmarshal(r.body, &now) != nil || now.Revocation.Scope != events.KindClient {
		t.Errorf("what is to be approved is another one by now: %s", r.body)
	}
	g.approve(t, g.second, a.ID)
	if e := g.stored(t); len(e) != 1 || e[0].Kind() != events.KindClient {
		t.Errorf("stored is %+v", e)
	}
}

// Nor does one that comes once it has expired, when whoever has looked at it may still approve.
func TestExpiredRequestIsntExchanged(t *testing.T) {
	g := newGuarded(t, crowdOf{sessions: 11}, nil)
	a := g.ask(t, g.admin, ofClient, "Idempotency-Key", "k")
	g.expire(t, a)
	if r := g.call(t, g.admin, http.MethodPost, "/v1/revocations", ofTenant, "Idempotency-Key", "k"); r.status != http.StatusConflict {
		t.Errorf("%d %s", r.status, r.body)
	}
	if r := g.approve(t, g.second, a.ID); r.status != http.StatusConflict || len(g.stored(t)) != 0 {
		t.Errorf("%d %s", r.status, r.body)
	}
	if again := g.ask(t, g.admin, ofClient, "Idempotency-Key", "k"); again.ID != a.ID || again.State != publisher.ApprovalPending {
		t.Errorf("the same again: %+v", again)
	}
}
