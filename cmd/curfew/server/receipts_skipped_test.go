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
