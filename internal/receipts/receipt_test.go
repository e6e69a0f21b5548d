package receipts_test

import (
	"testing"

	"github.com/curfewhq/curfew/internal/receipts"
)

// TestSaysLess: what is kept, and what somebody finds out later.
func TestSaysLess(t *testing.T) {
	after := 7.0
	timed := []receipts.Replica{{Name: "billing-1", State: receipts.StateApplied, AfterMS: &after}}
	all := func(n int) receipts.Replicas { return receipts.Replicas{Expected: n, Applied: n} }
	forgotten := &receipts.Tabs{Gateways: []receipts.Gateway{{Name: "gw-1", State: receipts.StateForgotten}, {Name: "gw-2", State: receipts.StateForgotten}}}
	for _, tt := range []struct {
		name        string
		kept, later receipts.Receipt
		stays       bool
	}{
		{
			"a process that has just begun has heard of no gateway yet",
			receipts.Receipt{Aim: receipts.Shown, Complete: true, Replicas: all(1), Tabs: &receipts.Tabs{}},
			receipts.Receipt{Aim: receipts.Shown, Certain: true, Replicas: all(1), Tabs: forgotten}, false,
		},
		{
			"a replica has left since",
			receipts.Receipt{Aim: receipts.Shown, Complete: true, Replicas: all(3), Tabs: &receipts.Tabs{}},
			receipts.Receipt{Aim: receipts.Shown, Certain: true, Replicas: all(2), Tabs: forgotten}, false,
		},
		{
			"it wasn't certain, and its tabs have signed out; gateways have forgotten them",
			receipts.Receipt{Aim: receipts.Shown, Complete: true, Replicas: all(1), Tabs: &receipts.Tabs{Told: 5, SignedOut: 5}},
			receipts.Receipt{Aim: receipts.Shown, Certain: true, Replicas: all(2), Tabs: forgotten}, true,
		},
		{
			"one tab hadn't answered; gateways have forgotten all, and a replica has joined",
			receipts.Receipt{Aim: receipts.Shown, Certain: true, Replicas: receipts.Replicas{Expected: 1, Applied: 1, Named: timed}, Tabs: &receipts.Tabs{Told: 5, SignedOut: 4, Waiting: 1}},
			receipts.Receipt{Aim: receipts.Shown, Certain: true, Replicas: all(2), Tabs: forgotten}, true,
		},
		{
			"it was timed; the call is repeated, and a replica has joined",
			receipts.Receipt{Aim: receipts.Applied, Complete: true, Certain: true, Replicas: receipts.Replicas{Expected: 1, Applied: 1, Named: timed}},
			receipts.Receipt{Aim: receipts.Applied, Complete: true, Certain: true, Replicas: all(2)}, true,
		},
		{
			"one was late",
			receipts.Receipt{Aim: receipts.Applied, Certain: true, Replicas: receipts.Replicas{Expected: 2, Applied: 1, Named: timed}},
			receipts.Receipt{Aim: receipts.Applied, Complete: true, Certain: true, Replicas: all(2)}, false,
		},
		{
			"one was late; a process that has just begun has heard of the other alone",
			receipts.Receipt{Aim: receipts.Applied, Certain: true, Replicas: receipts.Replicas{Expected: 2, Applied: 1}},
			receipts.Receipt{Aim: receipts.Applied, Complete: true, Replicas: all(1)}, true,
		},
	} {
		if got := tt.later.SaysLess(tt.kept); got != tt.stays || tt.kept.SaysLess(tt.later) == tt.stays {
			t.Errorf("%s: what is kept stays: %t, want %t", tt.name, got, tt.stays)
		}
	}
}
