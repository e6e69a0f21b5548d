package bus_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/natstest"
)

// The object store for snapshots is made once, however many processes want it at the same time, and then left as it is.
func TestEnsureSnapshots(t *testing.T) {
	srv := natstest.Start(t)
	buses := []*bus.Bus{natstest.Open(t, bus.Config{URL: srv.URL()}), natstest.Open(t, bus.Config{URL: srv.URL()})}
	if diffs, err := buses[0].Differences(t.Context()); err != nil || len(diffs) != 0 {
		t.Errorf("before it is there: %v, %v", diffs, err)
	}
	var all sync.WaitGroup
	for _, b := range buses {
		all.Go(func() {
			for range 3 {
				if err := b.EnsureSnapshots(t.Context()); err != nil {
					t.Errorf("EnsureSnapshots: %v", err)
				}
			}
		})
	}
	all.Wait()
	stream, err := buses[0].JetStream().Stream(t.Context(), "OBJ_"+bus.SnapshotsBucket)
	if err != nil {
		t.Fatal(err)
	}
	cfg := stream.CachedInfo().Config
	if cfg.MaxBytes != 1<<30 || cfg.Storage != jetstream.FileStorage || cfg.Replicas != 1 || cfg.MaxAge != 0 {
		t.Errorf("it is %+v", cfg)
	}
	if diffs, err := buses[0].Differences(t.Context()); err != nil || len(diffs) != 0 {
		t.Errorf("as it should be: %v, %v", diffs, err)
	}
	cfg.MaxBytes, cfg.MaxAge, cfg.Discard = 2<<30, time.Hour, jetstream.DiscardOld
	if _, err := buses[0].JetStream().UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	if err := buses[1].EnsureSnapshots(t.Context()); err != nil {
		t.Fatal(err)
	}
	diffs, err := buses[1].Differences(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range diffs {
		got = append(got, d.String())
	}
	// How large it is is the operator's.
	want := []string{"OBJ_CURFEW_SNAPSHOTS: max age is 1h0m0s instead of unlimited", "OBJ_CURFEW_SNAPSHOTS: discard policy is DiscardOld instead of DiscardNew"}
	if !slices.Equal(got, want) {
		t.Errorf("differences: %q, want %q", got, want)
	}
}

func TestSnapshotsOfTheEmbeddedServer(t *testing.T) {
	b := natstest.Bus(t)
	if err := b.EnsureSnapshots(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diffs, err := b.Differences(t.Context()); err != nil || len(diffs) != 0 {
		t.Errorf("differences: %v, %v", diffs, err)
	}
}
