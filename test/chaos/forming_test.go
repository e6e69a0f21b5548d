package chaos

import "testing"

// After a power failure the servers of the cluster and Curfew start in any order. Curfew waits for the first leader, and then until there are as many
// servers as its ledger has replicas.
func TestClusterIsStillForming(t *testing.T) {
	t.Parallel()
	c := planCluster(t)
	c[0].run()
	c[0].wait("ready")
	i := newInstance(t, c.urls(nil), "--ledger-replicas", "3", "--roles", "publisher")
	i.begin()
	const waits = "the NATS cluster isn't ready"
	eventually(t, "curfew waits for a leader", func() bool { return i.hasSaid(waits) })
	c[1].run()
	eventually(t, "curfew waits for a third server", func() bool { return i.hasSaid(waits, "no suitable peers") })
	c[2].run()
	i.ready()
	if i.hasSaid("key of fingerprints of its own") {
		t.Error("the ledger was made without a key that its processes agree on")
	}
	js := connect(t, c.urls(nil))
	eventually(t, "the ledger is on all three servers", func() bool {
		name, current := leader(t, js)
		return name != "" && current == 2
	})
}
