package fanout

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/curfewhq/curfew/internal/gateways"
)

// TestBurstOfHints: hints come in a burst, as from who may write to NATS, or where a session is warned of by processes with different settings. A healthy tab isn't closed for it.
func TestBurstOfHints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, nil)
		s := who("ann", "s1")
		tab := watch(g.open(s))
		for range 2 * maxQueued {
			g.svc.Hint(gateways.Hint{Kind: gateways.HintExpiring, Tenant: s.Tenant, User: s.User, Session: s.ID, Reason: "idle_timeout", At: time.Now().Add(time.Minute)})
		}
		synctest.Wait()
		if g.svc.Open() != 1 || g.closed("1013") != 0 {
			t.Errorf("%v conns closed with 1013, %d left; got %d frames", g.closed("1013"), g.svc.Open(), len(tab.take()))
		}
	})
}
