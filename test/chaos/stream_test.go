package chaos

import (
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/revocation"
)

func (r *rig) stream() jetstream.Stream {
	r.t.Helper()
	stream, err := r.js.Stream(r.t.Context(), "CURFEW")
	if err != nil {
		r.t.Fatal(err)
	}
	return stream
}

// An operator who may do everything tries to empty the ledger, or to allow that: the server refuses. That a stream is noticed that could be purged all
// the same is tested in revocation/revocationnats.
func TestLedgerCannotBePurged(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	stop := r.traffic()
	r.acknowledged(5)
	if err := r.stream().Purge(t.Context()); err == nil {
		t.Error("the ledger was purged")
	}
	if err := r.stream().DeleteMsg(t.Context(), 1); err == nil {
		t.Error("a message of the ledger was deleted")
	}
	cfg := r.stream().CachedInfo().Config
	cfg.DenyPurge, cfg.DenyDelete = false, false
	if _, err := r.js.UpdateStream(t.Context(), cfg); err == nil {
		t.Error("purging and deleting were allowed")
	}
	r.acknowledged(5)
	stop()
	r.auditor.nothingMissed()
}

// Trap 7: somebody deletes the ledger, and curfew serve makes it anew at its next start. Nothing of it is known until it has been read, and what the old
// one had said stays said.
func TestLedgerIsMadeAnew(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	stop := r.traffic()
	r.acknowledged(5)
	stop()
	r.auditor.nothingMissed()
	before := r.replica.Status().Stream
	if err := r.js.DeleteStream(t.Context(), "CURFEW"); err != nil {
		t.Fatal(err)
	}
	r.auditor.staleWithin(time.Now())
	r.serve.kill()
	r.serve = r.serve.successor()
	stop = r.traffic()
	r.acknowledged(5)
	stop()
	r.auditor.nothingMissed()
	if s := r.replica.Status(); s.Stream == before || r.synced.Load() != 2 {
		t.Errorf("synced %d times with %s, before that with %s; want twice, with another", r.synced.Load(), s.Stream, before)
	}
}

// Retention passes the position of a replica that is cut off. It begins anew, with what it knew.
func TestRetentionPassesThePosition(t *testing.T) {
	t.Parallel()
	var proxy *natstest.Proxy
	r := newRig(t, func(addr string) string {
		proxy = natstest.NewProxy(t, addr)
		return proxy.Addr()
	})
	stop := r.traffic()
	r.acknowledged(5)
	stop()
	r.auditor.nothingMissed()
	proxy.Stall()
	r.auditor.staleWithin(time.Now())
	position := r.replica.Status().Position
	// A month passes within a second.
	cfg := r.stream().CachedInfo().Config
	kept, window := cfg.MaxAge, cfg.Duplicates
	cfg.MaxAge, cfg.Duplicates = time.Second, time.Second
	if _, err := r.js.UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	eventually(t, "what the replica hasn't read is gone", func() bool { return r.stream().CachedInfo().State.FirstSeq > position+1 })
	cfg.MaxAge, cfg.Duplicates = kept, window
	if _, err := r.js.UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	proxy.Heal()
	stop = r.traffic()
	r.acknowledged(5)
	stop()
	r.auditor.nothingMissed()
	eventually(t, "synced once more", func() bool { return r.synced.Load() == 2 })
}

// The ledger's retention is shortened under a replica that has missed nothing: it goes on. Once it has missed something it can't, and says so.
func TestRetentionIsShortened(t *testing.T) {
	t.Parallel()
	var proxy *natstest.Proxy
	r := newRig(t, func(addr string) string {
		proxy = natstest.NewProxy(t, addr)
		return proxy.Addr()
	})
	stop := r.traffic()
	r.acknowledged(5)
	cfg := r.stream().CachedInfo().Config
	kept, window := cfg.MaxAge, cfg.Duplicates
	cfg.MaxAge, cfg.Duplicates = time.Second, time.Second
	if _, err := r.js.UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the replica knows", func() bool { return r.replica.Status().RetentionShort })
	r.acknowledged(5)
	stop()
	r.auditor.nothingMissed()

	position := r.replica.Status().Position
	proxy.Stall()
	eventually(t, "what the replica hasn't read is gone", func() bool { return r.stream().CachedInfo().State.FirstSeq > position+1 })
	proxy.Heal()
	eventually(t, "refused", func() bool {
		return errors.Is(r.replica.Check(sessionOf("nobody-revokes-it")).Cause, revocation.ErrNotSynced)
	})
	cfg.MaxAge, cfg.Duplicates = kept, window
	if _, err := r.js.UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	r.auditor.nothingMissed()
}
