package audit_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/chain"
	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/services/audit"
)

// TestCheckpointEachThousandEventsAndEachInterval: after 1,000 events there is one however long the interval is; and when nothing happens each interval.
func TestCheckpointEachThousandEventsAndEachInterval(t *testing.T) {
	if chain.Interval != time.Minute || chain.MaxEvents != 1000 {
		t.Errorf("unless set, one comes each %v and after %d events", chain.Interval, chain.MaxEvents)
	}
	r := newRig(t, natstest.Bus(t))
	last := r.store(2500)
	hourly := r.service(func(c *audit.Config) { c.Interval = time.Hour })
	r.run(hourly, func() bool { return r.last().Events >= 2000 })
	var sizes []uint64
	events := uint64(0)
	for _, s := range r.checkpoints() {
		c := r.opened(s)
		sizes, events = append(sizes, c.Events-events), c.Events
	}
	if len(sizes) != 3 || sizes[0] != 0 || sizes[1] != chain.MaxEvents || sizes[2] != chain.MaxEvents {
		t.Errorf("events of the checkpoints: %v", sizes)
	}
	r.run(r.service(), r.signedUpTo(last))
	before := r.last().Number
	r.run(r.service(), func() bool { return r.last().Number >= before+3 })
	if c := r.last(); c.Events != 2500 || c.Cause != "" {
		t.Errorf("%+v", c)
	}
	if got := r.verify(); got.Broken != 0 || got.Events != 2500 || got.Unsigned != 0 {
		t.Errorf("%+v", got)
	}
}

func (r *rig) opened(s chain.Signed) chain.Checkpoint {
	r.t.Helper()
	c := saying(r.t, s)
	if c.Number != s.Number {
		r.t.Fatalf("number %d lies at %d", c.Number, s.Number)
	}
	return c
}

// TestTwoCheckpointers: one that goes on though another was elected can't fork the chain.
func TestTwoCheckpointers(t *testing.T) {
	_, b := external(t)
	r := newRig(t, b)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var work sync.WaitGroup
	for range 3 {
		svc := r.service(func(c *audit.Config) { c.Interval = time.Millisecond })
		work.Go(func() {
			for ctx.Err() == nil {
				_ = svc.Run(ctx, func() {}) // says that another was faster
			}
		})
	}
	var last uint64
	for range 30 {
		last = r.store(50)
	}
	for tick := time.NewTicker(10 * time.Millisecond); !r.signedUpTo(last)(); <-tick.C {
		if ctx.Err() != nil {
			t.Fatal("not in time")
		}
	}
	cancel()
	work.Wait()
	if got := r.verify(); got.Broken != 0 || got.Events != 1500 {
		t.Errorf("%+v", got)
	}
	chains := map[string]bool{}
	for _, s := range r.checkpoints() {
		chains[r.opened(s).Chain] = true
	}
	if len(chains) != 1 {
		t.Errorf("%d chains", len(chains))
	}
}

// TestLedgerThatIsAnother: a ledger that isn't the one of the last checkpoint gets another chain, and the reason is in it and in the log.
func TestLedgerThatIsAnother(t *testing.T) {
	for _, tt := range []struct {
		name  string
		cause chain.Cause
		do    func(t *testing.T, r *rig, srv *natstest.Server, dir string, last uint64)
	}{
		{"made anew", chain.CauseReplaced, func(t *testing.T, r *rig, _ *natstest.Server, _ string, _ uint64) {
			if err := r.bus.JetStream().DeleteStream(t.Context(), bus.LedgerStream); err != nil {
				t.Fatal(err)
			}
			if err := r.bus.EnsureStreams(t.Context()); err != nil {
				t.Fatal(err)
			}
		}},
		{"put back", chain.CauseWentBack, func(t *testing.T, _ *rig, srv *natstest.Server, dir string, last uint64) {
			rewrite(t, srv, dir, bus.LedgerStream, func(s []natstest.Stored) []natstest.Stored { return s[:len(s)-2] })
		}},
		{"put back, and grown again", chain.CauseChanged, func(t *testing.T, r *rig, srv *natstest.Server, dir string, last uint64) {
			rewrite(t, srv, dir, bus.LedgerStream, func(s []natstest.Stored) []natstest.Stored { return s[:len(s)-2] })
			r.connected()
			r.store(5)
		}},
		{"without its last event", chain.CauseChanged, func(t *testing.T, r *rig, srv *natstest.Server, dir string, last uint64) {
			r.store(1)
			rewrite(t, srv, dir, bus.LedgerStream, func(s []natstest.Stored) []natstest.Stored { return append(s[:len(s)-2], s[len(s)-1]) })
		}},
		{"with a checkpoint of nobody", chain.CauseUnverified, func(t *testing.T, r *rig, _ *natstest.Server, _ string, _ uint64) {
			_, number, err := r.bus.LastCheckpoint(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := r.bus.AppendCheckpoint(t.Context(), []byte("eyJhbGciOiJub25lIn0.e30."), number); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			srv := natstest.Start(t, storeIn(dir))
			r := newRig(t, natstest.Open(t, bus.Config{URL: srv.URL()}))
			last := r.store(5)
			r.run(r.service(), r.signedUpTo(last))
			was := r.last().Chain
			tt.do(t, r, srv, dir, last)
			r.run(r.service(), func() bool { c := r.last(); return c.Chain != was && c.Number > 0 })
			begun := chain.Checkpoint{}
			for _, s := range r.checkpoints() {
				if c := saying(t, s); c.Chain != was && c.Cause != "" {
					begun = c
				}
			}
			if begun.Cause != tt.cause {
				t.Errorf("begun because %q, want %q", begun.Cause, tt.cause)
			}
			if said := r.log.String(); !strings.Contains(said, "level=error") || !strings.Contains(said, "curfew audit verify") {
				t.Errorf("the log says\n%s", said)
			}
			if got := r.verify(); got.Broken == 0 {
				t.Errorf("%+v", got)
			}
		})
	}
}

// TestWithoutNATS: it goes on once NATS is back, in the same chain.
func TestWithoutNATS(t *testing.T) {
	srv, b := external(t)
	r := newRig(t, b)
	last := r.store(5)
	svc := r.service(func(c *audit.Config) { c.Silence = 500 * time.Millisecond })
	r.run(svc, r.signedUpTo(last))
	was := r.last()
	ended := make(chan error, 1)
	go func() { ended <- svc.Run(t.Context(), func() {}) }()
	srv.Stop()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("it says nothing of the NATS that is away")
		}
	case <-time.After(30 * time.Second):
		t.Fatal("it goes on without NATS")
	}
	srv.Restart()
	r.run(svc, func() bool { return r.last().Number > was.Number+1 })
	if c := r.last(); c.Chain != was.Chain || r.verify().Broken != 0 {
		t.Errorf("%+v", c)
	}
}

// TestStreamThatForgets is refused.
func TestStreamThatForgets(t *testing.T) {
	b := natstest.Bus(t)
	spec := bus.AuditSpec(natstest.Config(t))
	spec.DenyDelete, spec.DenyPurge = false, false
	if _, err := b.JetStream().CreateStream(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	if err := b.EnsureAudit(t.Context()); err == nil || !strings.Contains(err.Error(), "deny delete") {
		t.Errorf("%v", err)
	}
	differ, err := b.Differences(t.Context())
	if err != nil || len(differ) == 0 || differ[0].Stream != bus.AuditStream {
		t.Errorf("%v, %v", differ, err)
	}
}
