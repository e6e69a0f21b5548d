package revocation_test

import (
	"context"
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
		time.Sleep(time.Nanosecond)
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
		o := startOpen(t, feed, revocation.Config{})
		time.Sleep(time.Hour)
		synctest.Wait()
		o.wantUnopened("before it has read anything")
		feed.Resume()
		synctest.Wait()
		if !o.synced {
			t.Error("not synced with all that there is")
		}
		o.wantUnopened("with a beat that was stored an hour ago")
		feed.Beat()
		replica := o.wantOpened("with a beat of just now")
		checkState(t, replica, session(99), revocation.Revoked, nil)
		checkState(t, replica, session(100), revocation.Active, nil)
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
		// The old stream's last beat came a second ago and can't vouch for this one.
		if d := replica.Check(session(20)); !errors.Is(d.Cause, revocation.ErrStale) || d.Staleness >= 0 {
			t.Errorf("%v (%v) with staleness %v, want stale and no proof", d.State, d.Cause, d.Staleness)
		}
		feed.Beat()
		synctest.Wait()
		checkState(t, replica, session(20), revocation.Active, nil)
		checkState(t, replica, session(3), revocation.Revoked, nil)
		checkState(t, replica, session(11), revocation.Revoked, nil)
		if len(synced) != 2 || synced[0] != 0 || synced[1] != 2 {
			t.Errorf("synced at %v, want at 0 and then at 2", synced)
		}
	})
}

// Guarantees, section 5: a position names no incarnation. A replica that hasn't heard of the stream's being made anew takes the new one's positions for the old
// one's, which it has passed: for its budget at most. A position of the old stream lies ahead of the new one.
func TestPositionsNameNoIncarnation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := revocationtest.New()
		replica := open(t, feed, revocation.Config{})
		for n := range 5 {
			feed.Publish(logout(n))
		}
		old := feed.Beat()
		synctest.Wait()
		feed.Cut()
		feed.Recreate()
		position := feed.Publish(logout(10))
		passes := func() (revocation.Decision, error) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			err := replica.WaitFor(ctx, position)
			return replica.CheckWith(session(10), revocation.Require{Position: position}), err
		}
		if d, err := passes(); err != nil || d.State != revocation.Active {
			t.Errorf("a replica that knows the old stream only: %v because of %v, waited %v; guarantees say that it passes", d.State, d.Cause, err)
		}
		time.Sleep(revocation.DefaultStalenessBudget + 1)
		if d, err := passes(); err != nil || d.State != revocation.Undetermined {
			t.Errorf("after its budget: %v, waited %v", d.State, err)
		}
		feed.Heal()
		feed.Beat()
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if d, err := passes(); err != nil || d.State != revocation.Revoked {
			t.Errorf("once it has begun anew: %v because of %v, waited %v", d.State, d.Cause, err)
		}
		if d := replica.CheckWith(session(20), revocation.Require{Position: old}); !errors.Is(d.Cause, revocation.ErrBehind) {
			t.Errorf("a position of the old stream: %v because of %v, want behind", d.State, d.Cause)
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

// Guarantees, section 5: "the proof must travel the same path as the events, so that a half-open connection, a stuck consumer or a dead
// publisher can't look healthy". Whatever else happens, the replica is as stale as its last beat is old, and a restart doesn't help.
func TestSection5TheProofMustTravelTheSamePathAsTheEvents(t *testing.T) {
	broken := errors.New("broken")
	none := func(*revocationtest.Feed) {}
	for _, tt := range []struct {
		name string
		// first happens just after the last beat that arrives, and each every second then.
		first, each func(*revocationtest.Feed)
		// restarted is why a replica that is opened then isn't.
		restarted error
	}{
		{"a half-open connection", (*revocationtest.Feed).Stall, none, revocation.ErrNotSynced},
		{"a stuck consumer", (*revocationtest.Feed).Stall, func(f *revocationtest.Feed) { f.Publish(logout(1)); f.Beat() }, revocation.ErrNotSynced},
		{"a dead publisher", none, none, revocation.ErrNoBeat},
		{"a dead beat writer", none, func(f *revocationtest.Feed) { f.Publish(logout(1)) }, revocation.ErrNoBeat},
		{"what can't be read", none, func(f *revocationtest.Feed) { f.PublishRaw("curfew.v1.default.00.session", nil) }, revocation.ErrNoBeat},
		{"the head is reached again", none, func(f *revocationtest.Feed) { f.Break(broken) }, revocation.ErrNoBeat},
		{"a new head is reached again", none, func(f *revocationtest.Feed) { f.Publish(logout(1)); f.Break(broken) }, revocation.ErrNoBeat},
		{"a tail that was removed", none, func(f *revocationtest.Feed) { f.Publish(logout(1)); f.RemoveLast(); f.Break(broken) }, revocation.ErrNoBeat},
		{
			"a leader that has been cut off shows an old head", func(f *revocationtest.Feed) { f.Publish(logout(1)) },
			func(f *revocationtest.Feed) { f.Publish(logout(2)); f.PutBack(f.Last() - 1) }, revocation.ErrNoBeat,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				feed := revocationtest.New()
				replica := open(t, feed, revocation.Config{})
				time.Sleep(time.Second)
				feed.Beat()
				synctest.Wait()
				last := time.Now()
				tt.first(feed)
				for range 10 {
					time.Sleep(time.Second)
					tt.each(feed)
					synctest.Wait()
					if d := replica.Check(session(9)); d.Staleness >= 0 && d.Staleness < time.Since(last) {
						t.Fatalf("staleness %v, %v after the last beat", d.Staleness, time.Since(last))
					}
				}
				time.Sleep(time.Until(last.Add(revocation.DefaultStalenessBudget)))
				synctest.Wait()
				checkState(t, replica, session(9), revocation.Active, nil)
				time.Sleep(time.Nanosecond)
				synctest.Wait()
				checkState(t, replica, session(9), revocation.Undetermined, revocation.ErrStale)
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				if _, err := revocation.Open(ctx, revocation.Config{Feed: feed}); !errors.Is(err, tt.restarted) {
					t.Errorf("Open = %v after a restart, want %v", err, tt.restarted)
				}
				checkState(t, replica, session(9), revocation.Undetermined, revocation.ErrStale)
			})
		})
	}
}

// A beat of the old stream, however young, can't vouch for the new one. The head that the new one shows is no proof either.
func TestProofFromBeforeTheRecreationDoesNotVouchForTheNewStream(t *testing.T) {
	for _, tt := range []struct {
		name    string
		replace func(*revocationtest.Feed)
		// staleness is the age of what is left of the proof, a second later; negative if nothing is.
		staleness time.Duration
	}{
		{"made anew and empty", (*revocationtest.Feed).Recreate, -1},
		{"made anew with events", func(f *revocationtest.Feed) { f.Recreate(); f.Publish(logout(1)); f.Publish(logout(2)) }, -1},
		{"made anew with more than before", func(f *revocationtest.Feed) {
			f.Recreate()
			for range 10 {
				f.Publish(logout(1))
			}
		}, -1},
		// The beat of New comes again, and no younger.
		{"put back", func(f *revocationtest.Feed) { f.PutBack(2) }, 11 * time.Second},
		{"put back to the beginning", func(f *revocationtest.Feed) { f.PutBack(0) }, -1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				feed := revocationtest.New()
				replica := open(t, feed, revocation.Config{})
				feed.Publish(logout(1))
				time.Sleep(10 * time.Second)
				feed.Beat()
				synctest.Wait()
				checkState(t, replica, session(9), revocation.Active, nil)

				tt.replace(feed)
				time.Sleep(time.Second)
				synctest.Wait()
				s := replica.Status()
				if !s.Synced || s.Staleness != tt.staleness || s.Fresh != (tt.staleness >= 0) {
					t.Fatalf("status %+v, want synced and staleness %v", s, tt.staleness)
				}
				if tt.staleness >= 0 {
					return
				}
				checkState(t, replica, session(9), revocation.Undetermined, revocation.ErrStale)
				checkState(t, replica, session(1), revocation.Revoked, nil)
				// Neither time nor another head nor an old beat helps, and the old proof's date doesn't come back.
				feed.Break(errors.New("broken"))
				time.Sleep(time.Second)
				feed.BeatAt(time.Now().Add(-20 * time.Second))
				synctest.Wait()
				if d := replica.Check(session(9)); !errors.Is(d.Cause, revocation.ErrStale) || d.Staleness != 20*time.Second {
					t.Errorf("%v (%v) with staleness %v, want stale with 20s", d.State, d.Cause, d.Staleness)
				}
				feed.Beat()
				synctest.Wait()
				checkState(t, replica, session(9), revocation.Active, nil)
			})
		})
	}
}
