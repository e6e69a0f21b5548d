package bus_test

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/natstest"
)

// meanwhile reads data, and does something when half of it is read.
func meanwhile(data []byte, do func()) io.Reader {
	half := len(data) / 2
	return io.MultiReader(bytes.NewReader(data[:half]), after(do), bytes.NewReader(data[half:]))
}

// TestRestoreBesideAServer: a process that begins while a restore sends makes a ledger, and acknowledges a logout. The restore fails, and the logout is still there.
func TestRestoreBesideAServer(t *testing.T) {
	from := natstest.Bus(t)
	fill(t, from, 500)
	r, data := snapshot(t, from)
	to := bare(t, natstest.Config(t))
	err := to.Restore(t.Context(), r, meanwhile(data, func() {
		if err := to.EnsureStreams(t.Context()); err != nil {
			t.Errorf("the process doesn't begin: %v", err)
		}
		where, event := revoked(t, func(*events.SessionRevoked) {})
		if _, err := to.JetStream().Publish(t.Context(), where, event); err != nil {
			t.Errorf("the logout isn't stored: %v", err)
		}
	}))
	if err == nil {
		t.Error("it is restored over what is there")
	}
	if _, err := to.EventAt(t.Context(), 1); err != nil {
		t.Errorf("the logout is gone: %v", err)
	}
}

// TestTwoRestores: what the second has brought back and verified stays when the first fails.
func TestTwoRestores(t *testing.T) {
	from := natstest.Bus(t)
	fill(t, from, 500)
	r, data := snapshot(t, from)
	to := bare(t, natstest.Config(t))
	err := to.Restore(t.Context(), r, meanwhile(data, func() {
		if err := to.Restore(t.Context(), r, bytes.NewReader(data)); err != nil {
			t.Errorf("the second: %v", err)
		}
	}))
	if err == nil {
		t.Error("both say that they have restored it")
	}
	if _, err := to.EventAt(t.Context(), 1); err != nil {
		t.Errorf("what the second has restored is gone: %v", err)
	}
}

// TestRestoreOfSeveral: none is used before all are back, and another restore's stream is neither settled nor dropped.
func TestRestoreOfSeveral(t *testing.T) {
	from := natstest.Bus(t)
	fill(t, from, 10)
	r, data := snapshot(t, from)
	var parked bytes.Buffer
	snap, err := from.SnapshotStream(t.Context(), bus.ParkedStream, &parked)
	if err != nil {
		t.Fatal(err)
	}
	to := bare(t, natstest.Config(t))
	first, err := to.BringBack(t.Context(), r, bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	second, err := to.BringBack(t.Context(), bus.Restore{Stream: bus.ParkedStream, Snapshot: snap}, &parked)
	if err != nil {
		t.Fatal(err)
	}
	if err := to.EnsureStreams(t.Context()); !errors.Is(err, bus.ErrRestoring) {
		t.Errorf("it is used before all are back: %v", err)
	}
	other, err := to.BringBack(t.Context(), r, bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if err := to.Settle(t.Context(), first, second); err == nil {
		t.Error("the ledger of another restore is settled")
	}
	if err := to.DropRestored(t.Context(), first, second); err != nil {
		t.Error(err)
	}
	if err := to.Settle(t.Context(), other); err != nil {
		t.Error(err)
	}
	if err := to.FreeToRestore(t.Context(), bus.ParkedStream); err != nil {
		t.Errorf("what was brought back is left: %v", err)
	}
	if err := to.EnsureStreams(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := to.EventAt(t.Context(), 1); err != nil {
		t.Error(err)
	}
}
