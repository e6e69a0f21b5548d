package bus_test

import (
	"context"
	"testing"
	"time"

	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/natstest"
)

// A bucket in memory goes back to its oldest entry; and after its server was started anew, which has lost all, to no time before that.
func TestKept(t *testing.T) {
	srv := natstest.Start(t)
	cfg := natstest.Config(t)
	cfg.URL, cfg.Embedded = srv.URL(), bus.Embedded{}
	b := natstest.Open(t, cfg)
	bucket := bus.TicketsBucket()
	began := time.Now()
	kept, err := b.Kept(t.Context(), bucket)
	if err != nil {
		t.Fatal(err)
	}
	ask := func() time.Time {
		t.Helper()
		at, err := kept.Since(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	empty := ask()
	if empty.Before(began) || empty.After(time.Now()) {
		t.Errorf("an empty bucket goes back to %v, want now", empty)
	}
	kv, err := b.KeyValue(t.Context(), bucket)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.Create(t.Context(), "a", nil); err != nil {
		t.Fatal(err)
	}
	if again := ask(); !again.Equal(empty) {
		t.Errorf("without a loss the answer has changed from %v to %v", empty, again)
	}
	later, err := b.Kept(t.Context(), bucket)
	if err != nil {
		t.Fatal(err)
	}
	if first, err := later.Since(t.Context()); err != nil || first.Before(empty) || first.After(time.Now()) {
		t.Errorf("with an entry it goes back to %v, %v", first, err)
	}

	srv.Stop()
	lost := time.Now()
	bound, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	<-bound.Done()
	srv.Restart()
	waitForReconnect(t, b)
	if _, err := kept.Since(bound); err == nil {
		t.Error("an answer without time to ask")
	}
	if at := ask(); at.Before(lost) || at.After(time.Now()) {
		t.Errorf("after the loss it goes back to %v, want after %v", at, lost)
	}
	// The bucket is there again.
	if _, err := kv.Create(t.Context(), "a", nil); err != nil {
		t.Errorf("write after the loss: %v", err)
	}
}

// What was written as soon as a lost connection was back isn't taken for lost: nobody has to have asked by then.
func TestKeptAsksByItself(t *testing.T) {
	srv := natstest.Start(t)
	cfg := natstest.Config(t)
	cfg.URL, cfg.Embedded = srv.URL(), bus.Embedded{}
	b := natstest.Open(t, cfg)
	kept, err := b.Kept(t.Context(), bus.TicketsBucket())
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- kept.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ran; err != nil {
			t.Error(err)
		}
	})
	for range 2 {
		lost := b.Conn().Stats().Reconnects
		srv.Restart()
		eventually(t, 20*time.Second, "it knows again", func() bool { return b.Conn().Stats().Reconnects > lost && kept.Known() })
		written := time.Now()
		if at, err := kept.Since(t.Context()); err != nil || at.After(written) {
			t.Errorf("it goes back to %v (%v), want before %v", at, err, written)
		}
	}
}

func waitForReconnect(t *testing.T, b *bus.Bus) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for b.Conn().Stats().Reconnects == 0 || !b.Conn().IsConnected() {
		select {
		case <-ctx.Done():
			t.Fatal("no reconnect")
		case <-time.After(5 * time.Millisecond):
		}
	}
}
