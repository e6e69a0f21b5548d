package revocationprom_test

import (
	"context"
	"fmt"
	"log"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationprom"
	"github.com/curfewhq/curfew/revocation/revocationtest"
)

func Example() {
	feed := revocationtest.New() // in production revocationnats.NewFeed(js, revocationnats.Config{})
	registry := prometheus.NewRegistry()

	metrics := revocationprom.New(registry)
	replica, err := revocation.Open(context.Background(), revocation.Config{
		Feed: feed,
		Hooks: metrics.Hooks(revocation.Hooks{
			Skipped: func(position uint64, err error) { log.Print("skipped ", position, ": ", err) },
		}),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer replica.Close()
	metrics.Observe(replica)

	families, err := registry.Gather()
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, f := range families {
		if f.GetName() == "curfew_replica_fresh" {
			fmt.Println(f.GetName(), f.GetMetric()[0].GetGauge().GetValue())
		}
	}
	// Output: curfew_replica_fresh 1
}
