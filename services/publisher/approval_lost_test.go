package publisher_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/services/publisher"
)

// dyingStream loses the process before its first publish reaches the stream, or before its answer does.
type dyingStream struct {
	publisher.Stream
	mu    sync.Mutex
	fails []bool // whether the publish that fails is stored all the same
}

func (s *dyingStream) PublishAck(ctx context.Context, topic string, msg *message.Message) (bus.Ack, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.fails) == 0 {
		return s.Stream.PublishAck(ctx, topic, msg)
	}
	stored := s.fails[0]
	s.fails = s.fails[1:]
	if stored {
		if _, err := s.Stream.PublishAck(ctx, topic, msg); err != nil {
			return bus.Ack{}, err
		}
	}
	return bus.Ack{}, bus.ErrUnknownOutcome
}

// Between the approval and the ledger the process may end, before the event is stored or after: whoever approves it again stores it, once.
func TestApprovedAndLost(t *testing.T) {
	dying := &dyingStream{fails: []bool{false, true}}
	g := newGuarded(t, crowdOf{sessions: 11}, func(c *publisher.Config) { dying.Stream, c.Stream = c.Stream, dying })
	a := g.ask(t, g.key, ofClient)
	for range 2 {
		if r := g.approve(t, g.admin, a.ID); r.status != http.StatusServiceUnavailable || r.Code != "outcome_unknown" {
			t.Fatalf("%d %s", r.status, r.body)
		}
		if s := g.state(t, a.ID); s != publisher.ApprovalApproved {
			t.Errorf("it is %s", s)
		}
	}
	if r := g.call(t, g.second, http.MethodDelete, "/v1/approvals/"+a.ID, ""); r.Code != "approval_decided" {
		t.Errorf("what may be stored is rejected: %s", r.body)
	}
	r := g.approve(t, g.second, a.ID)
	if e := g.one(t); r.status != 200 || r.ID != e.Meta().ID {
		t.Errorf("%d %s; stored is %s", r.status, r.body, e.Meta().ID)
	}
	if s := g.state(t, a.ID); s != publisher.ApprovalStored {
		t.Errorf("it is %s", s)
	}
}

// expire lets a request's time be over.
func (g guarded) expire(t *testing.T, a publisher.Approval) {
	t.Helper()
	entry, err := g.kv.Get(t.Context(), "acme."+a.ID)
	if err != nil {
		t.Fatal(err)
	}
	until := a.ExpiresAt.Format("2006-01-02T15:04:05.999Z07:00")
	past := strings.Replace(string(entry.Value()), until, a.AskedAt.Format("2006-01-02T15:04:05.999Z07:00"), 1)
	if _, err := g.kv.PutString(t.Context(), "acme."+a.ID, past); err != nil || past == string(entry.Value()) {
		t.Fatalf("the request can't be made older: %v", err)
	}
}

// What nobody has approved in time can't be approved any more; the same call asks anew.
func TestApprovalExpires(t *testing.T) {
	g := newGuarded(t, crowdOf{sessions: 11}, nil)
	a := g.ask(t, g.key, ofClient, "Idempotency-Key", "k1")
	g.expire(t, a)
	if r := g.approve(t, g.admin, a.ID); r.status != http.StatusConflict || r.Code != "approval_expired" || g.state(t, a.ID) != publisher.ApprovalExpired {
		t.Errorf("%d %s, and it is %s", r.status, r.body, g.state(t, a.ID))
	}
	if n := len(g.stored(t)); n != 0 {
		t.Errorf("%d events are stored", n)
	}
	if b := g.ask(t, g.key, ofClient, "Idempotency-Key", "k1"); b.State != publisher.ApprovalPending || !b.ExpiresAt.After(a.ExpiresAt) {
		t.Errorf("asked anew: %+v", b)
	}
	if r := g.approve(t, g.admin, a.ID); r.status != 200 {
		t.Errorf("%d %s", r.status, r.body)
	}
	g.one(t)
}

// So many requests wait at once, and no more.
func TestTooManyApprovals(t *testing.T) {
	g := newGuarded(t, crowdOf{sessions: 11}, nil)
	var first publisher.Approval
	for i := range 100 {
		if a := g.ask(t, g.key, fmt.Sprintf(`{"scope":"client","client":"PLANTED %d"}`, i)); i == 0 {
			first = a
		}
	}
	if r := g.revoke(t, ofClient); r.status != http.StatusServiceUnavailable || r.Code != "too_many_approvals" {
		t.Errorf("one more: %d %s", r.status, r.body)
	}
	if r := g.call(t, g.admin, http.MethodDelete, "/v1/approvals/"+first.ID, ""); r.status != 200 {
		t.Fatalf("%d %s", r.status, r.body)
	}
	g.ask(t, g.key, ofClient)
}
