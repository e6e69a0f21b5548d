package fanout

import (
	"errors"
	"fmt"
	"net"
	"runtime"
	"sync"
	"testing"

	"github.com/curfewhq/curfew/events/tab"
	"github.com/curfewhq/curfew/internal/tabclient"
	"github.com/curfewhq/curfew/revocation"
)

// All tabs lose their conns at once and come back at once, while sessions end: each tab whose session is over is told of it, on one conn or the next; then all go, and
// nothing is left of them.
func TestStormLosesNoNotice(t *testing.T) {
	const tabs, rounds = 1000, 3
	g := newRig(t, func(cfg *Config) { cfg.MaxHandshakes, cfg.MaxHandshakesPerIP, cfg.MaxConnsPerUser = tabs, -1, -1 })
	addr := g.serveFront(nil, nil)
	session := func(i int) revocation.Session { return who(fmt.Sprintf("user-%d", i/5), fmt.Sprintf("s%d", i)) }
	conns := make([]*tabclient.Conn, tabs)
	connect := func() {
		var wg sync.WaitGroup
		places := make(chan struct{}, 64)
		for i := range conns {
			wg.Go(func() {
				places <- struct{}{}
				defer func() { <-places }()
				// Not g.dial, which keeps every conn until the test ends.
				var err error
				if conns[i], err = tabclient.Dial(t.Context(), "ws://"+addr, site, g.ticket(session(i))); err != nil {
					t.Errorf("dial: %v", err)
				}
			})
		}
		wg.Wait()
		if t.Failed() {
			t.FailNow()
		}
	}
	leave := func() {
		for _, c := range conns {
			_ = c.Close()
		}
		eventually(t, "no conn is left", func() bool { return g.svc.Open() == 0 && g.svc.hub.Len() == 0 })
	}
	files, goroutines := openFiles(t), runtime.NumGoroutine()
	connect()
	leave()
	// What goroutines leave behind is kept for the next, so this is what a gateway has that had tabs.
	heap := liveHeap()
	connect()
	for round := range rounds {
		for _, c := range conns {
			_ = c.NetConn().(*net.TCPConn).SetLinger(0) //nolint:forcetypeassert // TCP it is
			_ = c.Close()
		}
		// A tenth of the sessions of this round end meanwhile.
		var ending sync.WaitGroup
		ending.Go(func() {
			for i := round; i < tabs; i += 10 {
				g.feed.Publish(sessionRevoked(session(i), "bye"))
			}
		})
		connect()
		ending.Wait()
		for i, c := range conns {
			if over := i%10 <= round; over {
				wantToldOnce(t, c, session(i).ID)
			} else if f := next(t, c); f.Type != tab.TypeReady {
				t.Errorf("%s: got %+v, want ready", session(i).ID, f)
			}
		}
	}
	leave()
	eventually(t, "files and goroutines are what they were", func() bool {
		return openFiles(t) <= files+1 && runtime.NumGoroutine() <= goroutines+6 // the poller's, which stays, and of Run's own and the listener's
	})
	// The revocations themselves are kept, here three times over: by the replica, by its feed, and by who notes what was shown.
	if more := liveHeap() - heap; more > 1<<20 {
		t.Errorf("%d bytes more than before", more)
	}
}

// wantToldOnce reads ready or not, then the notice, and the close frame.
func wantToldOnce(t *testing.T, c *tabclient.Conn, session string) {
	t.Helper()
	ctx, cancel := timeout(t, patience)
	defer cancel()
	for told := 0; ; {
		f, err := c.Next(ctx)
		var closed *tabclient.CloseError
		switch {
		case errors.As(err, &closed) && closed.Code == tab.CloseSignedOut && told == 1:
			return
		case err != nil:
			t.Errorf("%s: told %d times, then %v", session, told, err)
			return
		case f.Type == tab.TypeLogout:
			told++
			if err := c.Ack(f.ID, tab.OutcomeSignedOut); err != nil {
				t.Errorf("%s: %v", session, err)
			}
		}
	}
}

func liveHeap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
