package bus_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/natstest"
)

// poison has a real handler park a message, and returns its place among the parked ones.
func poison(t *testing.T, b *bus.Bus, topic string, header nats.Header, payload []byte) bus.Parked {
	t.Helper()
	if _, err := b.JetStream().PublishMsg(t.Context(), &nats.Msg{Subject: topic, Header: header, Data: payload}); err != nil {
		t.Fatal(err)
	}
	sub, err := b.NewSubscriber(bus.SubscriberConfig{Durable: "relay"})
	if err != nil {
		t.Fatal(err)
	}
	msgs, err := sub.Subscribe(t.Context(), events.TopicAll)
	if err != nil {
		t.Fatal(err)
	}
	before := len(listed(t, b))
	msg := receive(t, msgs, "a message")
	handle := bus.ParkPoison(b.Parker())(func(*message.Message) ([]*message.Message, error) {
		return nil, bus.Poison(errors.New("nobody can read it"))
	})
	if _, err := handle(msg); err != nil {
		t.Fatal(err)
	}
	msg.Ack()
	if err := sub.Close(); err != nil {
		t.Fatal(err)
	}
	all := listed(t, b)
	if len(all) != before+1 {
		t.Fatalf("%d are parked", len(all))
	}
	return all[before]
}

func listed(t *testing.T, b *bus.Bus) (all []bus.Parked) {
	t.Helper()
	if err := b.ListParked(t.Context(), 0, func(p bus.Parked) bool { all = append(all, p); return true }); err != nil {
		t.Fatal(err)
	}
	return all
}

// revoked is an event with its topic.
func revoked(t *testing.T, change func(*events.SessionRevoked)) (topic string, data []byte) {
	t.Helper()
	id, err := events.NewID()
	if err != nil {
		t.Fatal(err)
	}
	e := &events.SessionRevoked{Common: events.Common{
		ID: id, Time: events.Floor(time.Now()), Source: "test", Tenant: "acme", Reason: events.ReasonAdmin, Initiator: events.Initiator{Type: events.InitiatorAdmin},
	}, Session: "s", User: "u"}
	change(e)
	if data, err = events.Encode(e); err != nil {
		t.Fatal(err)
	}
	return events.TopicOf(e).String(), data
}

// A parked message tells where it came from and why; a list tells no more of what it holds than its size.
func TestParkedMessage(t *testing.T) {
	b := natstest.Bus(t)
	p := poison(t, b, topic, nats.Header{"Content-Type": {"x"}, "Nats-Msg-Id": {"id-1"}}, []byte("payload"))
	if p.Payload != nil || p.Header != nil || p.Bytes != 7 || !strings.Contains(p.Reason, "nobody can read it") || p.Topic != topic || p.Stream != bus.LedgerStream || p.From != 1 ||
		p.Consumer != "relay" || p.Deliveries != 1 || p.Position != 1 || time.Since(p.Stored) > time.Minute {
		t.Errorf("listed: %+v", p)
	}
	got, err := b.ParkedAt(t.Context(), 1)
	if err != nil || string(got.Payload) != "payload" || got.Bytes != 7 || got.Header.Get("Content-Type") != "x" {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := b.ParkedAt(t.Context(), 2); !errors.Is(err, bus.ErrNotParked) {
		t.Error(err)
	}
	first := 0
	if err := b.ListParked(t.Context(), 1, func(bus.Parked) bool { first++; return false }); err != nil || first != 0 {
		t.Errorf("%d behind the last one, %v", first, err)
	}
}

// TestRetryParked: an event goes back to its topic, marked as replayed, and only then it isn't parked any more. Another try does nothing.
func TestRetryParked(t *testing.T) {
	b := natstest.Bus(t)
	where, data := revoked(t, func(*events.SessionRevoked) {})
	p := poison(t, b, where, nats.Header{"Content-Type": {"x"}, "Nats-Msg-Id": {"id-1"}, "Two": {"one", "two"}}, data)
	ack, err := b.RetryParked(t.Context(), p.Position)
	if err != nil || ack.Position != 2 || ack.Duplicate || ack.Stream != bus.LedgerStream {
		t.Fatalf("%+v, %v", ack, err)
	}
	if left := listed(t, b); len(left) != 0 {
		t.Errorf("still parked: %+v", left)
	}
	msg, err := b.EventAt(t.Context(), 2)
	if err != nil {
		t.Fatal(err)
	}
	e, err := events.DecodeMessage(msg.Subject, msg.Data)
	if err != nil || msg.Subject != where || e.Meta().Replay != "parked-1" || e.Target() != "s" {
		t.Errorf("%s: %+v, %v", msg.Subject, e, err)
	}
	if h := msg.Header; h.Get("Content-Type") != "x" || len(h["Two"]) != 2 || h.Get(bus.ParkedReasonHeader) != "" || h.Get(bus.UUIDHeader) != "id-1" {
		t.Errorf("header %v", h)
	}
	for range 2 {
		if _, err := b.RetryParked(t.Context(), p.Position); !errors.Is(err, bus.ErrNotParked) {
			t.Error(err)
		}
	}
	if _, err := b.EventAt(t.Context(), 3); !errors.Is(err, bus.ErrNotFound) {
		t.Errorf("there is another one: %v", err)
	}
}

// TestRetryParkedThatIsNoEvent goes back as it was.
func TestRetryParkedThatIsNoEvent(t *testing.T) {
	b := natstest.Bus(t)
	p := poison(t, b, topic, nil, []byte("\x00\xffno event"))
	if _, err := b.RetryParked(t.Context(), p.Position); err != nil {
		t.Fatal(err)
	}
	if msg, err := b.EventAt(t.Context(), 2); err != nil || string(msg.Data) != "\x00\xffno event" || msg.Subject != topic {
		t.Errorf("%+v, %v", msg, err)
	}
}

// TestRetryParkedThatCannotBeStored stays parked.
func TestRetryParkedThatCannotBeStored(t *testing.T) {
	b := natstest.Bus(t)
	p := poison(t, b, topic, nil, []byte("x"))
	stream, err := b.JetStream().Stream(t.Context(), bus.LedgerStream)
	if err != nil {
		t.Fatal(err)
	}
	cfg := stream.CachedInfo().Config
	cfg.MaxBytes = 1
	if _, err := b.JetStream().UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	if _, err := b.RetryParked(t.Context(), p.Position); !errors.Is(err, bus.ErrNotStored) && !errors.Is(err, bus.ErrUnknownOutcome) {
		t.Errorf("%v", err)
	}
	if left := listed(t, b); len(left) != 1 {
		t.Errorf("%d are parked", len(left))
	}
}

// TestRetryParkedThatWasStored: the message was put back and couldn't be dropped, as when the process ends in between. It isn't stored twice.
func TestRetryParkedThatWasStored(t *testing.T) {
	b := natstest.Bus(t)
	p := poison(t, b, topic, nil, []byte("x"))
	id := fmt.Sprintf("unparked/%d/%d", p.Position, p.Stored.UnixNano())
	if _, err := b.JetStream().PublishMsg(t.Context(), &nats.Msg{Subject: topic, Data: []byte("x")}, jetstream.WithMsgID(id)); err != nil {
		t.Fatal(err)
	}
	if ack, err := b.RetryParked(t.Context(), p.Position); err != nil || !ack.Duplicate || ack.Position != 2 {
		t.Errorf("%+v, %v", ack, err)
	}
	if left := listed(t, b); len(left) != 0 {
		t.Errorf("%d are parked", len(left))
	}
}

// Who may write to the stream of parked messages can't have them sent elsewhere.
func TestRetryParkedElsewhere(t *testing.T) {
	b := natstest.Bus(t)
	for i, h := range []nats.Header{
		nil, {bus.ParkedTopicHeader: {topic}}, {bus.ParkedStreamHeader: {bus.LedgerStream}},
		{bus.ParkedTopicHeader: {"$JS.API.STREAM.DELETE.CURFEW"}, bus.ParkedStreamHeader: {bus.LedgerStream}},
		{bus.ParkedTopicHeader: {"curfew.v1.*.00.user"}, bus.ParkedStreamHeader: {bus.LedgerStream}},
		{bus.ParkedTopicHeader: {"curfew.parked.x"}, bus.ParkedStreamHeader: {bus.ParkedStream}},
		{bus.ParkedTopicHeader: {"curfew.parked.x"}, bus.ParkedStreamHeader: {bus.LedgerStream}},
	} {
		if _, err := b.JetStream().PublishMsg(t.Context(), &nats.Msg{Subject: "curfew.parked.x", Header: h}); err != nil {
			t.Fatal(err)
		}
		if _, err := b.RetryParked(t.Context(), uint64(i+1)); err == nil {
			t.Errorf("%v is put back", h)
		}
	}
	if left := listed(t, b); len(left) != 7 {
		t.Errorf("%d are parked", len(left))
	}
}

func TestDropParked(t *testing.T) {
	b := natstest.Bus(t)
	p := poison(t, b, topic, nil, []byte("x"))
	if err := b.DropParked(t.Context(), p.Position); err != nil {
		t.Fatal(err)
	}
	for _, position := range []uint64{p.Position, 99} {
		if err := b.DropParked(t.Context(), position); !errors.Is(err, bus.ErrNotParked) {
			t.Error(err)
		}
	}
	if left := listed(t, b); len(left) != 0 {
		t.Errorf("%d are parked", len(left))
	}
}
