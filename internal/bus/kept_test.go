package bus_test

import (
	"context"
	"testing"
	"time"

	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/natstest"
)

// A bucket in memory goes back to its oldest entry; and after its server was started anew, which has lost all, to no time before that.
func TestKeptSince(t *testing.T) {
	srv := natstest.Start(t)
	cfg := natstest.Config(t)
	cfg.URL, cfg.Embedded = srv.URL(), bus.Embedded{}
	b := natstest.Open(t, cfg)
	bucket := bus.TicketsBucket()
	began := time.Now()
	since, err := b.KeptSince(t.Context(), bucket)
	if err != nil {
		t.Fatal(err)
	}
	ask := func() time.Time {
		t.Helper()
		at, err := since(t.Context())
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
	later, err := b.KeptSince(t.Context(), bucket)
	if err != nil {
		t.Fatal(err)
	}
	if first, err := later(t.Context()); err != nil || first.Before(empty) || first.After(time.Now()) {
		t.Errorf("with an entry it goes back to %v, %v", first, err)
	}

	srv.Stop()
	lost := time.Now()
	bound, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	<-bound.Done()
	srv.Restart()
	waitForReconnect(t, b)
	if _, err := since(bound); err == nil {
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
