package server

import (
	"testing"
	"time"

	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/natstest"
)

// TestIdleSince: an idle timeout holds since the first process has had it, also where it was turned off in between: nobody had to touch meanwhile.
func TestIdleSince(t *testing.T) {
	b := natstest.Bus(t)
	since := func(timeout time.Duration) time.Time {
		t.Helper()
		s := &Server{bus: b}
		s.cfg.Sessions.IdleTimeout = timeout
		at, err := s.idleSince(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	began := time.Now()
	if at := since(0); !at.IsZero() {
		t.Errorf("without an idle timeout: %v", at)
	}
	first := since(time.Hour)
	if first.Before(began.Round(0)) || first.After(time.Now()) {
		t.Errorf("the first process: %v", first)
	}
	if at := since(time.Hour); !at.Equal(first) {
		t.Errorf("a later process: %v, want %v", at, first)
	}
	shorter := since(time.Minute)
	if !shorter.After(first) {
		t.Errorf("a shorter one: %v, want later than %v", shorter, first)
	}
	if at := since(0); !at.IsZero() {
		t.Errorf("turned off: %v", at)
	}
	again := since(time.Minute)
	if !again.After(shorter) {
		t.Errorf("turned on again: %v, want later than %v", again, shorter)
	}
	kv, err := b.KeyValue(t.Context(), bus.SettingsBucket())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.Put(t.Context(), idleEntry, []byte("{")); err != nil {
		t.Fatal(err)
	}
	if at := since(time.Minute); !at.After(again) {
		t.Errorf("what was noted can't be read: %v, want later than %v", at, again)
	}
}
