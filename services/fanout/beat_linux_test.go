package fanout

import (
	"net"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/curfewhq/curfew/events/tab"
	"github.com/curfewhq/curfew/internal/tabclient"
)

// Over a socket pings are written at once, by nobody of their own: a conn that answers lives on, on both transports.
func TestHeartbeatsOverTCP(t *testing.T) {
	g := newRig(t, func(cfg *Config) { cfg.Heartbeat = 400 * time.Millisecond })
	url := "http://" + g.serveFront(nil, nil)
	c := g.dial(url, g.ticket(who("ann", "s1")))
	next(t, c)
	stream := g.stream(url, who("ann", "s2"), nil)
	next(t, stream)
	for range 5 {
		f, err := readFrame(c.NetConn())
		if err != nil || f.Header.OpCode != ws.OpPing {
			t.Fatalf("got %+v, %v; want a ping", f, err)
		}
		readHeartbeat(t, c.NetConn())
		if err := c.SendFrame(ws.NewPongFrame(nil)); err != nil {
			t.Fatal(err)
		}
	}
	if n := g.svc.Open(); n != 2 {
		t.Errorf("%d conns are left, want 2", n)
	}
	e := sessionRevoked(who("ann", "s2"), "bye")
	g.publish(e)
	if f := next(t, stream); f.ID != e.ID {
		t.Errorf("got %+v, want the notice", f)
	}
}

// A ping that the kernel doesn't take at once waits for a writer, whose deadline ends the conn.
func TestHeartbeatOfStalled(t *testing.T) {
	g := newRig(t, func(cfg *Config) { cfg.Heartbeat = 10 * time.Second })
	url := "http://" + g.serveFront(nil, nil)
	c, err := tabclient.Dial(t.Context(), "ws"+url[len("http"):], site, g.ticket(who("ann", "s1")))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if f := next(t, c); f.Type != tab.TypeReady {
		t.Fatalf("got %+v", f)
	}
	own := g.onlyConn()
	tcp := own.link.(*net.TCPConn) //nolint:forcetypeassert // TCP it is
	full := make([]byte, 64<<10)
	refused := 0
	eventually(t, "the kernels take no more", func() bool {
		if refused++; writeNow(tcp, full) > 0 {
			refused = 0
		}
		return refused > 50
	})
	own.beat()
	eventually(t, "the conn is given up", func() bool { return g.closed("1013") == 1 && g.svc.Open() == 0 })
}
