package revocation_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationtest"
)

func common(n int, at time.Time) events.Common {
	return events.Common{
		ID: fmt.Sprintf("01890a5d-ac96-774b-bcce-%012x", n), Time: at, Source: "test", Tenant: events.DefaultTenant,
		Reason: events.ReasonUserLogout, Initiator: events.Initiator{Type: events.InitiatorUser},
	}
}

// logout ends session n by name.
func logout(n int) *events.SessionRevoked {
	return &events.SessionRevoked{Common: common(n, time.Now()), Session: fmt.Sprint(n)}
}

// everywhere ends a user's sessions.
func everywhere(user string, cutoff time.Time, except ...string) *events.UserLoggedOutEverywhere {
	return &events.UserLoggedOutEverywhere{Common: common(0, time.Now()), User: user, Cutoff: cutoff, Except: except}
}

func session(n int) revocation.Session {
	return revocation.Session{ID: fmt.Sprint(n), User: "ada", AuthTime: time.Now().Add(-time.Hour)}
}

func open(t *testing.T, feed *revocationtest.Feed, cfg revocation.Config) *revocation.Replica {
	t.Helper()
	cfg.Feed = feed
	replica, err := revocation.Open(t.Context(), cfg)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() { _ = replica.Close() })
	return replica
}

func checkState(t *testing.T, replica *revocation.Replica, s revocation.Session, want revocation.State, cause error) {
	t.Helper()
	if d := replica.Check(s); d.State != want || d.Cause != cause { //nolint:errorlint // Cause is one of the package's errors, unwrapped
		t.Errorf("session %s is %v because of %v, want %v because of %v", s.ID, d.State, d.Cause, want, cause)
	}
}
