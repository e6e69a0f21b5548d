package revocationnats_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/revocation"
)

func (r *rig) change(change func(*jetstream.StreamConfig)) {
	r.t.Helper()
	cfg := ledger()
	change(&cfg)
	if _, err := r.js.UpdateStream(r.t.Context(), cfg); err != nil {
		r.t.Fatal(err)
	}
}

// Retention isn't age alone: a stream that drops messages for lack of room, or all but the last of a topic, forgets live revocations too.
func TestStreamThatDropsIsRefused(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*jetstream.StreamConfig)
		// says is what the error names: the setting and the command. Empty: the stream is followed.
		says []string
	}{
		{"the oldest, by number", func(c *jetstream.StreamConfig) { c.MaxMsgs, c.Discard = 5, jetstream.DiscardOld },
			[]string{"discard policy old", "5 messages", "'nats stream edit CURFEW --discard=new --max-msgs=-1'"}},
		{"the oldest, by size", func(c *jetstream.StreamConfig) { c.MaxBytes, c.Discard = 2000, jetstream.DiscardOld },
			[]string{"discard policy old", "2000 bytes", "'nats stream edit CURFEW --discard=new'"}},
		{"all but one of a topic", func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 1 },
			[]string{"1 messages per topic", "'nats stream edit CURFEW --max-msgs-per-subject=-1'"}},
		{"all but one of a topic, and refuses when it is full", func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject, c.Discard = 1, jetstream.DiscardNew },
			[]string{"1 messages per topic"}},
		{"nothing, for it refuses when it is full", func(c *jetstream.StreamConfig) {
			c.MaxMsgs, c.MaxBytes, c.Discard = 1000, 1_000_000, jetstream.DiscardNew
		}, nil},
		{"nothing, for it refuses when a topic is full", func(c *jetstream.StreamConfig) {
			c.MaxMsgsPerSubject, c.DiscardNewPerSubject, c.Discard = 1000, true, jetstream.DiscardNew
		}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, quick)
			r.change(tt.change)
			r.Publish(logout(1))
			r.Beat()
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			replica, err := revocation.Open(ctx, revocation.Config{Feed: r.feed})
			if err == nil {
				_ = replica.Close()
			}
			if errors.Is(err, revocation.ErrRetention) != (tt.says != nil) {
				t.Fatalf("Open = %v, want ErrRetention: %t", err, tt.says != nil)
			}
			for _, word := range tt.says {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("Open = %v, want it to say %q", err, word)
				}
			}
		})
	}
	t.Run("what was read", func(t *testing.T) {
		r := newRig(t, quick)
		if err := r.js.DeleteStream(t.Context(), "CURFEW"); err != nil {
			t.Fatal(err)
		}
		cfg := ledger()
		cfg.Retention = jetstream.InterestPolicy
		r.create(cfg)
		if _, err := revocation.Open(t.Context(), revocation.Config{Feed: r.feed}); !errors.Is(err, revocation.ErrRetention) || !strings.Contains(err.Error(), "Interest") {
			t.Errorf("Open = %v, want ErrRetention because of the retention policy", err)
		}
	})
}

// A stream is made to drop under a running replica, and drops what that hasn't read because it was cut off: nothing tells that hole from beats that have
// expired. The replica says that it is stale, and why, until the stream is put right.
func TestStreamIsMadeToDrop(t *testing.T) {
	r := newRig(t, quick)
	const budget = 2 * time.Second
	refused := make(chan error, 1)
	replica := r.open(revocation.Config{StalenessBudget: budget, Hooks: revocation.Hooks{FeedLost: func(err error, _ time.Duration) {
		if errors.Is(err, revocation.ErrRetention) {
			select {
			case refused <- err:
			default:
			}
		}
	}}})
	r.beats(20 * time.Millisecond)
	waitFor(t, replica, r.Publish(logout(2)))
	r.Cut()
	event := r.Publish(logout(1))
	r.change(func(c *jetstream.StreamConfig) { c.MaxMsgs, c.Discard = 5, jetstream.DiscardOld })
	eventually(t, "the event is dropped", func() bool { return r.first() > event })
	r.Heal()
	eventually(t, "stale", func() bool { return errors.Is(replica.Check(session(1)).Cause, revocation.ErrStale) })
	select {
	case <-refused:
	case <-time.After(patience):
		t.Errorf("nobody is told why: %+v", replica.Status())
	}
	if d := replica.Check(session(2)); d.State != revocation.Revoked {
		t.Errorf("a session whose revocation it knows is %v, want revoked", d.State)
	}
	r.change(func(*jetstream.StreamConfig) {})
	eventually(t, "fresh again", func() bool { return replica.Check(session(3)).State == revocation.Active })
}

// The same while nothing else happens: the consumer would go on.
func TestWatchNoticesAStreamThatIsMadeToDrop(t *testing.T) {
	r := newRig(t, quick)
	hook, _, refused := lossOf(revocation.ErrRetention)
	replica := r.open(revocation.Config{Hooks: revocation.Hooks{FeedLost: hook}})
	r.beats(20 * time.Millisecond)
	waitFor(t, replica, r.Publish(logout(1)))
	r.change(func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 1000 })
	eventually(t, "the feed is lost", func() bool { return refused.Load() > 0 })
}
