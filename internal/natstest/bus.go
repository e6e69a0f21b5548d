package natstest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/bus"
)

// syncInterval instead of a sync per message: it doesn't change what a test can see, and is ten times faster. It is long, because nats-server sets the timer of a new stream without its lock: one
// that fires while the stream is still being made is a race.
const syncInterval = 10 * time.Second

// Config is what Bus opens: an embedded server without a port, in the test's temporary folder. Tests that need more change
// it and open it themselves.
func Config(t testing.TB) bus.Config {
	t.Helper()
	return bus.Config{Embedded: bus.Embedded{Dir: t.TempDir(), SyncInterval: syncInterval}}
}

// Bus returns a Bus with our streams over an embedded server of its own. It is closed when the test ends.
func Bus(t testing.TB) *bus.Bus {
	t.Helper()
	return Open(t, Config(t))
}

// Open opens a Bus, ensures our streams, and closes it when the test ends.
func Open(t testing.TB, cfg bus.Config) *bus.Bus {
	t.Helper()
	b, err := bus.Open(t.Context(), cfg)
	if err != nil {
		t.Fatalf("open bus: %v", err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("close bus: %v", err)
		}
	})
	if err := b.EnsureStreams(t.Context()); err != nil {
		t.Fatalf("ensure streams: %v", err)
	}
	return b
}

// Park has a consumer of the ledger refuse n messages that wait for it, for good: they are parked with that reason.
func Park(t testing.TB, b *bus.Bus, reason string, n int) {
	t.Helper()
	sub, err := b.NewSubscriber(bus.SubscriberConfig{Durable: "relay"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sub.Close() }()
	msgs, err := sub.Subscribe(t.Context(), events.TopicAll)
	if err != nil {
		t.Fatal(err)
	}
	handle := bus.ParkPoison(b.Parker())(func(*message.Message) ([]*message.Message, error) {
		return nil, bus.Poison(errors.New(reason))
	})
	for range n {
		select {
		case msg := <-msgs:
			if _, err := handle(msg); err != nil {
				t.Fatal(err)
			}
			msg.Ack()
		case <-time.After(10 * time.Second):
			t.Fatal("no message")
		}
	}
}

// Beat has beats written to the ledger each interval, as a process that publishes does, until the test ends or stop is called, which waits for that.
func Beat(t testing.TB, b *bus.Bus, interval time.Duration) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = b.Beat(ctx, bus.BeaterConfig{Interval: interval, Source: "test"}) // fails only when it is called wrongly
	}()
	stop = func() { cancel(); <-ended }
	t.Cleanup(stop)
	return stop
}
