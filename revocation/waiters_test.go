package revocation

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// anyone waits for a position that isn't reached, and tells how that ended.
func (w *waiters) anyone(ctx context.Context, pos uint64) <-chan error {
	ended := make(chan error, 1)
	go func() { ended <- w.wait(ctx, pos, func() bool { return false }, nil) }()
	return ended
}

// Whoever has one live session can keep requests waiting for positions that never come. The feed's goroutine comes by with each message, and must neither
// look at them nor wait for the lock that they join and leave by.
func TestFarOffPositionsDoNotHoldUpTheFeed(t *testing.T) {
	r, sink := bare(Config{})
	for range MaxWaiters {
		r.waiters.join(math.MaxUint64)
	}
	r.waiters.mu.Lock() // nobody can look at them now
	defer r.waiters.mu.Unlock()
	passed := make(chan struct{})
	go func() {
		sink.Reach(1_000_000)
		close(passed)
	}()
	await(t, "the feed to pass by", passed)
}

// Of many who wait those are woken that are due, and nobody is left when all have gone.
func TestWakeTakesOutWhoIsDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w waiters
		ctx, leave := context.WithCancel(t.Context())
		for i := range 2000 {
			w.anyone(ctx, math.MaxUint64-uint64(i))
		}
		due := w.anyone(ctx, 7)
		synctest.Wait()
		before := len(w.nearest.all)
		w.wake(6)
		if n := len(w.nearest.all); n != before {
			t.Errorf("%d of %d are left, and nobody was due", n, before)
		}
		w.wake(7)
		if err := <-due; err != nil {
			t.Errorf("at its position: %v", err)
		}
		if n, lowest := len(w.nearest.all), w.lowest.Load(); n != before-1 || lowest != math.MaxUint64-1999 {
			t.Errorf("%d of %d are left, the lowest at %d", n, before, lowest)
		}
		leave()
		synctest.Wait()
		if n, m, lowest := len(w.nearest.all), len(w.farthest.all), w.lowest.Load(); n+m != 0 || lowest != 0 {
			t.Errorf("%d and %d are left, the lowest at %d", n, m, lowest)
		}
	})
}

// When too many wait, the farthest position gives way, whoever came first: positions that are made up can't keep out that of a logout.
func TestTooManyWaiters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w waiters
		ctx, leave := context.WithCancel(t.Context())
		defer leave()
		for range MaxWaiters - 1 {
			w.anyone(ctx, 1000)
		}
		farthest := w.anyone(ctx, 2000)
		synctest.Wait()
		for _, pos := range []uint64{2000, math.MaxUint64} { // as far, and farther
			if err := <-w.anyone(ctx, pos); !errors.Is(err, ErrTooManyWaiters) {
				t.Errorf("who waits for %d when all places are taken by nearer ones: %v", pos, err)
			}
		}
		if len(farthest) > 0 {
			t.Fatalf("who waited gave way to who waits for no less: %v", <-farthest)
		}
		near := w.anyone(ctx, 5)
		if err := <-farthest; !errors.Is(err, ErrTooManyWaiters) {
			t.Errorf("the farthest when somebody nearer came: %v", err)
		}
		synctest.Wait()
		if n, m := len(w.nearest.all), len(w.farthest.all); n != MaxWaiters || m != n {
			t.Errorf("%d and %d wait, want %d", n, m, MaxWaiters)
		}
		w.wake(5)
		if err := <-near; err != nil {
			t.Errorf("the nearest, at its position: %v", err)
		}
	})
}

// Whoever gives way at the moment in which the position is reached is told that it is.
func TestWhoGivesWayLooksOnceMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w waiters
		ctx, leave := context.WithCancel(t.Context())
		defer leave()
		for range MaxWaiters {
			w.anyone(ctx, 1)
		}
		synctest.Wait()
		asked := 0
		err := w.wait(ctx, 2, func() bool { asked++; return asked > 2 }, nil)
		if err != nil {
			t.Errorf("reached, and told %v", err)
		}
	})
}

// Positions move while many join and leave, at positions near and far: nobody's wake-up falls between, and nothing is left.
func TestWaitersMissNothing(t *testing.T) {
	const goroutines, rounds = 16, 400
	var w waiters
	var position atomic.Uint64
	ctx, leave := context.WithTimeout(t.Context(), patience)
	defer leave()
	var waiting, moving sync.WaitGroup
	stop := make(chan struct{})
	moving.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				w.wake(position.Add(1))
			}
		}
	})
	for range goroutines {
		waiting.Go(func() {
			for range rounds {
				want := position.Load() + rand.Uint64N(20)
				if err := w.wait(ctx, want, func() bool { return position.Load() >= want }, nil); err != nil {
					t.Errorf("at %d: who waits for %d: %v", position.Load(), want, err)
				}
				if got := position.Load(); got < want {
					t.Errorf("woken at %d, want %d", got, want)
				}
				gone, cancel := context.WithCancel(ctx)
				go cancel()
				if err := w.wait(gone, math.MaxUint64, func() bool { return false }, nil); !errors.Is(err, context.Canceled) {
					t.Errorf("who left: %v", err)
				}
			}
		})
	}
	waiting.Wait()
	close(stop)
	moving.Wait()
	if n, m, lowest := len(w.nearest.all), len(w.farthest.all), w.lowest.Load(); n+m != 0 || lowest != 0 {
		t.Errorf("%d and %d are left, the lowest at %d", n, m, lowest)
	}
}

// What the feed's goroutine spends on those who wait for positions that never come, for each message.
func BenchmarkWakeNobody(b *testing.B) {
	var w waiters
	for range MaxWaiters {
		w.join(math.MaxUint64)
	}
	b.ReportAllocs()
	for i := range b.N {
		w.wake(uint64(i))
	}
}
