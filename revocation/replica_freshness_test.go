package revocation_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationtest"
)

// Trap 9: silence makes stale, exactly after the budget, and what is revoked stays revoked.
func TestTrap9BeatsStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := revocationtest.New()
		feed.AutoBeat(time.Second)
		replica := open(t, feed, revocation.Config{})
		feed.Publish(logout(1))
		time.Sleep(10 * time.Second)
		synctest.Wait()
		feed.AutoBeat(0) // the last beat came just now
		checkState(t, replica, session(2), revocation.Active, nil)
		time.Sleep(revocation.DefaultStalenessBudget)
		synctest.Wait()
		checkState(t, replica, session(2), revocation.Active, nil)
		time.Sleep(1)
		synctest.Wait()
		checkState(t, replica, session(2), revocation.Undetermined, revocation.ErrStale)
		checkState(t, replica, session(1), revocation.Revoked, nil)
		if s := replica.Status(); s.Fresh || !s.Synced {
			t.Errorf("status %+v, want synced and not fresh", s)
		}
		// An event proves nothing: somebody else's may still be missing.
		feed.Publish(logout(3))
		synctest.Wait()
		checkState(t, replica, session(2), revocation.Undetermined, revocation.ErrStale)
		checkState(t, replica, session(3), revocation.Revoked, nil)
		feed.Beat()
		synctest.Wait()
		checkState(t, replica, session(2), revocation.Active, nil)
	})
}

func TestRoutesHaveBudgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := revocationtest.New()
		replica := open(t, feed, revocation.Config{StalenessBudget: time.Minute})
		feed.Beat()
		synctest.Wait()
		for _, tt := range []struct {
			after        time.Duration
			short, whole revocation.State
		}{
			{3 * time.Second, revocation.Active, revocation.Active},
			{1, revocation.Undetermined, revocation.Active},
			{57*time.Second - 1, revocation.Undetermined, revocation.Active},
			{1, revocation.Undetermined, revocation.Undetermined},
		} {
			time.Sleep(tt.after)
			synctest.Wait()
			short := replica.CheckWith(session(1), revocation.Require{MaxStaleness: 3 * time.Second})
			// A route can ask for less than the replica's budget and never for more.
			whole := replica.CheckWith(session(1), revocation.Require{MaxStaleness: time.Hour})
			if short.State != tt.short || whole.State != tt.whole || replica.Check(session(1)).State != tt.whole {
				t.Errorf("at %v: %v with 3 s, %v with an hour; want %v and %v", whole.Staleness, short.State, whole.State, tt.short, tt.whole)
			}
		}
	})
}

func TestOldBeatIsNoProof(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := revocationtest.New()
		replica := open(t, feed, revocation.Config{})
		time.Sleep(time.Minute)
		synctest.Wait()
		feed.BeatAt(time.Now().Add(-20 * time.Second))
		synctest.Wait()
		if d := replica.Check(session(1)); d.State != revocation.Undetermined || d.Staleness != 20*time.Second {
			t.Errorf("%v with staleness %v, want undetermined with 20s", d.State, d.Staleness)
		}
		feed.BeatAt(time.Now().Add(time.Hour))
		synctest.Wait()
		if d := replica.Check(session(1)); d.State != revocation.Active || d.Staleness != 0 {
			t.Errorf("%v with staleness %v, want active with 0: a date in the future counts as now", d.State, d.Staleness)
		}
	})
}

// Trap 10: a lost feed is followed again, and the loss is told.
func TestTrap10FeedLostIsFollowedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := revocationtest.New()
		feed.AutoBeat(time.Second)
		type loss struct {
			err   error
			pause time.Duration
			at    time.Time
		}
		var losses []loss
		replica := open(t, feed, revocation.Config{Hooks: revocation.Hooks{FeedLost: func(err error, pause time.Duration) {
			losses = append(losses, loss{err, pause, time.Now()})
		}}})
		time.Sleep(10 * time.Second)
		synctest.Wait()
		feed.Cut()
		feed.Publish(logout(1))
		time.Sleep(revocation.DefaultStalenessBudget + time.Second + 1)
		synctest.Wait()
		checkState(t, replica, session(2), revocation.Undetermined, revocation.ErrStale)
		if s := replica.Status(); !errors.Is(s.LastError, revocationtest.ErrCut) {
			t.Errorf("last error %v, want the feed's", s.LastError)
		}
		for i, l := range losses {
			if !errors.Is(l.err, revocationtest.ErrCut) || l.pause < 50*time.Millisecond || l.pause > 2050*time.Millisecond {
				t.Errorf("loss %d: %v, followed again in %v", i, l.err, l.pause)
			}
			if i > 0 && l.at.Sub(losses[i-1].at) != losses[i-1].pause {
				t.Errorf("followed again after %v, but told %v", l.at.Sub(losses[i-1].at), losses[i-1].pause)
			}
		}
		// 16 seconds with pauses that double up to 2 s on average half of that: far from a busy loop, and still trying.
		if n := len(losses); n < 8 || n > 60 {
			t.Errorf("tried %d times in 16 s", n)
		}
		feed.Heal()
		time.Sleep(3 * time.Second)
		synctest.Wait()
		checkState(t, replica, session(1), revocation.Revoked, nil)
		checkState(t, replica, session(2), revocation.Active, nil)
	})
}

// Trap 7: an empty replica knows nothing, rather than that nobody is revoked.
func TestTrap7ColdStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := revocationtest.New()
		for n := range 100 {
			feed.Publish(logout(n))
		}
		feed.Stall()
		opened := make(chan *revocation.Replica, 1)
		go func() {
			replica, err := revocation.Open(t.Context(), revocation.Config{Feed: feed})
			if err != nil {
				t.Error(err)
			}
			opened <- replica
		}()
		time.Sleep(time.Hour)
		synctest.Wait()
		select {
		case <-opened:
			t.Fatal("opened before it has read anything")
		default:
		}
		feed.Resume()
		replica := <-opened
		defer replica.Close()
		checkState(t, replica, session(99), revocation.Revoked, nil)
		// The head was asked for an hour ago: what it proves is an hour old.
		if d := replica.Check(session(100)); !errors.Is(d.Cause, revocation.ErrStale) || d.Staleness != time.Hour {
			t.Errorf("%v (%v) with staleness %v, want stale by an hour", d.State, d.Cause, d.Staleness)
		}
	})
}

// Traps 7 and 9: a stream that was made anew says nothing about what the old one revoked, and nothing is known of it until it is read.
func TestStreamMadeAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := revocationtest.New()
		var synced []uint64
		replica := open(t, feed, revocation.Config{Hooks: revocation.Hooks{Synced: func(p uint64) { synced = append(synced, p) }}})
		for n := range 5 {
			feed.Publish(logout(n))
		}
		feed.Beat()
		synctest.Wait()
		before := replica.Status()

		feed.Recreate()
		feed.Publish(logout(10))
		feed.Publish(logout(11))
		feed.Stall() // it is followed again, and gives nothing
		time.Sleep(time.Second)
		synctest.Wait()
		checkState(t, replica, session(20), revocation.Undetermined, revocation.ErrNotSynced)
		checkState(t, replica, session(3), revocation.Revoked, nil)
		if s := replica.Status(); s.Synced || s.Fresh || s.Position != 0 || s.Head != 2 || s.Stream == before.Stream {
			t.Errorf("status %+v, want not synced at 0 of 2 of another stream", s)
		}
		feed.Resume()
		synctest.Wait()
		checkState(t, replica, session(20), revocation.Active, nil)
		checkState(t, replica, session(3), revocation.Revoked, nil)
		checkState(t, replica, session(11), revocation.Revoked, nil)
		if len(synced) != 2 || synced[0] != 0 || synced[1] != 2 {
			t.Errorf("synced at %v, want at 0 and then at 2", synced)
		}
	})
}

// A head before what was applied of the same stream is a backup's, or that of a leader who has been cut off: all of it is read again, and
// only a beat is proof.
func TestHeadThatLiesBeforeWhatWasAppliedProvesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := revocationtest.New()
		replica := open(t, feed, revocation.Config{})
		for n := range 5 {
			feed.Publish(logout(n))
		}
		synctest.Wait()
		time.Sleep(revocation.DefaultStalenessBudget)
		synctest.Wait()
		feed.PutBack(3)
		time.Sleep(time.Second)
		synctest.Wait()
		if s := replica.Status(); s.Position != 3 || !s.Synced || s.Sessions != 5 {
			t.Errorf("status %+v, want synced at 3 with all 5 sessions", s)
		}
		checkState(t, replica, session(20), revocation.Undetermined, revocation.ErrStale)
		// Not even if it is asked again and says the same.
		feed.Break(errors.New("broken"))
		time.Sleep(time.Second)
		synctest.Wait()
		checkState(t, replica, session(20), revocation.Undetermined, revocation.ErrStale)
		feed.Beat()
		synctest.Wait()
		checkState(t, replica, session(20), revocation.Active, nil)
	})
}
