package bus_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/natstest"
)

func quickly(uint64) time.Duration { return 10 * time.Millisecond }

// route runs a handler behind ParkPoison on Watermill's Router, until the test ends.
func route(t *testing.T, b *bus.Bus, cfg bus.SubscriberConfig, handle message.NoPublishHandlerFunc) {
	t.Helper()
	sub, err := b.NewSubscriber(cfg)
	if err != nil {
		t.Fatal(err)
	}
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: 10 * time.Second}, watermill.NopLogger{})
	if err != nil {
		t.Fatal(err)
	}
	router.AddMiddleware(bus.ParkPoison(b.Parker()))
	router.AddConsumerHandler("h", topic, sub, handle)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- router.Run(ctx) }()
	<-router.Running()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// parked waits for the n-th parked message.
func parked(t *testing.T, b *bus.Bus, n uint64) *jetstream.RawStreamMsg {
	t.Helper()
	stream, err := b.JetStream().Stream(t.Context(), bus.ParkedStream)
	if err != nil {
		t.Fatal(err)
	}
	var msg *jetstream.RawStreamMsg
	eventually(t, 15*time.Second, "a parked message", func() bool {
		msg, err = stream.GetMsg(t.Context(), n)
		return err == nil
	})
	return msg
}

func TestPoisonIsParkedAtOnce(t *testing.T) {
	b := natstest.Bus(t)
	m := &nats.Msg{Subject: topic, Data: []byte("payload"), Header: nats.Header{
		"Two": {"one", "two"}, "Nats-Msg-Id": {"id-1"}, "Nats-TTL": {"1h"}, "Content-Type": {"x"},
	}}
	if _, err := b.JetStream().PublishMsg(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	route(t, b, bus.SubscriberConfig{Durable: "relay"}, func(msg *message.Message) error {
		msg.Metadata.Set("Content-Type", "changed by the handler")
		return bus.Poison(errors.New("can't read\nthis"))
	})
	got := parked(t, b, 1)
	eventually(t, 5*time.Second, "it is acknowledged", func() bool { return pending(t, b, "relay") == 0 })
	want := map[string]string{
		bus.ParkedReasonHeader: "poison message: can't read this", bus.ParkedTopicHeader: topic, bus.ParkedStreamHeader: bus.LedgerStream,
		bus.ParkedPositionHeader: "1", bus.ParkedConsumerHeader: "relay", bus.ParkedDeliveriesHeader: "1",
		bus.ParkedMsgIDHeader: "id-1", "Content-Type": "x", "Nats-TTL": "", "Nats-Msg-Id": "parked/relay/CURFEW/1",
	}
	for key, value := range want {
		if got.Header.Get(key) != value {
			t.Errorf("%s is %q; want %q", key, got.Header.Get(key), value)
		}
	}
	if at, err := time.Parse(time.RFC3339, got.Header.Get(bus.ParkedAtHeader)); err != nil || time.Since(at) > time.Minute {
		t.Errorf("at: %v, %v", at, err)
	}
	if got.Subject != "curfew.parked.relay" || string(got.Data) != "payload" || len(got.Header["Two"]) != 2 {
		t.Errorf("parked: %s %q %v", got.Subject, got.Data, got.Header)
	}
	if s := b.Stats(); s.Parked != 1 || s.Delivered != 1 {
		t.Errorf("stats: %+v", s)
	}
}

func TestPoisonAfterMaxDeliver(t *testing.T) {
	tests := []struct {
		name   string
		reason string
		run    func(t *testing.T, b *bus.Bus, cfg bus.SubscriberConfig)
	}{
		{"the handler fails", "downstream is broken", func(t *testing.T, b *bus.Bus, cfg bus.SubscriberConfig) {
			route(t, b, cfg, func(*message.Message) error { return errors.New("downstream is broken") })
		}},
		{"the handler refuses, without the middleware", "refused it for the third time", func(t *testing.T, b *bus.Bus, cfg bus.SubscriberConfig) {
			msgs := subscribe(t, b, cfg)
			for range 3 {
				receive(t, msgs, "delivery").Nack()
			}
		}},
		{"the handler never answers", "no answer within 300ms", func(t *testing.T, b *bus.Bus, cfg bus.SubscriberConfig) {
			msgs := subscribe(t, b, cfg)
			for range 3 {
				receive(t, msgs, "delivery")
			}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := natstest.Bus(t)
			mustStore(t, b.Publisher(), newMessage("x"))
			tt.run(t, b, bus.SubscriberConfig{Durable: "d", MaxDeliver: 3, NackDelay: quickly, AckWait: 300 * time.Millisecond})
			got := parked(t, b, 1)
			if !strings.Contains(got.Header.Get(bus.ParkedReasonHeader), tt.reason) || got.Header.Get(bus.ParkedDeliveriesHeader) != "3" {
				t.Errorf("reason %q after %s deliveries", got.Header.Get(bus.ParkedReasonHeader), got.Header.Get(bus.ParkedDeliveriesHeader))
			}
			eventually(t, 5*time.Second, "it is acknowledged", func() bool { return pending(t, b, "d") == 0 })
		})
	}
}

// TestPoisonOfACrashingProcess parks a message that nobody ever answered, without handing it out once more.
func TestPoisonOfACrashingProcess(t *testing.T) {
	b := natstest.Bus(t)
	mustStore(t, b.Publisher(), newMessage("x"))
	// What a crashed process leaves behind is a delivery without an answer; refusing without a trace counts the same.
	c, err := b.JetStream().CreateConsumer(t.Context(), bus.LedgerStream, jetstream.ConsumerConfig{
		Durable: "d", FilterSubject: topic, AckPolicy: jetstream.AckExplicitPolicy, MaxDeliver: -1,
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 8 {
		m, err := c.Next()
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Nak(); err != nil {
			t.Fatal(err)
		}
	}
	msgs := subscribe(t, b, bus.SubscriberConfig{Durable: "d", MaxDeliver: 2})
	got := parked(t, b, 1)
	if !strings.Contains(got.Header.Get(bus.ParkedReasonHeader), "never answered") || got.Header.Get(bus.ParkedDeliveriesHeader) != "9" {
		t.Errorf("parked: %v", got.Header)
	}
	eventually(t, 5*time.Second, "it is acknowledged", func() bool { return pending(t, b, "d") == 0 })
	select {
	case <-msgs:
		t.Error("handed out once more")
	default:
	}
}

// TestPoisonThatCannotBeParked stays unacknowledged, and is parked once parking works.
func TestPoisonThatCannotBeParked(t *testing.T) {
	for _, withMiddleware := range []bool{true, false} {
		b := natstest.Bus(t)
		mustStore(t, b.Publisher(), newMessage("x"))
		if err := b.JetStream().DeleteStream(t.Context(), bus.ParkedStream); err != nil {
			t.Fatal(err)
		}
		cfg := bus.SubscriberConfig{Durable: "d", MaxDeliver: 1, NackDelay: quickly}
		if withMiddleware {
			route(t, b, cfg, func(*message.Message) error { return bus.Poison(errors.New("bad")) })
		} else {
			collectRefusing(t, b, cfg)
		}
		eventually(t, 15*time.Second, "parking fails", func() bool { return b.Stats().ParkFailures > 0 })
		if pending(t, b, "d") != 1 {
			t.Error("acknowledged although it isn't parked")
		}
		if err := b.EnsureStreams(t.Context()); err != nil {
			t.Fatal(err)
		}
		parked(t, b, 1)
		eventually(t, 15*time.Second, "it is acknowledged", func() bool { return pending(t, b, "d") == 0 })
	}
}

// collectRefusing refuses everything until the subscription ends with the test.
func collectRefusing(t *testing.T, b *bus.Bus, cfg bus.SubscriberConfig) {
	t.Helper()
	msgs := subscribe(t, b, cfg)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for m := range msgs {
			m.Nack()
		}
	}()
	t.Cleanup(func() { _ = b.Close(); <-ended })
}

// TestParkTwice stores what two processes park at the same time once, and once more for another durable.
func TestParkTwice(t *testing.T) {
	b := natstest.Bus(t)
	mustStore(t, b.Publisher(), newMessage("x"))
	first := receive(t, subscribe(t, b, bus.SubscriberConfig{Durable: "a"}), "message")
	second := receive(t, subscribe(t, b, bus.SubscriberConfig{Durable: "b"}), "message")
	defer first.Ack()
	defer second.Ack()
	for i, want := range []struct {
		msg *message.Message
		ack bus.Ack
	}{
		{first, bus.Ack{Position: 1, Stream: bus.ParkedStream}},
		{first, bus.Ack{Position: 1, Stream: bus.ParkedStream, Duplicate: true}},
		{second, bus.Ack{Position: 2, Stream: bus.ParkedStream}},
	} {
		if got, err := b.Parker().Park(t.Context(), want.msg, errors.New("bad")); err != nil || got != want.ack {
			t.Errorf("park %d: %+v, %v; want %+v", i, got, err, want.ack)
		}
	}
	if _, err := b.Parker().Park(t.Context(), newMessage("made up"), nil); !errors.Is(err, bus.ErrInvalid) {
		t.Errorf("a message of our own: %v", err)
	}
}

func TestPoisonNil(t *testing.T) {
	if bus.Poison(nil) != nil {
		t.Error("Poison(nil) isn't nil")
	}
	cause := errors.New("cause")
	if err := bus.Poison(cause); !errors.Is(err, cause) || !errors.Is(err, bus.ErrPoison) {
		t.Errorf("got %v", err)
	}
}
