package revocation

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/curfewhq/curfew/events"
)

// TestOutranksAsTheReplicaNames: of any events, in any order, the one that none outranks is the one that Check names.
func TestOutranksAsTheReplicaNames(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := genEvents.Draw(t, "events")
		set := setOf(list...)
		for _, s := range genSessions.Draw(t, "sessions") {
			var first events.Event
			at := 0
			for i, e := range list {
				if Ends(e, s) && (first == nil || Outranks(e, first, s)) {
					first, at = e, i+1
				}
			}
			by, revoked := set.lookup(&s)
			if revoked != (first != nil) {
				t.Fatalf("%+v: revoked %t, named %v", s, revoked, first)
			}
			if revoked && (Scope(first.Kind()) != by.scope || first.Meta().Reason != by.reason || int(by.pos) != at) {
				t.Fatalf("%+v: the replica names %+v, and the event that none outranks is %d: %+v", s, by, at, first)
			}
		}
	})
}
