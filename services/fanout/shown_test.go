package fanout

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/events/tab"
	"github.com/curfewhq/curfew/internal/gateways"
)

// What became of a notice is counted for each tab: who acknowledged it and how, who went away, and who may still answer.
func TestShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, nil)
		e := &events.UserLoggedOutEverywhere{Common: common("bye"), User: "ann", Cutoff: time.Now()}
		outcomes := []tab.Outcome{tab.OutcomeSignedOut, tab.OutcomeSignedOut, tab.OutcomeAlready, tab.OutcomeIgnored}
		for i, outcome := range outcomes {
			c := g.open(who("ann", fmt.Sprint("s", i)))
			go func() {
				if f, err := c.Next(t.Context()); err == nil && f.Type == tab.TypeLogout {
					_ = c.Ack(f.ID, outcome)
				}
			}()
		}
		silent, leaving := g.open(who("ann", "silent")), g.open(who("ann", "leaving"))
		g.open(who("bob", "other"))
		if got := g.svc.Shown(e.ID, 1_000); !got.Behind {
			t.Errorf("before the event: %+v", got)
		}
		position := g.publish(e)
		synctest.Wait()
		_ = leaving.Close()
		synctest.Wait()
		want := gateways.Shown{Told: 6, SignedOut: 2, Already: 1, Ignored: 1, Gone: 1}
		if diff := cmp.Diff(want, g.svc.Shown(e.ID, position)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		// Who doesn't answer is closed, and then gone.
		pass(2 * ackTimeout)
		_ = silent.Close()
		synctest.Wait()
		want.Gone = 2
		if diff := cmp.Diff(want, g.svc.Shown(e.ID, position)); diff != "" {
			t.Errorf("in the end (-want +got):\n%s", diff)
		}
		if got := g.svc.Shown("of nobody here", position); got != (gateways.Shown{}) {
			t.Errorf("an event that ended nobody: %+v", got)
		}
		if got := g.svc.Shown("to come", position+1); !got.Behind {
			t.Errorf("an event to come: %+v", got)
		}
	})
}

func TestShownForgets(t *testing.T) {
	n := newShownNotices(2)
	n.start(10)
	for position, event := range map[uint64]string{10: "before"} {
		if got := n.of(event, position, func() bool { return false }); !got.Forgotten || got.Behind {
			t.Errorf("what came before it began: %+v", got)
		}
	}
	for i, event := range []string{"a", "b", "c"} {
		n.begin(event, "acme", uint64(11+i))
		n.told(event)
		n.reached(uint64(11 + i))
	}
	n.told("a") // one comes back
	n.acked("a", tab.OutcomeSignedOut)
	for event, want := range map[string]gateways.Shown{"a": {Forgotten: true}, "b": {Told: 1}, "c": {Told: 1}} {
		if got := n.of(event, map[string]uint64{"a": 11, "b": 12, "c": 13}[event], func() bool { return false }); got != want {
			t.Errorf("%s: %+v, want %+v", event, got, want)
		}
	}
	if got := n.of("c", 13, func() bool { return true }); !got.Behind {
		t.Errorf("while others are being told: %+v", got)
	}
	// The ledger was put back: what lies at the positions from there on is of other events.
	n.reached(5)
	if got := n.of("c2", 13, func() bool { return false }); !got.Behind {
		t.Errorf("after the ledger was put back: %+v", got)
	}
}

// A mass is reached before its tabs are told: until then who asks hears that they are yet to be. If there are so many that tabs are told of no event, nobody says that none were.
func TestShownWhileAMassComes(t *testing.T) {
	n := newShownNotices(2)
	n.start(10)
	waits := true
	telling := func() bool { return waits }
	if got := n.of("mass", 11, telling); !got.Behind {
		t.Errorf("before it is reached: %+v", got)
	}
	n.reached(11)
	if got := n.of("mass", 11, telling); !got.Behind {
		t.Errorf("while it waits: %+v", got)
	}
	n.forget()
	waits = false
	if got := n.of("mass", 11, telling); !got.Forgotten {
		t.Errorf("all were told of no event: %+v", got)
	}
}
