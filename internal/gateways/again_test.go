package gateways_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/gateways"
	"github.com/curfewhq/curfew/internal/natstest"
)

// Every gateway is told which positions, and who asks hears from all how many tabs were told, or who hasn't answered.
func TestTellAgain(t *testing.T) {
	srv := natstest.Start(t)
	heard := make(chan []uint64, 20)
	blocks := make(chan struct{})
	take := func(told int) func(*gateways.Config) {
		return func(cfg *gateways.Config) {
			cfg.Again = func(positions []uint64) int { heard <- positions; return told }
		}
	}
	run(t, srv.URL(), "one", take(3))
	run(t, srv.URL(), "other", take(4))
	asker := connect(t, srv.URL())
	fleet := gateways.NewFleet(asker.nc, asker.kv, gateways.FleetConfig{})
	t.Cleanup(fleet.Close)
	eventually(t, "both are members", func() bool { m, err := fleet.Members(t.Context()); return err == nil && len(m) == 2 })
	want := []uint64{7, 1 << 60, 3}
	told, missing, err := fleet.TellAgain(t.Context(), want)
	if told != 7 || len(missing) != 0 || err != nil {
		t.Errorf("%d told, %v missing, %v", told, missing, err)
	}
	for range 2 {
		if got := <-heard; !slices.Equal(got, want) {
			t.Errorf("heard %v", got)
		}
	}

	// A gateway that takes none, or is stuck, is missing.
	none := run(t, srv.URL(), "none")
	stuck := run(t, srv.URL(), "stuck", func(cfg *gateways.Config) { cfg.Again = func([]uint64) int { <-blocks; return 1 } })
	t.Cleanup(func() { close(blocks) })
	eventually(t, "all are members", func() bool { m, err := fleet.Members(t.Context()); return err == nil && len(m) == 4 })
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if told, missing, err = fleet.TellAgain(ctx, []uint64{1}); told != 7 || len(missing) != 2 || missing[0].ID != none.ID() || missing[1].ID != stuck.ID() || err != nil {
		t.Errorf("%d told, %v missing, %v", told, missing, err)
	}
}

func TestTellAgainRefuses(t *testing.T) {
	srv := natstest.Start(t)
	one := run(t, srv.URL(), "one", func(cfg *gateways.Config) { cfg.Again = func([]uint64) int { t.Error("told"); return 0 } })
	asker := connect(t, srv.URL())
	fleet := gateways.NewFleet(asker.nc, asker.kv, gateways.FleetConfig{})
	for _, bad := range [][]uint64{nil, {0}, make([]uint64, gateways.MaxAgain+1)} {
		if _, _, err := fleet.TellAgain(t.Context(), bad); !errors.Is(err, gateways.ErrInvalid) {
			t.Errorf("%v", err)
		}
	}
	for _, bad := range []string{``, `{`, `{"v":2,"positions":[1]}`, `{"v":1,"positions":[0]}`, `{"v":1,"positions":["1"]}`} {
		if err := asker.nc.PublishRequest(bus.LiveAgainTopic, bus.LiveAnswerTopic("x"), []byte(bad)); err != nil {
			t.Fatal(err)
		}
	}
	// An answer goes nowhere but where answers go.
	if err := asker.nc.PublishRequest(bus.LiveAgainTopic, "curfew.v1.acme.00.user", []byte(`{"v":1,"positions":[1]}`)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "they are counted", func() bool { return one.Stats().Bad == 6 })
	fleet.Close()
	if _, _, err := fleet.TellAgain(t.Context(), []uint64{1}); !errors.Is(err, gateways.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}
