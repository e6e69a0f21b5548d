package receipts_test

import (
	"testing"

	"github.com/curfewhq/curfew/internal/receipts"
)

// A process that has just begun, and has heard of one replica and no gateway yet, proves nothing: who hears of more gives the better receipt, though a gateway has forgotten. One that has asked
// no more takes away nothing that was seen.
func TestUncertainGivesWayToWhoAskedMore(t *testing.T) {
	early := receipts.Receipt{Aim: receipts.Shown, Complete: true, Replicas: receipts.Replicas{Expected: 1, Applied: 1}, Tabs: &receipts.Tabs{}}
	later := receipts.Receipt{
		Aim: receipts.Shown, Certain: true, Replicas: early.Replicas,
		Tabs: &receipts.Tabs{Gateways: []receipts.Gateway{{Name: "gw-1", State: receipts.StateForgotten}}},
	}
	if later.SaysLess(early) || !early.SaysLess(later) {
		t.Error("what is uncertain, of nobody, is kept in place of what is certain")
	}
	seen := early
	seen.Tabs = &receipts.Tabs{Told: 5, SignedOut: 5, Gateways: []receipts.Gateway{{Name: "gw-1", State: receipts.StateTold}}}
	if !later.SaysLess(seen) || seen.SaysLess(later) {
		t.Error("five tabs that have signed out are given up for a gateway that has forgotten them")
	}
}
