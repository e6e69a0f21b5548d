package server_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/receipts"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/services/publisher"
)

// An event whose publisher's clock was far ahead is read by every replica and believed by none: that a replica has got there doesn't mean that it refuses anybody.
func TestReceiptOfWhatNoReplicaBelieves(t *testing.T) {
	s := start(t, testConfig(t))
	key := newKey(t, s, "default", access.ScopeRead, access.ScopeOperator)
	id, err := events.NewID()
	if err != nil {
		t.Fatal(err)
	}
	ahead := events.Floor(time.Now().Add(10 * time.Minute))
	e := &events.UserLoggedOutEverywhere{
		Common: events.Common{ID: id, Time: ahead, Source: "test", Tenant: "default", Reason: events.ReasonAdmin, Initiator: events.Initiator{Type: events.InitiatorAdmin}, ExpiresAt: ahead.Add(time.Hour)},
		User:   "ann", Cutoff: ahead,
	}
	data, err := events.Encode(e)
	if err != nil {
		t.Fatal(err)
	}
	stream := s.Bus().Publisher()
	defer stream.Close()
	ack, err := stream.PublishAck(t.Context(), events.TopicOf(e).String(), message.NewMessage(id, data))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Replica().WaitFor(t.Context(), ack.Position); err != nil {
		t.Fatal(err)
	}
	if d := s.Replica().Check(revocation.Session{ID: "s", User: "ann", AuthTime: time.Now().Add(-time.Hour)}); d.State != revocation.Active {
		t.Fatalf("%+v", d)
	}
	var got receipts.Answer
	call(t, s, key, http.MethodGet, fmt.Sprintf("/v1/receipts/%s?wait=applied&timeout=1s&position=%d", id, ack.Position), "", &got)
	if got.Complete || got.Replicas.Applied != 0 || len(got.Replicas.Named) != 1 || got.Replicas.Named[0].State != receipts.StateSkipped {
		t.Errorf("the session passes, and its receipt says: %s", got.Sentence)
	}
}

// Who waits is told so as well.
func TestWaitForWhatNoReplicaBelieves(t *testing.T) {
	cfg := testConfig(t)
	cfg.ClockSkew = time.Hour // as of a publisher whose clock is ahead
	s := start(t, cfg)
	key := newKey(t, s, "default", access.ScopePublish, access.ScopeRead, access.ScopeOperator)
	body := func(ahead time.Duration) string {
		return fmt.Sprintf(`[{"scope":"user","user":"ann","cutoff":%q},{"scope":"session","session":"s"}]`, time.Now().Add(ahead).UTC().Format(time.RFC3339))
	}
	var answer struct{ Revocations []publisher.Stored }
	call(t, s, key, http.MethodPost, "/v1/revocations?wait=applied&timeout=5s", body(10*time.Minute), &answer)
	if r := answer.Revocations[0].Receipt; r.Complete || r.Replicas.Applied != 0 {
		t.Errorf("of the user: %s", r.Sentence)
	}
	if r := answer.Revocations[1].Receipt; !r.Complete || r.Replicas.Applied != 1 {
		t.Errorf("of the session: %s", r.Sentence)
	}
	var kept receipts.Answer
	call(t, s, key, http.MethodGet, "/v1/receipts/"+answer.Revocations[0].ID, "", &kept)
	if kept.Complete || kept.Replicas.Applied != 0 {
		t.Errorf("what is kept: %s", kept.Sentence)
	}
	call(t, s, key, http.MethodPost, "/v1/revocations?wait=applied&timeout=5s", body(-time.Minute), &answer)
	if r := answer.Revocations[0].Receipt; !r.Complete || r.Replicas.Applied != 1 {
		t.Errorf("of a cutoff that is believed: %s", r.Sentence)
	}
}
