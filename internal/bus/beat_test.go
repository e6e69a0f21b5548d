package bus_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/natstest"
)

// beating runs Beat until the test ends or stop is called, which waits for it.
func beating(t *testing.T, b *bus.Bus, cfg bus.BeaterConfig) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- b.Beat(ctx, cfg) }()
	done := false
	stop = func() {
		if done {
			return
		}
		done = true
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	return stop
}

func TestBeat(t *testing.T) {
	b := natstest.Bus(t)
	results := make(chan error, 100)
	stop := beating(t, b, bus.BeaterConfig{Interval: 20 * time.Millisecond, Source: "test", OnResult: func(err error) { results <- err }})
	for range 3 {
		if err := receive(t, results, "beat"); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	raw, err := b.EventAt(t.Context(), 1)
	if err != nil || raw.Subject != events.TopicBeat || string(raw.Data) != `{"source":"test"}` || raw.Header.Get(jetstream.MsgTTLHeader) != "60s" || raw.Header.Get(jetstream.MsgIDHeader) != "" {
		t.Errorf("beat: %+v, %v", raw, err)
	}
}

// TestBeatFails reports each failure and goes on.
func TestBeatFails(t *testing.T) {
	b, err := bus.Open(t.Context(), natstest.Config(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	results := make(chan error, 1000)
	beating(t, b, bus.BeaterConfig{Interval: 10 * time.Millisecond, OnResult: func(err error) { results <- err }})
	if err := receive(t, results, "failure"); err == nil {
		t.Error("a beat without a ledger succeeded")
	}
	if err := b.EnsureStreams(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, "a beat", func() bool { return receive(t, results, "result") == nil })
	if err := b.Beat(t.Context(), bus.BeaterConfig{Interval: -1}); err == nil {
		t.Error("a negative interval is accepted")
	}
}
