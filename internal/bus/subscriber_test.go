package bus_test

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/natstest"
)

// subscribe opens a subscriber that is closed with the Bus.
func subscribe(t *testing.T, b *bus.Bus, cfg bus.SubscriberConfig) <-chan *message.Message {
	t.Helper()
	sub, err := b.NewSubscriber(cfg)
	if err != nil {
		t.Fatal(err)
	}
	msgs, err := sub.Subscribe(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	return msgs
}

// TestTwoValuedHeaders delivers a message that others published with a header twice: nothing is lost, nothing crashes.
func TestTwoValuedHeaders(t *testing.T) {
	b := natstest.Bus(t)
	m := &nats.Msg{Subject: topic, Data: []byte("p"), Header: nats.Header{"Two": {"one", "and two"}}}
	if _, err := b.JetStream().PublishMsg(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	got := receive(t, subscribe(t, b, bus.SubscriberConfig{}), "message")
	defer got.Ack()
	if got.Metadata.Get("Two") != "one, and two" || string(got.Payload) != "p" || got.UUID != "CURFEW/1" {
		t.Errorf("got %q %v %q", got.UUID, got.Metadata, got.Payload)
	}
	d, ok := bus.DeliveryOf(got)
	if !ok || d.Position != 1 || d.Deliveries != 1 || d.Topic != topic || d.Stream != bus.LedgerStream || len(d.Header["Two"]) != 2 || d.Stored.IsZero() {
		t.Errorf("delivery: %+v, %v", d, ok)
	}
}

// TestCancelDuringTraffic ends subscriptions in the middle of traffic, many times: no panic, and goleak finds nothing left.
func TestCancelDuringTraffic(t *testing.T) {
	b := natstest.Bus(t)
	traffic, stop := context.WithCancel(t.Context())
	var work sync.WaitGroup
	defer work.Wait()
	defer stop()
	work.Go(func() {
		p := b.Publisher()
		for traffic.Err() == nil {
			_ = p.Publish(topic, newMessage("x"))
		}
	})
	for round := range 30 {
		sub, err := b.NewSubscriber(bus.SubscriberConfig{Durable: "d" + strconv.Itoa(round%3), Window: 1 + round*7})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		msgs, err := sub.Subscribe(ctx, topic)
		if err != nil {
			t.Fatal(err)
		}
		for range round {
			receive(t, msgs, "message").Ack()
		}
		if round%2 == 0 {
			cancel()
		}
		work.Go(func() { _ = sub.Close() })
		for m := range msgs { // closed, and nothing is stuck behind it
			m.Nack()
		}
		cancel()
	}
}

// TestHandlerThatNeverAcks gets the message again after AckWait, and is told that its time was over.
func TestHandlerThatNeverAcks(t *testing.T) {
	b := natstest.Bus(t)
	mustStore(t, b.Publisher(), newMessage("x"))
	msgs := subscribe(t, b, bus.SubscriberConfig{Durable: "d", AckWait: 300 * time.Millisecond})
	for want := uint64(1); want <= 3; want++ {
		start := time.Now()
		m := receive(t, msgs, "delivery")
		if d, _ := bus.DeliveryOf(m); d.Deliveries != want {
			t.Errorf("delivery %d; want %d", d.Deliveries, want)
		}
		if waited := time.Since(start); want > 1 && waited > 3*time.Second {
			t.Errorf("delivered again after %v", waited)
		}
		if want == 3 {
			m.Ack()
		}
		receive(t, closedAsValue(m.Context().Done()), "end of the message's context")
	}
	eventually(t, 5*time.Second, "the acknowledgement counts", func() bool { return pending(t, b, "d") == 0 })
	if s := b.Stats(); s.Expired != 2 || s.Acknowledged != 1 || s.Delivered != 3 || s.Redelivered != 2 {
		t.Errorf("stats: %+v", s)
	}
}

// closedAsValue turns the closing of a channel into a value.
func closedAsValue(done <-chan struct{}) <-chan bool {
	out := make(chan bool, 1)
	go func() { <-done; out <- true }()
	return out
}

// pending is what the durable still has to deal with.
func pending(t *testing.T, b *bus.Bus, durable string) int {
	t.Helper()
	c, err := b.JetStream().Consumer(t.Context(), bus.LedgerStream, durable)
	if err != nil {
		t.Fatal(err)
	}
	return int(c.CachedInfo().NumPending) + c.CachedInfo().NumAckPending
}

// TestWaitingIsNotFailing lets messages wait for a slow reader several times as long as AckWait: none is delivered twice.
func TestWaitingIsNotFailing(t *testing.T) {
	b := natstest.Bus(t)
	const n = 12
	for i := range n {
		mustStore(t, b.Publisher(), newMessage(strconv.Itoa(i)))
	}
	msgs := subscribe(t, b, bus.SubscriberConfig{Durable: "d", AckWait: 400 * time.Millisecond})
	for i := range n {
		m := receive(t, msgs, "message")
		work := time.NewTimer(100 * time.Millisecond) // the handler's work, not a wait for anything
		<-work.C
		if d, _ := bus.DeliveryOf(m); string(m.Payload) != strconv.Itoa(i) || d.Deliveries != 1 {
			t.Errorf("message %d: got %q, delivery %d", i, m.Payload, d.Deliveries)
		}
		m.Ack()
	}
}

// TestWindowOfOne delivers strictly in order, and without the pauses that nats.go has with a batch of one.
func TestWindowOfOne(t *testing.T) {
	b := natstest.Bus(t)
	const n = 2000
	var topics []string
	var msgs []*message.Message
	for i := range n / 2 {
		topics, msgs = append(topics, topic), append(msgs, newMessage(strconv.Itoa(i)))
	}
	for range 2 {
		for _, msg := range msgs {
			msg.Metadata.Set(bus.MsgIDKey, msg.UUID+strconv.Itoa(len(msg.Metadata)))
		}
		if _, errs := b.Publisher().PublishAll(t.Context(), topics, msgs); errors.Join(errs...) != nil {
			t.Fatal(errors.Join(errs...))
		}
	}
	in := subscribe(t, b, bus.SubscriberConfig{Durable: "d", Window: 1})
	longest, last := time.Duration(0), time.Now()
	for i := range n {
		m := receive(t, in, "message")
		longest, last = max(longest, time.Since(last)), time.Now()
		if d, _ := bus.DeliveryOf(m); d.Position != uint64(i+1) || d.Deliveries != 1 {
			t.Fatalf("message %d: %+v", i, d)
		}
		m.Ack()
	}
	if longest > 3*time.Second {
		t.Errorf("nothing for %v", longest)
	}
}

// TestCloseGivesBack gives messages that nobody took back at once, and lets the handler at work finish.
func TestCloseGivesBack(t *testing.T) {
	b := natstest.Bus(t)
	for i := range 10 {
		mustStore(t, b.Publisher(), newMessage(strconv.Itoa(i)))
	}
	sub, err := b.NewSubscriber(bus.SubscriberConfig{Durable: "d"})
	if err != nil {
		t.Fatal(err)
	}
	msgs, err := sub.Subscribe(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	atWork := receive(t, msgs, "message")
	closed := make(chan error, 1)
	go func() { closed <- sub.Close() }()
	seen := map[string]bool{}
	for m := range msgs { // at most what was handed over before Close began
		seen[string(m.Payload)] = true
		m.Ack()
	}
	if atWork.Context().Err() != nil {
		t.Error("the handler's context ended before its grace")
	}
	atWork.Ack()
	if err := receive(t, closed, "end of Close"); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	again := subscribe(t, b, bus.SubscriberConfig{Durable: "d"})
	for len(seen) < 9 {
		m := receive(t, again, "message given back")
		seen[string(m.Payload)] = true
		m.Ack()
	}
	if seen["0"] || time.Since(start) > 5*time.Second {
		t.Errorf("after %v: %v", time.Since(start), seen)
	}
}

// TestDurableFollowsOneTopic refuses a durable that exists with another topic, which would skip messages for its other users.
func TestDurableFollowsOneTopic(t *testing.T) {
	b := natstest.Bus(t)
	subscribe(t, b, bus.SubscriberConfig{Durable: "d"})
	sub, err := b.NewSubscriber(bus.SubscriberConfig{Durable: "d"})
	if err != nil {
		t.Fatal(err)
	}
	var told *bus.Error
	if _, err := sub.Subscribe(t.Context(), "curfew.v1.*.*.user"); !errors.Is(err, bus.ErrConsumerMismatch) || !errors.As(err, &told) {
		t.Errorf("got %v; want ErrConsumerMismatch with a hint", err)
	}
	// Other settings are simply brought up to date.
	subscribe(t, b, bus.SubscriberConfig{Durable: "d", Window: 7, AckWait: time.Minute, DeliverNew: true})
	c, err := b.JetStream().Consumer(t.Context(), bus.LedgerStream, "d")
	if err != nil {
		t.Fatal(err)
	}
	if cfg := c.CachedInfo().Config; cfg.MaxAckPending != 7 || cfg.AckWait != time.Minute || cfg.DeliverPolicy != jetstream.DeliverAllPolicy {
		t.Errorf("settings: %+v", cfg)
	}
	for _, name := range []string{"a.b", "a b", "*", "a>", "a/b"} {
		if _, err := b.NewSubscriber(bus.SubscriberConfig{Durable: name}); err == nil {
			t.Errorf("durable %q accepted", name)
		}
	}
}

// TestConsumerDeleted deletes a durable under its subscriber: it is created again after what was acknowledged.
func TestConsumerDeleted(t *testing.T) {
	for _, durable := range []string{"d", ""} {
		t.Run("durable="+durable, func(t *testing.T) {
			b := natstest.Bus(t)
			p := b.Publisher()
			for i := range 5 {
				mustStore(t, p, newMessage(strconv.Itoa(i)))
			}
			msgs := subscribe(t, b, bus.SubscriberConfig{Durable: durable})
			var name string
			for range 5 {
				m := receive(t, msgs, "message")
				d, _ := bus.DeliveryOf(m)
				name = d.Consumer
				m.Ack()
			}
			if err := b.JetStream().DeleteConsumer(t.Context(), bus.LedgerStream, name); err != nil {
				t.Fatal(err)
			}
			mustStore(t, p, newMessage("5"))
			for {
				m := receive(t, msgs, "message after the consumer was deleted")
				m.Ack()
				if string(m.Payload) == "5" {
					break
				}
			}
		})
	}
}

// TestDeliverNew starts at the stream's end; an ephemeral subscriber without it at the beginning.
func TestDeliverNew(t *testing.T) {
	b := natstest.Bus(t)
	mustStore(t, b.Publisher(), newMessage("old"))
	fresh := subscribe(t, b, bus.SubscriberConfig{DeliverNew: true})
	all := subscribe(t, b, bus.SubscriberConfig{})
	mustStore(t, b.Publisher(), newMessage("new"))
	for _, want := range []struct {
		from    <-chan *message.Message
		payload string
	}{{fresh, "new"}, {all, "old"}} {
		m := receive(t, want.from, "message")
		if string(m.Payload) != want.payload {
			t.Errorf("got %q; want %q", m.Payload, want.payload)
		}
		m.Ack()
	}
}

// TestSubscribeWithoutStream says what is missing.
func TestSubscribeWithoutStream(t *testing.T) {
	b, err := bus.Open(t.Context(), natstest.Config(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	sub, err := b.NewSubscriber(bus.SubscriberConfig{})
	if err != nil {
		t.Fatal(err)
	}
	var told *bus.Error
	if _, err := sub.Subscribe(t.Context(), topic); !errors.Is(err, jetstream.ErrStreamNotFound) || !errors.As(err, &told) {
		t.Errorf("got %v", err)
	}
}
