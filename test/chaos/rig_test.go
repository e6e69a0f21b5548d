package chaos

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationnats"
)

// feedConfig is a feed's for beats as tight has them, as curfew serve sets it.
var feedConfig = revocationnats.Config{BeatTimeout: 3 * beat, ClockInterval: time.Second}

// rig is one NATS server, curfew serve that writes beats and takes revocations, and an embedder's replica with the shortest budget. All but the
// replica are processes of their own.
type rig struct {
	t       *testing.T
	node    *node
	serve   *instance
	replica *revocation.Replica
	auditor *auditor
	// js goes past whatever link the replica has.
	js jetstream.JetStream
	// synced counts how often the replica was.
	synced atomic.Int64
	// next is the number of the next session that traffic revokes. Only its goroutine touches it, and there is one at a time.
	next int
}

// newRig returns a rig whose replica is fresh. link returns the address at which the replica finds the server; nil is the server's own.
func newRig(t *testing.T, link func(addr string) string) *rig {
	t.Helper()
	r := &rig{t: t, node: newNode(t)}
	r.serve = serve(t, r.node.url(), append([]string{"--roles", "publisher"}, tight...)...)
	r.js = connect(t, r.node.url())
	addr := r.node.addr()
	if link != nil {
		addr = link(addr)
	}
	r.replica = open(t, revocation.Config{
		Feed: revocationnats.NewFeed(connect(t, "nats://"+addr), feedConfig), StalenessBudget: budget,
		Hooks: revocation.Hooks{Synced: func(uint64) { r.synced.Add(1) }},
	})
	r.auditor = audit(t, r.replica, budget)
	r.auditor.fresh()
	return r
}

// traffic revokes session after session through curfew serve, until stop is called or the test ends. One that isn't acknowledged is tried again, as
// a careful caller does.
func (r *rig) traffic() (stop func()) {
	ctx, cancel := context.WithCancel(r.t.Context())
	var caller sync.WaitGroup
	caller.Go(func() {
		pause := time.NewTicker(20 * time.Millisecond)
		defer pause.Stop()
		for ctx.Err() == nil {
			try, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
			_, err := r.serve.revoke(try, numbered(r.next))
			cancel()
			if err == nil {
				r.auditor.revoked(numbered(r.next))
				r.next++
			}
			select {
			case <-ctx.Done():
			case <-pause.C:
			}
		}
	})
	stop = sync.OnceFunc(func() { cancel(); caller.Wait() })
	r.t.Cleanup(stop)
	return stop
}

// acknowledged waits until so many more revocations are acknowledged.
func (r *rig) acknowledged(more int) {
	r.t.Helper()
	want := r.auditor.revocations() + more
	eventually(r.t, "more revocations are acknowledged", func() bool { return r.auditor.revocations() >= want })
}

// suffers breaks something, waits for the replica to be stale in time, heals, and waits until the replica is fresh and has missed nothing. It returns
// how long that took after healing.
func (r *rig) suffers(fault, heal func()) time.Duration {
	r.t.Helper()
	stop := r.traffic()
	r.acknowledged(5)
	r.auditor.fresh()
	fault()
	r.auditor.staleWithin(time.Now())
	heal()
	healed := time.Now()
	r.auditor.fresh()
	took := time.Since(healed)
	r.acknowledged(5)
	stop()
	r.auditor.nothingMissed()
	if n := r.auditor.counted()[revocation.Active]; n == 0 {
		r.t.Error("nobody was ever let in: the test shows nothing")
	}
	return took
}
