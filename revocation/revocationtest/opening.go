package revocationtest

import (
	"context"
	"testing"

	"github.com/curfewhq/curfew/revocation"
)

// opening is an Open under way.
type opening struct {
	cancel context.CancelFunc
	// synced is sent where the replica was first synced.
	synced chan uint64
	done   chan struct{}
	// replica and err are Open's; read them after done.
	replica *revocation.Replica
	err     error
}

func startOpen(t *testing.T, feed revocation.Feed) *opening {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	o := &opening{cancel: cancel, synced: make(chan uint64, 1), done: make(chan struct{})}
	go func() {
		defer close(o.done)
		o.replica, o.err = revocation.Open(ctx, revocation.Config{Feed: feed, Hooks: revocation.Hooks{Synced: func(p uint64) {
			select {
			case o.synced <- p:
			default:
			}
		}}})
	}()
	t.Cleanup(func() {
		cancel()
		<-o.done
		if o.replica != nil {
			_ = o.replica.Close()
		}
	})
	return o
}

// waitSynced waits until the replica is synced, and returns at which position.
func (o *opening) waitSynced(t *testing.T) uint64 {
	t.Helper()
	select {
	case p := <-o.synced:
		return p
	case <-o.done:
		t.Fatalf("Open = %v before the replica was synced", o.err)
		return 0
	}
}

// wait waits for Open to return.
func (o *opening) wait(t *testing.T) (*revocation.Replica, error) {
	t.Helper()
	<-o.done // within patience, for its ctx ends then
	return o.replica, o.err
}

// open opens a replica of h, whose stream it gives a beat.
func open(t *testing.T, h Harness) *revocation.Replica {
	t.Helper()
	h.Beat()
	replica, err := startOpen(t, h.Feed()).wait(t)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return replica
}

// catchUp waits until the replica has applied the stream up to position.
func catchUp(t *testing.T, replica *revocation.Replica, position uint64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := replica.WaitFor(ctx, position); err != nil {
		t.Fatalf("WaitFor(%d) = %v; %+v", position, err, replica.Status())
	}
}

func checkRevoked(t *testing.T, replica *revocation.Replica, n int) {
	t.Helper()
	if d := replica.Check(session(n)); d.State != revocation.Revoked {
		t.Errorf("session %d is %v (%v), want revoked", n, d.State, d.Cause)
	}
}
