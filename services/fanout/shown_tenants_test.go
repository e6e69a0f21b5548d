package fanout

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/events/tab"
	"github.com/curfewhq/curfew/internal/gateways"
)

// TestShownOfOneIDInTwoTenants: an id is of its tenant alone, and the receipt of one tenant's event tells nothing of another's tabs.
func TestShownOfOneIDInTwoTenants(t *testing.T) {
	for name, own := range map[string]int{"with tabs of its own": 1, "without": 0} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newRig(t, nil)
				for range own {
					g.open(who("ann", "s"))
				}
				others := who("eve", "s")
				others.Tenant = "globex"
				c := g.open(others)
				go func() {
					if f, err := c.Next(t.Context()); err == nil && f.Type == tab.TypeLogout {
						_ = c.Ack(f.ID, tab.OutcomeSignedOut)
					}
				}()
				mine := &events.UserLoggedOutEverywhere{Common: common("one"), User: "ann", Cutoff: time.Now()}
				theirs := &events.UserLoggedOutEverywhere{Common: common("one"), User: "eve", Cutoff: time.Now()}
				theirs.Tenant, theirs.ID = "globex", mine.ID
				position := g.publish(mine)
				synctest.Wait()
				g.publish(theirs)
				synctest.Wait()
				want := gateways.Shown{Forgotten: own > 0} // whose the numbers are can't be told any more
				if got := g.svc.Shown(mine.ID, position); got != want {
					t.Errorf("got %+v, want %+v", got, want)
				}
			})
		})
	}
}
