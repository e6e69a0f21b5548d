package revocationnats_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationnats"
)

// first returns the stream's first position.
func (r *rig) first() uint64 {
	r.t.Helper()
	stream, err := r.js.Stream(r.t.Context(), "CURFEW")
	if err != nil {
		r.t.Fatal(err)
	}
	return stream.CachedInfo().State.FirstSeq
}

// brief is a replica's config for a stream that keeps events for keeps.
const keeps = 1500 * time.Millisecond

func brief(hooks revocation.Hooks) revocation.Config {
	return revocation.Config{MaxAge: time.Second, Leeway: keeps - time.Second, Hooks: hooks}
}

// Retention passes over the last event while it is followed, as in a deployment where nobody logs out for a month: that is no reason to doubt.
func TestRetentionPassesTheLastEventQuietly(t *testing.T) {
	r := newRig(t, quick)
	r.SetRetention(keeps)
	r.beats(20 * time.Millisecond)
	hook, lost, _ := lossOf(nil)
	replica := r.open(brief(revocation.Hooks{FeedLost: hook}))
	event := r.Publish(logout(1))
	waitFor(t, replica, event)
	before := replica.Status()
	eventually(t, "the event is gone", func() bool { return r.first() > event })
	// The feed looks at the stream twice since.
	asked, err := r.js.Conn().SubscribeSync("$JS.API.STREAM.INFO.CURFEW")
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := asked.NextMsg(patience); err != nil {
			t.Fatal(err)
		}
	}
	waitFor(t, replica, r.Beat())
	if s := replica.Status(); s.Stream != before.Stream || !s.Fresh || lost.Load() != 0 {
		t.Errorf("%+v and %d losses of the feed, want all as before: %+v", s, lost.Load(), before)
	}
}

// Retention passes over what a replica hadn't read because it was cut off.
func TestRetentionPassesThePosition(t *testing.T) {
	r := newRig(t, quick)
	r.SetRetention(keeps)
	stop := r.beats(20 * time.Millisecond)
	var synced atomic.Int64
	replica := r.open(brief(revocation.Hooks{Synced: func(uint64) { synced.Add(1) }}))
	waitFor(t, replica, r.Publish(logout(1)))
	r.Cut()
	gone := r.Publish(logout(2))
	eventually(t, "stale", func() bool { return replica.Status().Staleness > keeps })
	eventually(t, "the event is gone", func() bool { return r.first() > gone })
	stop()
	// Nothing is left but this, and no beat yet.
	last := r.Publish(logout(3))
	r.Heal()
	waitFor(t, replica, last)
	// Nothing was known until the rest was read.
	eventually(t, "synced once more", func() bool { return synced.Load() == 2 })
	if d := replica.Check(revocation.Session{ID: "3", User: "ada", AuthTime: time.Now()}); d.State != revocation.Revoked {
		t.Errorf("the session that was revoked last is %v (%v), want revoked", d.State, d.Cause)
	}
	waitFor(t, replica, r.Beat())
	if d := replica.Check(revocation.Session{ID: "4", User: "ada", AuthTime: time.Now()}); d.State != revocation.Active {
		t.Errorf("another session is %v (%v), want active", d.State, d.Cause)
	}
}

// The stream's retention is shortened under a running replica, which tells, and goes on; once it has missed something that is gone, it can't.
func TestRetentionIsShortened(t *testing.T) {
	r := newRig(t, quick)
	r.beats(20 * time.Millisecond)
	type told struct{ have, need time.Duration }
	short := make(chan told, 100)
	hook, _, changed := lossOf(revocationnats.ErrRetentionChanged)
	replica := r.open(revocation.Config{Hooks: revocation.Hooks{
		FeedLost: hook, RetentionShort: func(have, need time.Duration) { short <- told{have, need} },
	}})
	waitFor(t, replica, r.Publish(logout(1)))
	r.SetRetention(time.Hour)
	select {
	case got := <-short:
		if want := (told{time.Hour, revocation.DefaultMaxAge + revocation.DefaultLeeway}); got != want {
			t.Errorf("told %v, want %v", got, want)
		}
	case <-time.After(patience):
		t.Fatal("nobody is told")
	}
	waitFor(t, replica, r.Publish(logout(2)))
	r.proxy.Cut()
	waitFor(t, replica, r.Publish(logout(3)))
	if s := replica.Status(); !s.RetentionShort || !s.Fresh || len(short) != 0 || changed.Load() != 1 {
		t.Errorf("%+v, told %d times more, lost %d times because of it; want fresh, told once and lost once", s, len(short), changed.Load())
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	other := revocationnats.NewFeed(r.js, quick)
	if _, err := revocation.Open(ctx, revocation.Config{Feed: other}); !errors.Is(err, revocation.ErrRetention) {
		t.Errorf("Open = %v, want ErrRetention", err)
	}

	r.Cut()
	r.Expire(r.Publish(logout(4)))
	r.Heal()
	eventually(t, "refused", func() bool {
		s := replica.Status()
		return !s.Synced && errors.Is(s.LastError, revocation.ErrRetention)
	})
	if d := replica.Check(session(9)); !errors.Is(d.Cause, revocation.ErrNotSynced) {
		t.Errorf("%v (%v) after something was missed, want not synced", d.State, d.Cause)
	}
	r.SetRetention(0)
	eventually(t, "fresh again", func() bool { return replica.Check(session(9)).State == revocation.Active })
	if s := replica.Status(); s.RetentionShort {
		t.Errorf("%+v, want that the retention is long enough", s)
	}
	for n := 1; n <= 3; n++ {
		if d := replica.Check(session(n)); d.State != revocation.Revoked {
			t.Errorf("session %d is %v (%v), want revoked", n, d.State, d.Cause)
		}
	}
}
