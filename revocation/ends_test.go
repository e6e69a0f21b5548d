package revocation

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/curfewhq/curfew/events"
)

// Ends is the contract's word on one event, and NamedBy finds the event that a decision was made from at its position, and no stranger there.
func TestDecisionIsNamedByItsEvent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := genEvents.Draw(t, "events")
		r, sink := bare(Config{})
		for i, e := range list {
			sink.Event(Place{Position: uint64(i + 1)}, e)
		}
		for _, s := range genSessions.Draw(t, "sessions") {
			d := r.Check(s)
			for i, e := range list {
				byName, byCutoff := ends(e, s)
				over := byName || byCutoff
				if got := Ends(e, s); got != over {
					t.Fatalf("%+v: Ends is %t for %#v, want %t", s, got, e, over)
				}
				own := d.State == Revoked && d.EventPosition == uint64(i+1)
				if own && !d.NamedBy(e, s) {
					t.Fatalf("%+v: %+v isn't named by its own event %#v", s, d, e)
				}
				stranger := !over || Scope(e.Kind()) != d.Scope || e.Meta().Reason != d.Reason
				if stranger && d.NamedBy(e, s) {
					t.Fatalf("%+v: %+v is named by %#v, another event", s, d, e)
				}
			}
		}
	})
}

func TestNothingIsNamedByNoEvent(t *testing.T) {
	s := Session{ID: "s1", User: "ada", AuthTime: epoch}
	if Ends(nil, s) {
		t.Error("no event ends a session")
	}
	e := sessionOut(1, "s1", epoch)
	active := Decision{State: Active, Scope: ScopeSession, Reason: e.Reason}
	if active.NamedBy(e, s) {
		t.Error("an answer that isn't revoked is named by an event")
	}
	if !(Decision{State: Revoked, Scope: ScopeSession, Reason: e.Reason}).NamedBy(e, s) {
		t.Error("an answer isn't named by its event")
	}
	other := events.ReasonCompromised
	if (Decision{State: Revoked, Scope: ScopeSession, Reason: other}).NamedBy(e, s) {
		t.Error("an answer with another reason is named by the event")
	}
}
