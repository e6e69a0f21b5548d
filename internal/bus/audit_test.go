package bus_test

import (
	"errors"
	"testing"
	"time"

	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/natstest"
)

// TestCheckpointsAreAppended: one behind the other, whoever is late is told, and none can be taken away.
func TestCheckpointsAreAppended(t *testing.T) {
	srv := natstest.Start(t)
	a, b := natstest.Open(t, bus.Config{URL: srv.URL()}), natstest.Open(t, bus.Config{URL: srv.URL()})
	for _, each := range []*bus.Bus{a, b, a} {
		if err := each.EnsureAudit(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if data, position, err := a.LastCheckpoint(t.Context()); data != nil || position != 0 || err != nil {
		t.Errorf("of nothing: %q at %d, %v", data, position, err)
	}
	if err := a.AppendCheckpoint(t.Context(), []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	if err := b.AppendCheckpoint(t.Context(), []byte("another"), 0); !errors.Is(err, bus.ErrAuditAhead) {
		t.Errorf("at the same place: %v", err)
	}
	if err := b.AppendCheckpoint(t.Context(), []byte("3"), 2); !errors.Is(err, bus.ErrAuditAhead) {
		t.Errorf("with a gap: %v", err)
	}
	if err := b.AppendCheckpoint(t.Context(), []byte("2"), 1); err != nil {
		t.Fatal(err)
	}
	if data, position, err := a.LastCheckpoint(t.Context()); string(data) != "2" || position != 2 || err != nil {
		t.Errorf("%q at %d, %v", data, position, err)
	}
	stream, err := a.JetStream().Stream(t.Context(), bus.AuditStream)
	if err != nil {
		t.Fatal(err)
	}
	if stream.Purge(t.Context()) == nil || stream.DeleteMsg(t.Context(), 1) == nil || stream.SecureDeleteMsg(t.Context(), 1) == nil {
		t.Error("checkpoints can be purged or deleted")
	}
	// They are kept for longer than what they tell of.
	cfg := bus.Config{Retention: 48 * time.Hour, MaxBytes: 1, URL: "nats://x"}
	if spec := bus.AuditSpec(cfg); spec.MaxAge <= bus.LedgerSpec(cfg).MaxAge {
		t.Errorf("for %v", spec.MaxAge)
	}
	if differ, err := a.Differences(t.Context()); err != nil || len(differ) > 0 {
		t.Errorf("%v, %v", differ, err)
	}
}

// TestWithoutTheStreamOfCheckpoints: that nobody makes checkpoints is no difference; who looks for one is told.
func TestWithoutTheStreamOfCheckpoints(t *testing.T) {
	b := natstest.Bus(t)
	if differ, err := b.Differences(t.Context()); err != nil || len(differ) > 0 {
		t.Errorf("%v, %v", differ, err)
	}
	if _, _, err := b.LastCheckpoint(t.Context()); err == nil {
		t.Error("there is a last checkpoint")
	}
	if err := b.AppendCheckpoint(t.Context(), []byte("1"), 0); err == nil || errors.Is(err, bus.ErrAuditAhead) {
		t.Errorf("%v", err)
	}
}
