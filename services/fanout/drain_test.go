package fanout

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/curfewhq/curfew/events/tab"
	"github.com/curfewhq/curfew/internal/tabclient"
)

// All are told when to come back, spread over the window both by when they are told and by what they are told.
func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n, window = 100, 10 * time.Second
		g := newRig(t, func(cfg *Config) { cfg.DrainWindow = window })
		began := time.Now()
		var mu sync.Mutex
		told, retries := map[time.Duration]int{}, map[int64]int{}
		for i := range n {
			conn := g.open(who("ann", fmt.Sprintf("s%d", i)))
			go func() {
				f, err := conn.Next(t.Context())
				at := time.Since(began)
				_, err2 := conn.Next(t.Context())
				var closed *tabclient.CloseError
				var reason struct {
					RetryMS int64 `json:"retry_ms"`
				}
				switch {
				case err != nil || f.Type != tab.TypeDrain:
					t.Errorf("got %+v, %v; want drain", f, err)
				case !errors.As(err2, &closed) || closed.Code != tab.CloseDrain || json.Unmarshal([]byte(closed.Reason), &reason) != nil:
					t.Errorf("then %v; want 1012", err2)
				case reason.RetryMS != f.ReconnectAfterMS || reason.RetryMS < 100 || reason.RetryMS > 100+window.Milliseconds():
					t.Errorf("come back after %d and %d", f.ReconnectAfterMS, reason.RetryMS)
				}
				mu.Lock()
				defer mu.Unlock()
				told[at.Truncate(window/10)]++
				retries[reason.RetryMS*10/window.Milliseconds()]++
			}()
		}
		g.svc.Drain(t.Context())
		if took := time.Since(began); took > window || took < window*9/10 {
			t.Errorf("took %v, want the window of %v", took, window)
		}
		if g.svc.Open() != 0 {
			t.Errorf("%d conns are left", g.svc.Open())
		}
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		for tenth, count := range told {
			if count > n/5 {
				t.Errorf("%d of %d told in the tenth at %v", count, n, tenth)
			}
		}
		if len(retries) < 8 {
			t.Errorf("all are to come back together: %v", retries)
		}
		if p := g.svc.enter(peerKey(0), false); p.Code != "draining" {
			t.Errorf("a new conn gets %+v", p)
		}
		g.svc.Drain(t.Context()) // again: nothing to do
	})
}

// Conns that haven't said hello, and upgrades that are under way, are drained as well: none gets ready from a gateway that goes away.
func TestDrainReachesHandshakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, nil)
		silent := watch(g.pipe())
		if p := g.svc.enter(peerKey(0), false); p.Status != 0 { // the upgrade is under way
			t.Fatal(p)
		}
		here, there := newPipe(t)
		drained := make(chan struct{})
		go func() { g.svc.Drain(t.Context()); close(drained) }()
		synctest.Wait()
		select {
		case <-drained:
			t.Error("Drain doesn't wait for the upgrade")
		default:
		}
		late := tabclient.On(here)
		go g.svc.open(g.svc.newWebSocket(there, nil, peerKey(0)), caller{origin: site})
		text := g.ticket(who("ann", "s1"))
		go func() { _ = late.Hello(text) }()
		got := watch(late)
		<-drained
		synctest.Wait()
		want := []string{"drain", "closed 1012"}
		if diff := cmp.Diff(want, silent.take()); diff != "" {
			t.Errorf("before hello (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(want, got.take()); diff != "" {
			t.Errorf("upgraded meanwhile (-want +got):\n%s", diff)
		}
		if _, err := g.svc.redeem(text, site); err != nil {
			t.Errorf("its ticket was used up for nothing: %v", err)
		}
	})
}

// A tab that has been told that its session is over isn't asked to come back.
func TestDrainOfSignedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, nil)
		s := who("ann", "s1")
		conn := g.open(s)
		g.publish(sessionRevoked(s, ""))
		next(t, conn)
		go g.svc.Drain(t.Context())
		wantClose(t, conn, tab.CloseSignedOut)
	})
}

// Without a window all are told at once, and come back after no more than the shortest wait.
func TestDrainAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, func(cfg *Config) { cfg.DrainWindow = -1 })
		var tabs []*seen
		for i := range 20 {
			tabs = append(tabs, watch(g.open(who("ann", fmt.Sprintf("s%d", i)))))
		}
		if after := g.svc.comeBack(); after != 100*time.Millisecond {
			t.Errorf("come back after %v, want 100 ms", after)
		}
		began := time.Now()
		g.svc.Drain(t.Context())
		if took := time.Since(began); took > 100*time.Millisecond {
			t.Errorf("took %v", took)
		}
		synctest.Wait()
		for _, o := range tabs {
			if diff := cmp.Diff([]string{"drain", "closed 1012"}, o.take()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		}
	})
}

// A drain that is out of time leaves the rest to Run, which closes them all and waits, also for those that never answer.
func TestShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, func(cfg *Config) { cfg.DrainWindow = time.Hour })
		var tabs []*seen
		for i := range 20 {
			tabs = append(tabs, watch(g.open(who("ann", fmt.Sprintf("s%d", i)))))
		}
		for i := range 20 { // these read nothing
			g.open(who("bob", fmt.Sprintf("t%d", i)))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		g.svc.Drain(ctx)
		began := time.Now()
		g.stop()
		if took := time.Since(began); took > writeTimeout+closeTimeout {
			t.Errorf("Run took %v to end", took)
		}
		if g.svc.Open() != 0 {
			t.Errorf("%d conns are left", g.svc.Open())
		}
		synctest.Wait()
		for _, o := range tabs {
			if diff := cmp.Diff([]string{"drain", "closed 1012"}, o.take()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		}
	})
}
