package revocation_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationtest"
)

// need is what the tests' replicas need the stream to keep events for.
const need = revocation.DefaultMaxAge + revocation.DefaultLeeway

// episodes counts what RetentionShort tells, and how often the replica was synced.
type episodes struct {
	t      *testing.T
	short  int
	synced int
}

func (e *episodes) hooks() revocation.Hooks {
	return revocation.Hooks{
		Synced: func(uint64) { e.synced++ },
		RetentionShort: func(have, want time.Duration) {
			e.short++
			if have != time.Hour || want != need {
				e.t.Errorf("told %v and %v, want 1h0m0s and %v", have, want, need)
			}
		},
	}
}

func (e *episodes) want(what string, short, synced int) {
	e.t.Helper()
	if e.short != short || e.synced != synced {
		e.t.Errorf("%s: told of a short retention %d times and synced %d times, want %d and %d", what, e.short, e.synced, short, synced)
	}
}

// Trap 12: the stream's retention is shortened under a replica that has missed nothing. It mustn't turn everybody away for that; but it tells,
// once, and whoever begins anew is refused.
func TestTrap12RetentionIsShortenedLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := revocationtest.New()
		feed.AutoBeat(time.Second)
		e := &episodes{t: t}
		replica := open(t, feed, revocation.Config{Hooks: e.hooks()})
		feed.Publish(logout(1))
		synctest.Wait()
		e.want("at first", 0, 1)

		feed.SetRetention(time.Hour)
		time.Sleep(revocation.DefaultStalenessBudget * 2)
		synctest.Wait()
		checkState(t, replica, session(1), revocation.Revoked, nil)
		checkState(t, replica, session(2), revocation.Active, nil)
		if s := replica.Status(); !s.RetentionShort || !s.Fresh {
			t.Errorf("%+v, want fresh, and that the retention is short", s)
		}
		// Neither another look at the stream nor a broken feed tells it again, and what comes is applied as before.
		feed.Break(errors.New("broken"))
		time.Sleep(time.Minute)
		feed.Publish(logout(2))
		synctest.Wait()
		checkState(t, replica, session(2), revocation.Revoked, nil)
		e.want("once shortened", 1, 1)
		if _, err := revocation.Open(t.Context(), revocation.Config{Feed: feed}); !errors.Is(err, revocation.ErrRetention) {
			t.Errorf("Open = %v, want ErrRetention", err)
		}

		feed.SetRetention(need)
		time.Sleep(time.Second)
		synctest.Wait()
		if s := replica.Status(); s.RetentionShort || !s.Fresh {
			t.Errorf("%+v, want fresh, and that the retention is long enough again", s)
		}
		feed.SetRetention(time.Hour)
		time.Sleep(time.Second)
		synctest.Wait()
		e.want("shortened again", 2, 1)
	})
}

// A stream that forgets too early and has forgotten what the replica hadn't read: nobody knows what that was.
func TestShortRetentionHasPassedThePosition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := revocationtest.New()
		feed.AutoBeat(time.Second)
		e := &episodes{t: t}
		replica := open(t, feed, revocation.Config{StalenessBudget: time.Hour, Hooks: e.hooks()})
		feed.Publish(logout(1))
		synctest.Wait()
		feed.Cut()
		feed.SetRetention(time.Hour)
		gone := feed.Publish(logout(2))
		feed.Expire(gone)
		feed.Publish(logout(3))
		feed.Heal()
		time.Sleep(time.Minute)
		synctest.Wait()
		checkState(t, replica, session(1), revocation.Revoked, nil)
		checkState(t, replica, session(2), revocation.Undetermined, revocation.ErrNotSynced)
		if s := replica.Status(); s.Synced || !errors.Is(s.LastError, revocation.ErrRetention) {
			t.Errorf("%+v, want not synced because of ErrRetention", s)
		}
		e.want("gone", 1, 1)

		feed.SetRetention(need)
		time.Sleep(time.Minute)
		synctest.Wait()
		checkState(t, replica, session(1), revocation.Revoked, nil)
		checkState(t, replica, session(3), revocation.Revoked, nil)
		checkState(t, replica, session(4), revocation.Active, nil)
		e.want("long enough again", 1, 2)
	})
}

// Retention that is long enough has passed the position of a replica that was away: what is gone doesn't matter any more, but nothing is known
// until the rest has been read.
func TestRetentionHasPassedThePosition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := revocationtest.New()
		feed.AutoBeat(time.Second)
		e := &episodes{t: t}
		replica := open(t, feed, revocation.Config{StalenessBudget: time.Hour, Hooks: e.hooks()})
		feed.Publish(logout(1))
		synctest.Wait()
		before := replica.Status()
		feed.Cut()
		gone := feed.Publish(logout(2))
		last := feed.Publish(logout(3))
		feed.Stall() // so that it begins, and reads nothing
		feed.Heal()
		time.Sleep(time.Minute)
		synctest.Wait()
		checkState(t, replica, session(4), revocation.Active, nil) // nothing is gone yet: its proof is a minute old
		feed.Break(errors.New("broken"))
		feed.Expire(gone)
		time.Sleep(time.Minute)
		synctest.Wait()
		checkState(t, replica, session(1), revocation.Revoked, nil)
		checkState(t, replica, session(4), revocation.Undetermined, revocation.ErrNotSynced)
		if s := replica.Status(); s.Stream != before.Stream || s.Sessions != 1 || s.Position != before.Position {
			t.Errorf("%+v, want what it was before: %+v", s, before)
		}
		feed.Resume()
		synctest.Wait()
		checkState(t, replica, session(3), revocation.Revoked, nil)
		if s := replica.Status(); !s.Synced || s.Position < last {
			t.Errorf("%+v, want synced at %d or later", s, last)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		checkState(t, replica, session(4), revocation.Active, nil)
		e.want("read to the end", 0, 2)
	})
}
