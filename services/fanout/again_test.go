package fanout

import (
	"context"
	"testing"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/events/tab"
	"github.com/curfewhq/curfew/revocation"
)

// TestAgain: a tab whose session a replayed event has ended, of which tabs aren't told, is told when an operator asks for it: once, and nobody else.
func TestAgain(t *testing.T) {
	g := newRig(t, nil)
	over, other := who("ada", "s-1"), who("ada", "s-2")
	told, spared := g.open(over), g.open(other)
	e := sessionRevoked(over, "you signed out elsewhere")
	e.Replay = "incident-7"
	position := g.feed.Publish(e)
	if err := g.replica.WaitFor(t.Context(), position); err != nil {
		t.Fatal(err)
	}
	if n := g.svc.Again([]uint64{position}); n != 1 {
		t.Errorf("%d tabs were told", n)
	}
	if f := next(t, told); f.Type != tab.TypeLogout || f.ID != e.ID || f.Message != "you signed out elsewhere" {
		t.Errorf("%+v", f)
	}
	if n := g.svc.Again([]uint64{position, position}); n != 0 {
		t.Errorf("%d tabs were told again", n)
	}
	changed := sessionRevoked(other, "and here")
	g.publish(changed)
	if f := next(t, spared); f.Type != tab.TypeLogout || f.ID != changed.ID {
		t.Errorf("the other tab heard of %+v first", f)
	}
}

// TestAgainBelievesTheReplica: whoever can name positions, and even an event that isn't applied, ends nothing.
func TestAgainBelievesTheReplica(t *testing.T) {
	s := who("ada", "s-1")
	g := newRig(t, func(cfg *Config) {
		cfg.EventAt = func(context.Context, uint64) (events.Event, error) { return sessionRevoked(s, "forged"), nil }
	})
	c := g.open(s)
	if n := g.svc.Again([]uint64{1, 2, 3}); n != 0 {
		t.Errorf("%d tabs were told", n)
	}
	if d := g.replica.Check(s); d.State != revocation.Active {
		t.Errorf("%+v", d)
	}
	e := sessionRevoked(s, "")
	g.publish(e)
	if f := next(t, c); f.ID != e.ID {
		t.Errorf("%+v", f)
	}
	without := newRig(t, func(cfg *Config) { cfg.EventAt = nil })
	if n := without.svc.Again([]uint64{1}); n != 0 {
		t.Errorf("without a ledger %d", n)
	}
	gone := newRig(t, nil)
	if n := gone.svc.Again([]uint64{99}); n != 0 {
		t.Errorf("of an event that is gone %d", n)
	}
}
