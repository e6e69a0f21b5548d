package canary_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/internal/replicas"
	"github.com/curfewhq/curfew/revocation/revocationnats"
)

// TestReplicaOfAService: one that an application embeds answers questions over a link that may be whole where the ledger's isn't; it also reports, and is named when it holds a lease and hasn't applied the canary's revocation.
func TestReplicaOfAService(t *testing.T) {
	r := newRig(t)
	link := natstest.NewProxy(t, r.srv.Addr())
	own := r.replica("own", r.srv.URL(), 15*time.Second)
	embedded := r.follow(link.URL(), time.Hour)
	for name, replica := range map[string]revocationnats.Reporting{"own": own, "billing-7": embedded} {
		p, err := revocationnats.NewPresence(r.connect(r.srv.URL()), replica, revocationnats.PresenceConfig{Group: "billing", Name: name})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = p.Close() })
	}
	fleet, err := replicas.NewFleet(r.connect(r.srv.URL()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fleet.Close)
	r.applied = func(ctx context.Context, position uint64, began time.Time) (replicas.Progress, error) {
		return fleet.Await(ctx, replicas.Wanted{Stream: own.Status().Made, Position: position, Stored: began})
	}
	svc := r.service(time.Second)
	r.runUntil(svc, "a good round", func() bool {
		return r.probes("ok") >= 1 && len(fleet.Members()) == 2 && testutil.CollectAndCount(r.metrics.Refused) == 2
	})
	link.Stall()
	r.runUntil(svc, "an alarm", func() bool { return r.probes("not_applied") >= 1 })
	if said := r.log.String(); !strings.Contains(said, "billing/billing-7") || strings.Contains(said, "billing/own") {
		t.Errorf("the log says\n%s", said)
	}
}
