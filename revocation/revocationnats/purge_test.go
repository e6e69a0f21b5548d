package revocationnats_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationnats"
)

// lossOf returns a hook that counts losses of the feed, and how many there were because of err.
func lossOf(err error) (hook func(error, time.Duration), all, because *atomic.Int64) {
	all, because = &atomic.Int64{}, &atomic.Int64{}
	return func(lost error, _ time.Duration) {
		all.Add(1)
		if errors.Is(lost, err) {
			because.Add(1)
		}
	}, all, because
}

func (r *rig) purge(opts ...jetstream.StreamPurgeOpt) {
	r.t.Helper()
	stream, err := r.js.Stream(r.t.Context(), "CURFEW")
	if err != nil {
		r.t.Fatal(err)
	}
	if err := stream.Purge(r.t.Context(), opts...); err != nil {
		r.t.Fatal(err)
	}
}

// Somebody empties the stream: what was acknowledged is gone for whoever begins now. A replica keeps what it knows, but it doesn't carry on as
// if nothing had happened: it says so, and isn't fresh until it has read the stream anew.
func TestStreamIsPurged(t *testing.T) {
	for _, tt := range []struct {
		name string
		// cut: while the link is cut. beat: the last message before the purge is a beat.
		cut, beat bool
	}{
		{"after an event, while followed", false, false},
		{"after a beat, while followed", false, true},
		{"after an event, while cut off", true, false},
		{"after a beat, while cut off", true, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, quick)
			hook, _, replaced := lossOf(revocationnats.ErrReplaced)
			var synced atomic.Int64
			replica := r.open(revocation.Config{StalenessBudget: time.Minute, Hooks: revocation.Hooks{
				FeedLost: hook, Synced: func(uint64) { synced.Add(1) },
			}})
			waitFor(t, replica, r.Publish(logout(1)))
			if tt.beat {
				waitFor(t, replica, r.Beat())
			}
			before := replica.Status()
			if tt.cut {
				r.Cut()
				r.Publish(logout(2)) // gone before anybody has read it
			}
			r.purge()
			// Beats go on as if nothing had happened.
			r.beats(20 * time.Millisecond)
			r.Heal()
			eventually(t, "another incarnation, synced and fresh", func() bool {
				s := replica.Status()
				return s.Stream != before.Stream && s.Synced && s.Fresh
			})
			eventually(t, "synced once more", func() bool { return synced.Load() == 2 })
			if !tt.cut && replaced.Load() != 1 {
				t.Errorf("told %d times that the stream was replaced, want once", replaced.Load())
			}
			waitFor(t, replica, r.Publish(logout(3)))
			for n, want := range map[int]revocation.State{1: revocation.Revoked, 3: revocation.Revoked, 4: revocation.Active} {
				if d := replica.Check(session(n)); d.State != want {
					t.Errorf("session %d is %v (%v), want %v", n, d.State, d.Cause, want)
				}
			}
			// It settles.
			after := replica.Status().Stream
			r.proxy.Cut()
			waitFor(t, replica, r.Publish(logout(5)))
			if now := replica.Status().Stream; now != after {
				t.Errorf("the stream is %s after another loss of the link, was %s", now, after)
			}
		})
	}
}

// A stream that is made anew so that its positions go on where the old ones ended, or far behind, is another one all the same.
func TestStreamIsMadeAnewWithOtherPositions(t *testing.T) {
	for name, first := range map[string]uint64{"where the old ones ended": 0, "far behind": 1000} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, quick)
			var synced atomic.Int64
			replica := r.open(revocation.Config{StalenessBudget: time.Minute, Hooks: revocation.Hooks{Synced: func(uint64) { synced.Add(1) }}})
			last := r.Publish(logout(1))
			waitFor(t, replica, last)
			before := replica.Status()
			if err := r.js.DeleteStream(t.Context(), "CURFEW"); err != nil {
				t.Fatal(err)
			}
			cfg := ledger()
			if cfg.FirstSeq = first; first == 0 {
				cfg.FirstSeq = last + 1
			}
			r.create(cfg)
			if got := r.Publish(logout(2)); got != cfg.FirstSeq {
				t.Fatalf("stored at %d, want %d", got, cfg.FirstSeq)
			}
			r.beats(20 * time.Millisecond)
			eventually(t, "another incarnation, synced and fresh", func() bool {
				s := replica.Status()
				return s.Stream != before.Stream && s.Synced && s.Fresh
			})
			eventually(t, "synced once more", func() bool { return synced.Load() == 2 })
			for n, want := range map[int]revocation.State{1: revocation.Revoked, 2: revocation.Revoked, 3: revocation.Active} {
				if d := replica.Check(session(n)); d.State != want {
					t.Errorf("session %d is %v (%v), want %v", n, d.State, d.Cause, want)
				}
			}
		})
	}
}
