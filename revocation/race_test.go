package revocation_test

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationtest"
)

// Everything at once: readers, the writer, the sweeper, waiters, watchers that come and go, and a feed that breaks.
func TestEverythingAtOnce(t *testing.T) {
	feed := revocationtest.New()
	feed.AutoBeat(time.Millisecond)
	replica := open(t, feed, revocation.Config{SweepInterval: time.Millisecond})
	const n = 300
	// revoked is up to which session the revocation has been applied for sure.
	var revoked atomic.Int64
	revoked.Store(-1)
	ctx, done := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for ctx.Err() == nil {
				sure := int(revoked.Load())
				for i := max(0, sure-3); i <= sure; i++ {
					if d := replica.Check(session(i)); d.State != revocation.Revoked {
						t.Errorf("session %d is %v after WaitFor had returned", i, d.State)
						return
					}
				}
				if d := replica.CheckWith(session(n+1), revocation.Require{MaxStaleness: time.Minute}); d.State == revocation.Revoked {
					t.Errorf("a session that nothing revokes is revoked: %+v", d)
					return
				}
				_ = replica.Status()
				runtime.Gosched() // or each of the writer's steps waits for a time slice
			}
		})
	}
	wg.Go(func() {
		for ctx.Err() == nil {
			stop := replica.OnApplied(func(revocation.Applied) {})
			_ = replica.Digest()
			stop()
			runtime.Gosched()
		}
	})
	wg.Go(func() {
		for ctx.Err() == nil {
			wait, cancel := context.WithTimeout(ctx, time.Millisecond)
			_ = replica.WaitFor(wait, feed.Last()+10)
			cancel()
		}
	})
	for i := range n {
		position := feed.Publish(logout(i))
		if i%100 == 50 {
			feed.Break(context.DeadlineExceeded)
		}
		if err := replica.WaitFor(ctx, position); err != nil {
			t.Fatal(err)
		}
		revoked.Store(int64(i))
	}
	done()
	wg.Wait()
	if got := replica.Status(); got.Sessions != n {
		t.Errorf("%d sessions, want %d", got.Sessions, n)
	}
}
