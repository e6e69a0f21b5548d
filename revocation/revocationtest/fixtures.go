package revocationtest

import (
	"fmt"
	"testing"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/revocation"
)

// event returns an event whose target tells its number.
func event(n int) events.Event {
	return &events.SessionRevoked{
		Common: events.Common{
			ID: fmt.Sprintf("01890a5d-ac96-774b-bcce-%012x", n), Time: time.Now(), Source: "revocationtest", Tenant: events.DefaultTenant,
			Reason: events.ReasonUserLogout, Initiator: events.Initiator{Type: events.InitiatorUser},
		},
		Session: fmt.Sprintf("session-%d", n), User: fmt.Sprintf("user-%d", n%7),
	}
}

// session returns the session that event(n) revokes.
func session(n int) revocation.Session {
	return revocation.Session{ID: fmt.Sprintf("session-%d", n), User: fmt.Sprintf("user-%d", n%7), AuthTime: time.Now().Add(-time.Hour)}
}

// checkEvents checks that the events among calls are event(first), event(first+1) … at exactly the positions want.
func checkEvents(t *testing.T, calls []call, want []uint64, first int) {
	t.Helper()
	var got []call
	for _, c := range calls {
		if c.what == "event" {
			got = append(got, c)
		}
	}
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			t.Fatalf("%d events, want %d: none after %d", len(got), len(want), position(got))
		case i >= len(want):
			t.Fatalf("%d events, want %d", len(got), len(want))
		case got[i].place.Position != want[i]:
			t.Fatalf("event %d lies at %d, want %d", i, got[i].place.Position, want[i])
		case got[i].event.Target() != event(first+i).Target():
			t.Fatalf("event %d is of %s, want %s", i, got[i].event.Target(), event(first+i).Target())
		}
	}
}
