package fanout

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/curfewhq/curfew/events/tab"
	"github.com/curfewhq/curfew/internal/tabclient"
)

// Some tabs stop reading, over real sockets, of which kernels hold a lot: each is given up, with 1013, and a thousand others of the same user hear of everything meanwhile,
// long before a single write's deadline has passed.
func TestStalledAmongAThousand(t *testing.T) {
	const healthy, stalled, mostEvents = 1000, 10, 200
	g := newRig(t, func(cfg *Config) { cfg.MaxHandshakesPerIP, cfg.MaxConnsPerUser = -1, -1 })
	url := "http://" + g.serveFront(nil, nil)
	heard := make([]atomic.Uint64, healthy)
	var lost atomic.Int64
	for i := range healthy {
		c := g.dial(url, g.ticket(who("ann", fmt.Sprintf("s%d", i))))
		if f := next(t, c); f.Type != tab.TypeReady {
			t.Fatalf("got %+v", f)
		}
		go func() {
			for {
				f, err := c.Next(context.Background())
				if err != nil {
					lost.Add(1)
					return
				}
				heard[i].Store(f.Position)
			}
		}()
	}
	for i := range stalled {
		stall(t, g, url, fmt.Sprintf("stalled%d", i))
	}
	// What kernels hold would take thousands of notices to fill.
	large := newMessage(bytes.Repeat([]byte(" "), 4<<10), 0)
	fill := func() {
		for i := range stalled {
			for _, e := range g.svc.hub.Affected(sessionRevoked(who("ann", fmt.Sprintf("stalled%d", i)), "")) {
				e.Value.send(large.framed)
			}
		}
	}
	slowest := time.Duration(0)
	for n := 0; g.closed("1013") < stalled; n++ {
		if n == mostEvents {
			t.Fatalf("%v of %d stalled tabs are given up after %d events", g.closed("1013"), stalled, n)
		}
		fill()
		began := time.Now()
		position := g.feed.Publish(sessionRevoked(who("ann", fmt.Sprintf("elsewhere-%d", n)), ""))
		eventually(t, "all others have heard", func() bool {
			for i := range heard {
				if heard[i].Load() < position {
					return false
				}
			}
			return true
		})
		slowest = max(slowest, time.Since(began))
	}
	if slowest >= writeTimeout {
		t.Errorf("somebody has waited for %v: as long as a stalled one is given", slowest)
	}
	if n := lost.Load(); n != 0 || g.svc.Open() < healthy {
		t.Errorf("%d healthy tabs lost their conn, %d are left", n, g.svc.Open())
	}
	t.Logf("the slowest of all events took %v", slowest)
}

// stall opens a tab that reads ready and nothing more, with as small a buffer as the kernel allows.
func stall(t *testing.T, g *rig, url, session string) {
	t.Helper()
	c, err := tabclient.Dial(t.Context(), "ws"+url[len("http"):], site, g.ticket(who("ann", session)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.NetConn().(*net.TCPConn).SetReadBuffer(1); err != nil {
		t.Fatal(err)
	}
	if f := next(t, c); f.Type != tab.TypeReady {
		t.Fatalf("got %+v", f)
	}
}
