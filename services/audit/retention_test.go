package audit_test

import (
	"testing"
	"time"

	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/natstest"
)

// TestForgottenByRetention: events that the ledger has forgotten as it should are no gap, and the chain goes on behind them, also after a start at which its last event is gone.
func TestForgottenByRetention(t *testing.T) {
	cfg := natstest.Config(t)
	cfg.Retention, cfg.DuplicateWindow = 2*time.Second, time.Second
	r := newRig(t, natstest.Open(t, cfg))
	natstest.Beat(t, r.bus, 100*time.Millisecond)
	r.run(r.service(), r.signedUpTo(r.store(20)))
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	gone := func() bool {
		head, err := r.book.Head(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return head.First > r.last().Last.Position
	}
	for deadline := time.Now().Add(30 * time.Second); !gone(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatal("nothing is forgotten")
		}
	}
	r.run(r.service(), r.signedUpTo(r.store(10)))
	got := r.verify()
	if got.Broken != 0 || got.Forgotten < 20 || got.Forgotten+got.Events != 30 {
		t.Errorf("%+v", got)
	}
	for _, s := range r.checkpoints()[1:] {
		if c := saying(t, s); c.Cause != "" {
			t.Errorf("checkpoint %d begins another chain, because: %s", c.Number, c.Cause)
		}
	}
	if stream, err := r.bus.JetStream().Stream(t.Context(), bus.AuditStream); err != nil || stream.CachedInfo().Config.MaxAge <= cfg.Retention {
		t.Errorf("checkpoints are kept for no longer: %v", err)
	}
}
