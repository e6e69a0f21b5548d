package replay_test

import (
	"net/url"
	"testing"
	"time"

	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/services/replay"
)

// TestThePastSaysWhatHasLeftTheLedger: what was in force then may have expired since, of which nothing but the ledger's age tells.
func TestThePastSaysWhatHasLeftTheLedger(t *testing.T) {
	d := newDesk(t, natstest.Bus(t))
	var state replay.State
	if d.told(t, t, d.key, "/v1/state", nil, &state); !state.GoneBefore.IsZero() {
		t.Errorf("of a ledger that is whole: %v", state.GoneBefore)
	}
	stream, err := d.bus.JetStream().Stream(t.Context(), bus.LedgerStream)
	if err != nil {
		t.Fatal(err)
	}
	cfg := stream.CachedInfo().Config
	cfg.MaxAge, cfg.Duplicates = time.Second, time.Second
	if _, err := d.bus.JetStream().UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the ledger is older than it keeps events", func() bool {
		d.told(t, t, d.key, "/v1/state", nil, &state)
		return !state.GoneBefore.IsZero()
	})
	if age := state.AsOf.Sub(state.GoneBefore); age < time.Second || age > 2*time.Second {
		t.Errorf("gone is what is %v old", age)
	}
	var diff replay.Diff
	if d.told(t, t, d.key, "/v1/diff", url.Values{"from": {"1ms"}}, &diff); diff.GoneBefore.IsZero() {
		t.Error("the difference doesn't say so")
	}
}
