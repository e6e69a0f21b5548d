package revocation_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationtest"
)

func TestConfigTellsAllFaults(t *testing.T) {
	_, err := revocation.Open(t.Context(), revocation.Config{
		MaxAge: -1, Leeway: -1, StalenessBudget: -1, SweepInterval: -1, SnapshotInterval: -1, Snapshots: []revocation.Snapshots{nil},
	})
	for _, want := range []string{"Feed", "MaxAge", "Leeway", "StalenessBudget", "SweepInterval", "SnapshotInterval", "Snapshots"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Open = %v, want it to name %s", err, want)
		}
	}
	const century = 100 * 365 * 24 * time.Hour
	_, err = revocation.Open(t.Context(), revocation.Config{
		Feed: revocationtest.New(), MaxAge: century + 1, Leeway: century + 1, SweepInterval: century, SnapshotInterval: century,
	})
	for _, want := range []string{"MaxAge", "Leeway", "SweepInterval", "SnapshotInterval"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Open = %v, want it to name %s", err, want)
		}
	}
}

func TestOpenEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := revocationtest.New()
		feed.Cut()
		deploy := errors.New("deploy is over")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Minute, func() { cancel(deploy) })
		began := time.Now()
		_, err := revocation.Open(ctx, revocation.Config{Feed: feed})
		if !errors.Is(err, deploy) || !errors.Is(err, revocationtest.ErrCut) || time.Since(began) != time.Minute {
			t.Errorf("Open = %v after %v, want ctx's cause and the feed's after 1m", err, time.Since(began))
		}
		if !errors.Is(err, revocation.ErrNotSynced) || errors.Is(err, revocation.ErrNoBeat) {
			t.Errorf("Open = %v, want it to say that the replica isn't synced, and nothing of beats", err)
		}
		// The bubble fails if anything is left running.
	})
}

// ctx bounds the opening, not what was opened.
func TestOpenOutlivesItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := revocationtest.New()
		ctx, cancel := context.WithCancel(t.Context())
		replica, err := revocation.Open(ctx, revocation.Config{Feed: feed})
		if err != nil {
			t.Fatal(err)
		}
		defer replica.Close()
		cancel()
		synctest.Wait()
		if err := replica.WaitFor(t.Context(), feed.Publish(logout(1))); err != nil {
			t.Error(err)
		}
	})
}

// Trap 12: a stream that forgets before sessions reach max age is refused, with what to do.
func TestTrap12RetentionIsRefused(t *testing.T) {
	for _, tt := range []struct {
		name      string
		retention time.Duration
		want      error
	}{
		{"for ever", 0, nil},
		{"just long enough", time.Hour + time.Minute, nil},
		{"leeway is missing", time.Hour + time.Minute - 1, revocation.ErrRetention},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				feed := revocationtest.New()
				feed.SetRetention(tt.retention)
				replica, err := revocation.Open(t.Context(), revocation.Config{Feed: feed, MaxAge: time.Hour, Leeway: time.Minute})
				if !errors.Is(err, tt.want) {
					t.Errorf("Open = %v, want %v", err, tt.want)
				}
				if err != nil && !strings.Contains(err.Error(), "1h1m0s") {
					t.Errorf("%q doesn't say how long is needed", err)
				}
				if replica != nil {
					_ = replica.Close()
				}
			})
		})
	}
}

func TestCloseIsIdempotentAndEndsEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := revocationtest.New()
		replica := open(t, feed, revocation.Config{})
		feed.Publish(logout(1))
		waited := make(chan error, 3)
		for range 3 {
			go func() { waited <- replica.WaitFor(context.Background(), 99) }()
		}
		synctest.Wait()
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() {
				if err := replica.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		for range 3 {
			if err := <-waited; !errors.Is(err, revocation.ErrClosed) {
				t.Errorf("WaitFor = %v, want ErrClosed", err)
			}
		}
		if err := replica.WaitFor(t.Context(), 99); !errors.Is(err, revocation.ErrClosed) {
			t.Errorf("WaitFor after Close = %v, want ErrClosed", err)
		}
		checkState(t, replica, session(1), revocation.Revoked, nil)
		checkState(t, replica, session(2), revocation.Undetermined, revocation.ErrClosed)
		if replica.Status().Fresh {
			t.Error("fresh after Close")
		}
		// The bubble fails if anything is left running.
	})
}

func TestWaitForWakesExactlyWhoIsReached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := revocationtest.New()
		replica := open(t, feed, revocation.Config{})
		const n = 50
		base := feed.Last() // the beat of New
		woken := make([]atomic.Int32, n+1)
		for p := 1; p <= n; p++ {
			for range 2 {
				go func() {
					if err := replica.WaitFor(t.Context(), base+uint64(p)); err != nil {
						t.Error(err)
					}
					if d := replica.Check(session(p)); d.State != revocation.Revoked {
						t.Errorf("position %d was reached without its event", p)
					}
					woken[p].Add(1)
				}()
				synctest.Wait()
			}
		}
		for p := 1; p <= n; p++ {
			if got := feed.Publish(logout(p)); got != base+uint64(p) {
				t.Fatalf("position %d, want %d", got, base+uint64(p))
			}
			synctest.Wait()
			for q := range woken {
				want := int32(0)
				if 1 <= q && q <= p {
					want = 2
				}
				if got := woken[q].Load(); got != want {
					t.Fatalf("at %d: %d of those who wait for %d are woken, want %d", p, got, q, want)
				}
			}
		}
	})
}

func TestWaitForEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := revocationtest.New()
		replica := open(t, feed, revocation.Config{})
		late := errors.New("too late")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, late)
		defer cancel()
		if err := replica.WaitFor(ctx, feed.Last()+1); !errors.Is(err, late) {
			t.Errorf("WaitFor = %v, want ctx's cause", err)
		}
		if err := replica.WaitFor(ctx, feed.Last()); err != nil {
			t.Errorf("WaitFor(%d) = %v, want nil: it is reached", feed.Last(), err)
		}
		if err := replica.WaitFor(ctx, 0); err != nil {
			t.Errorf("WaitFor(0) = %v, want nil: it is reached", err)
		}
	})
}

// Trap 20, and guarantees, section 5: who presents the position of their own logout never meets a replica that doesn't know of it.
func TestReadYourLogout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := revocationtest.New()
		replica := open(t, feed, revocation.Config{})
		feed.Stall()
		position := feed.Publish(logout(1))
		require := revocation.Require{Position: position}
		if d := replica.CheckWith(session(1), require); !errors.Is(d.Cause, revocation.ErrBehind) {
			t.Errorf("%v because of %v, want undetermined because it is behind", d.State, d.Cause)
		}
		feed.Resume()
		if err := replica.WaitFor(t.Context(), position); err != nil {
			t.Fatal(err)
		}
		if d := replica.CheckWith(session(1), require); d.State != revocation.Revoked || d.EventPosition != position || d.Position < position {
			t.Errorf("%+v, want revoked at %d", d, position)
		}
	})
}

func TestWatchIsInOrderAndAfterApplying(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := revocationtest.New()
		replica := open(t, feed, revocation.Config{})
		base := feed.Last() // the beat of New
		var got, other []uint64
		stop := replica.OnApplied(func(a revocation.Applied) {
			got = append(got, a.Position)
			if a.Event.Kind() == events.KindSession && replica.Check(revocation.Session{ID: a.Event.Target()}).State != revocation.Revoked {
				t.Errorf("told of %d before it was applied", a.Position)
			}
		})
		var stopSelf func()
		stopSelf = replica.OnApplied(func(a revocation.Applied) {
			other = append(other, a.Position)
			if a.Position == base+2 {
				stopSelf()
			}
		})
		for n := range 5 {
			feed.Publish(logout(n))
		}
		synctest.Wait()
		stop()
		stop()
		feed.Publish(logout(9))
		synctest.Wait()
		if want := []uint64{base + 1, base + 2, base + 3, base + 4, base + 5}; !slices.Equal(got, want) {
			t.Errorf("told of %v, want %v", got, want)
		}
		if want := []uint64{base + 1, base + 2}; !slices.Equal(other, want) {
			t.Errorf("who stopped itself was told of %v, want %v", other, want)
		}
	})
}

func TestSkippedIsCountedAndTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := revocationtest.New()
		var positions []uint64
		replica := open(t, feed, revocation.Config{Hooks: revocation.Hooks{Skipped: func(p uint64, err error) {
			positions = append(positions, p)
			if err == nil {
				t.Error("skipped without a reason")
			}
		}}})
		want := []uint64{
			feed.PublishRaw("curfew.v1.default.00.session", []byte("?")),
			feed.PublishRaw("curfew.v1.default.00.session", []byte("{}")),
		}
		last := feed.Publish(logout(1))
		if err := replica.WaitFor(t.Context(), last); err != nil {
			t.Fatal(err)
		}
		if got := replica.Status().Skipped; got != 2 || !slices.Equal(positions, want) {
			t.Errorf("%d skipped at %v, want 2 at %v", got, positions, want)
		}
		checkState(t, replica, session(2), revocation.Active, nil)
	})
}
