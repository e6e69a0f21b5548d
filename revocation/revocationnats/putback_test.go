package revocationnats_test

import (
	"context"
	"errors"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationnats"
)

func copyDir(t *testing.T, to, from string) {
	t.Helper()
	if err := os.RemoveAll(to); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

// The server's folder is put back to a backup, and the stream has grown past the replica's position by the time that the replica is
// connected again: with the identity that it had, and other events at positions that the replica has read.
func TestStreamIsPutBackAndHasGrown(t *testing.T) {
	for _, tt := range []struct {
		name string
		// kept and lost are stored before the backup and after it; false is a beat.
		kept, lost []bool
		// gone: what lies at the replica's position now was removed.
		gone bool
		// again: the feed can tell, and the replica begins again. Otherwise it goes on where the feed knows that nothing has changed.
		again bool
	}{
		{name: "the last message was an event", kept: []bool{true}, lost: []bool{false, true}, again: true},
		{name: "and is gone", kept: []bool{true}, lost: []bool{false, true}, gone: true, again: true},
		{name: "the last message was a beat", kept: []bool{true}, lost: []bool{true, false, false}, again: true},
		{name: "and is gone, the last event was lost", kept: []bool{true}, lost: []bool{true, false, false}, gone: true, again: true},
		{name: "and is gone, the last event was kept", kept: []bool{true, false}, lost: []bool{false, false, false}, gone: true},
		{name: "and is gone, there was no event", kept: []bool{false}, lost: []bool{false, false}, gone: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir, backup := t.TempDir(), t.TempDir()
			r := newRig(t, quick, natstest.With(func(o *server.Options) { o.StoreDir = dir }))
			replica := r.open(revocation.Config{StalenessBudget: time.Minute})
			// Sessions from 10 on are those that are known to be over, and session 1 is what was revoked in the rewritten range.
			over := 10
			store := func(list []bool) (last uint64) {
				for _, event := range list {
					if event {
						last = r.Publish(logout(over))
						over++
					} else {
						last = r.Beat()
					}
				}
				return last
			}
			waitFor(t, replica, store(tt.kept))
			r.srv.Stop()
			copyDir(t, backup, dir)
			r.srv.Restart()
			position := store(tt.lost)
			waitFor(t, replica, position)
			before := replica.Status()
			r.Cut()
			r.srv.Stop()
			copyDir(t, dir, backup)
			r.srv.Restart()
			rewritten := r.Publish(logout(1))
			last := r.Publish(logout(over))
			for last <= position+2 {
				last = r.Publish(logout(over))
			}
			if rewritten > position {
				t.Fatalf("stored at %d, want at most %d", rewritten, position)
			}
			if tt.gone {
				stream, err := r.js.Stream(t.Context(), "CURFEW")
				if err != nil {
					t.Fatal(err)
				}
				if position == rewritten {
					t.Fatalf("the event at %d is what the test is about", position)
				}
				if err := stream.DeleteMsg(t.Context(), position); err != nil {
					t.Fatal(err)
				}
			}
			var freshTooEarly atomic.Bool
			defer replica.OnApplied(func(a revocation.Applied) {
				if s := replica.Status(); tt.again && a.Position < last && (s.Fresh || replica.Check(session(99)).State == revocation.Active) {
					freshTooEarly.Store(true)
				}
			})()
			r.Heal()
			eventually(t, "the session is over that was revoked in the rewritten range", func() bool {
				return replica.Check(session(1)).State == revocation.Revoked
			})
			waitFor(t, replica, last)
			waitFor(t, replica, r.Beat())
			s := replica.Status()
			if !s.Fresh || (s.Stream != before.Stream) != tt.again {
				t.Errorf("fresh %t, stream %s and before %s; want fresh, begun again: %t", s.Fresh, s.Stream, before.Stream, tt.again)
			}
			if freshTooEarly.Load() {
				t.Error("fresh, or a session active, before the stream was read again")
			}
			for n := 10; n <= over; n++ {
				if d := replica.Check(session(n)); d.State != revocation.Revoked {
					t.Errorf("session %d is %v, want revoked for good", n, d.State)
				}
			}
			// It settles: what was read again is compared with itself from now on.
			r.proxy.Cut()
			waitFor(t, replica, r.Publish(logout(2)))
			if now := replica.Status().Stream; now != s.Stream {
				t.Errorf("the stream is %s after another loss of the link, was %s", now, s.Stream)
			}
		})
	}
}

// A leader that can't be asked whether the stream was put back is no reason to believe that it wasn't.
func TestFeedDoesNotGoOnUnasked(t *testing.T) {
	r := newRigWithout(t, "$JS.API.STREAM.MSG.GET.>")
	lost := make(chan error, 100)
	replica := r.open(revocation.Config{Hooks: revocation.Hooks{FeedLost: func(err error, _ time.Duration) { lost <- err }}})
	told := func(want error) {
		t.Helper()
		eventually(t, "lost because of "+want.Error(), func() bool {
			select {
			case err := <-lost:
				return errors.Is(err, want)
			default:
				return false
			}
		})
	}
	told(revocationnats.ErrQuiet) // it follows again
	position := r.Publish(logout(1))
	told(context.DeadlineExceeded)
	if s := replica.Status(); s.Position >= position {
		t.Errorf("went on to %d without asking", s.Position)
	}
}

// Whoever may write to the stream past curfew's own publisher could keep a tenant from signing in for ever.
func TestCutoffInTheFutureIsSkipped(t *testing.T) {
	r := newRig(t, quick)
	skipped := make(chan error, 10)
	replica := r.open(revocation.Config{Hooks: revocation.Hooks{Skipped: func(_ uint64, err error) { skipped <- err }}})
	far := func(n int) time.Time {
		return time.Now().Add(revocation.MaxCutoffAhead + time.Duration(n)*time.Minute)
	}
	for i, e := range []events.Event{
		&events.TenantLoggedOut{Common: logout(1).Common, Cutoff: far(1)},
		&events.UserLoggedOutEverywhere{Common: logout(2).Common, User: "ada", Cutoff: far(1), KnownSessions: []string{"1"}},
		&events.DeviceLoggedOut{Common: logout(3).Common, Device: "phone", Cutoff: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)},
		&events.ClientLoggedOut{Common: logout(4).Common, Client: "app", Cutoff: far(10)},
	} {
		waitFor(t, replica, r.Publish(e))
		if err := <-skipped; !errors.Is(err, revocation.ErrCutoffInFuture) {
			t.Errorf("skipped because of %v, want revocation.ErrCutoffInFuture", err)
		}
		if s := replica.Status(); s.Skipped != uint64(i+1) || s.Cutoffs+s.Sessions != 0 {
			t.Errorf("%d skipped, %d cutoffs and %d sessions; want %d skipped and nothing applied", s.Skipped, s.Cutoffs, s.Sessions, i+1)
		}
	}
	waitFor(t, replica, r.Publish(&events.TenantLoggedOut{Common: logout(5).Common, Cutoff: far(-1)}))
	if d := replica.Check(session(1)); d.State != revocation.Revoked || d.Scope != revocation.ScopeTenant {
		t.Errorf("%v by %q, want revoked: clocks may be off", d.State, d.Scope)
	}
}
