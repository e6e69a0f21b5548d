package fanout

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/curfewhq/curfew/events/tab"
	"github.com/curfewhq/curfew/internal/tabclient"
	"github.com/curfewhq/curfew/revocation"
)

// polled are how conns are opened that are waited for by the poller.
var polled = map[string]func(g *rig, url string, s revocation.Session) peer{
	"websocket": func(g *rig, url string, s revocation.Session) peer { return g.dial(url, g.ticket(s)) },
	"websocket that offered": func(g *rig, url string, s revocation.Session) peer {
		return g.offer(&ws.Dialer{}, strings.Replace(url, "http", "ws", 1), g.ticket(s))
	},
	"sse": func(g *rig, url string, s revocation.Session) peer { return g.stream(url, s, nil) },
}

func (c *conn) isPolled() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.polled
}

// onTCP runs a test with each kind of conn that is polled.
func onTCP(t *testing.T, change func(*Config), run func(t *testing.T, g *rig, open func(revocation.Session) peer)) {
	for name, dial := range polled {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newRig(t, change)
			url := "http://" + g.serveFront(nil, nil)
			run(t, g, func(s revocation.Session) peer {
				c := dial(g, url, s)
				if f := next(t, c); f.Type != tab.TypeReady {
					t.Fatalf("got %+v, want ready", f)
				}
				return c
			})
		})
	}
}

// closedWith reads until the conn is closed.
func closedWith(t *testing.T, c peer) tab.CloseCode {
	t.Helper()
	ctx, cancel := timeout(t, patience)
	defer cancel()
	for {
		_, err := c.Next(ctx)
		var closed *tabclient.CloseError
		if errors.As(err, &closed) {
			return closed.Code
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestPolledTakeNoGoroutine(t *testing.T) {
	onTCP(t, nil, func(t *testing.T, g *rig, open func(revocation.Session) peer) {
		const tabs = 50
		var all []*conn
		for i := range tabs {
			open(who(fmt.Sprintf("user-%d", i), fmt.Sprintf("s%d", i)))
		}
		g.svc.mu.Lock()
		for c := range g.svc.conns {
			all = append(all, c)
		}
		g.svc.mu.Unlock()
		eventually(t, "all are polled", func() bool {
			for _, c := range all {
				if !c.isPolled() {
					return false
				}
			}
			return len(all) == tabs
		})
		stacks := make([]byte, 8<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		if n := bytes.Count(stacks, []byte("fanout.(*conn).listen")); n > 0 {
			t.Errorf("%d goroutines wait for peers", n)
		}
	})
}

func TestPolledAreTold(t *testing.T) {
	onTCP(t, nil, func(t *testing.T, g *rig, open func(revocation.Session) peer) {
		s := who("ann", "s1")
		c, other := open(s), open(who("ann", "s2"))
		e := sessionRevoked(s, "bye")
		g.publish(e)
		if f := next(t, c); f.ID != e.ID {
			t.Errorf("got %+v, want the notice", f)
		}
		if f := next(t, other); f.Type != tab.TypeSessionsChanged {
			t.Errorf("the other got %+v", f)
		}
		if err := c.Ack(e.ID, tab.OutcomeSignedOut); err != nil {
			t.Fatal(err)
		}
		if code := closedWith(t, c); code != tab.CloseSignedOut {
			t.Errorf("closed with %d", code)
		}
		eventually(t, "one is left", func() bool { return g.svc.Open() == 1 && g.closed("4501") == 1 })
	})
}

// A peer that says nothing at all, neither to a notice nor to a close frame, is closed after its time.
func TestPolledSilence(t *testing.T) {
	onTCP(t, nil, func(t *testing.T, g *rig, open func(revocation.Session) peer) {
		s := who("ann", "s1")
		open(s)
		began := time.Now()
		g.publish(sessionRevoked(s, "bye"))
		eventually(t, "the conn is gone", func() bool { return g.svc.Open() == 0 })
		if took := time.Since(began); took < ackTimeout || g.closed("4501") != 1 {
			t.Errorf("gone after %v, %v with 4501", took, g.closed("4501"))
		}
	})
}

// A peer that doesn't answer pings, and one that has gone without a word.
func TestPolledLifelessness(t *testing.T) {
	g := newRig(t, func(cfg *Config) { cfg.Heartbeat = 50 * time.Millisecond })
	url := "http://" + g.serveFront(nil, nil)
	next(t, g.dial(url, g.ticket(who("ann", "s1")))) // and reads no more
	eventually(t, "the conn is given up", func() bool { return g.svc.Open() == 0 && g.closed("1013") == 1 })
}

func TestPolledPeersLeave(t *testing.T) {
	onTCP(t, nil, func(t *testing.T, g *rig, open func(revocation.Session) peer) {
		for i := range 20 {
			_ = open(who("ann", fmt.Sprintf("s%d", i))).Close()
		}
		eventually(t, "none is left", func() bool { return g.svc.Open() == 0 && g.svc.hub.Len() == 0 })
	})
}

func TestPolledDrain(t *testing.T) {
	onTCP(t, func(cfg *Config) { cfg.DrainWindow = 10 * time.Millisecond }, func(t *testing.T, g *rig, open func(revocation.Session) peer) {
		c := open(who("ann", "s1"))
		go g.svc.Drain(t.Context())
		if code := closedWith(t, c); code != tab.CloseDrain {
			t.Errorf("closed with %d", code)
		}
		eventually(t, "none is left", func() bool { return g.svc.Open() == 0 })
	})
}

// What a peer says may come in any pieces: each frame is taken as if it had come whole, and the conn is polled again in between.
func TestPolledHearsInPieces(t *testing.T) {
	g := newRig(t, nil)
	url := "http://" + g.serveFront(nil, nil)
	c := g.dial(url, g.ticket(who("ann", "s1")))
	next(t, c)
	own := g.onlyConn()
	eventually(t, "it is polled", own.isPolled)
	fragments := func(text string) []ws.Frame {
		first := ws.NewFrame(ws.OpText, false, []byte(text[:3]))
		return []ws.Frame{first, ws.NewPingFrame([]byte("between")), ws.NewFrame(ws.OpContinuation, true, []byte(text[3:]))}
	}
	frames := append([]ws.Frame{ws.NewPingFrame([]byte("a")), ws.NewPingFrame(bytes.Repeat([]byte("b"), 125))}, fragments(`{"type":"later","of":"another version"}`)...)
	frames = append(frames, ws.NewTextFrame([]byte(`{"type":"`+strings.Repeat("x", 3000)+`"}`)))
	var stream []byte
	for _, f := range frames {
		stream = append(stream, ws.MustCompileFrame(ws.MaskFrame(f))...)
	}
	for round := range tab.MaxFramesPerSecond / (len(frames) + 3000/frameUnit) {
		for rest := stream; len(rest) > 0; {
			n := 1 + rand.N(min(len(rest), []int{1, 3, 20, 4000}[round%4]))
			if _, err := c.NetConn().Write(rest[:n]); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
			runtime.Gosched()
		}
		for pong := ""; pong != "between"; {
			f, err := readFrame(c.NetConn())
			if err != nil || f.Header.OpCode != ws.OpPong {
				t.Fatalf("got %+v, %v; want a pong", f, err)
			}
			pong = string(f.Payload)
		}
		eventually(t, "it is polled again", own.isPolled)
	}
	if g.svc.Open() != 1 {
		t.Error("the conn is gone")
	}
}

// Those who send half a frame and no more keep nobody from being heard.
func TestPolledHalfFrames(t *testing.T) {
	g := newRig(t, nil)
	url := "http://" + g.serveFront(nil, nil)
	for i := range 200 {
		c := g.dial(url, g.ticket(who(fmt.Sprintf("user-%d", i), "s")))
		next(t, c)
		if _, err := c.NetConn().Write([]byte{0x81}); err != nil {
			t.Fatal(err)
		}
	}
	s := who("ann", "s1")
	c := g.dial(url, g.ticket(s))
	next(t, c)
	e := sessionRevoked(s, "bye")
	g.publish(e)
	next(t, c)
	if err := c.Ack(e.ID, tab.OutcomeSignedOut); err != nil {
		t.Fatal(err)
	}
	if code := closedWith(t, c); code != tab.CloseSignedOut {
		t.Errorf("closed with %d", code)
	}
	if n := testutil.ToFloat64(g.metrics.Acks.WithLabelValues("signed_out")); n != 1 {
		t.Errorf("%v acknowledgements", n)
	}
}

// Whoever breaks the protocol reads why.
func TestPolledWrongFrames(t *testing.T) {
	g := newRig(t, nil)
	url := "http://" + g.serveFront(nil, nil)
	for name, c := range map[string]struct {
		sent []byte
		code tab.CloseCode
	}{
		"unmasked":  {ws.MustCompileFrame(ws.NewTextFrame([]byte("{}"))), tab.CloseProtocolError},
		"binary":    {ws.MustCompileFrame(ws.MaskFrame(ws.NewBinaryFrame([]byte("{}")))), tab.CloseInvalidData},
		"too large": {[]byte{0x81, 0xfe, 0xff, 0xff, 1, 2, 3, 4}, tab.CloseTooLarge},
		"nonsense":  {ws.MustCompileFrame(ws.MaskFrame(ws.NewTextFrame([]byte("nonsense")))), tab.CloseInvalidData},
		"flood":     {bytes.Repeat(ws.MustCompileFrame(ws.MaskFrame(ws.NewPongFrame(nil))), 2*tab.MaxFramesPerSecond), tab.CloseSlowDown},
	} {
		conn := g.dial(url, g.ticket(who("ann", "s1")))
		next(t, conn)
		if _, err := conn.NetConn().Write(c.sent); err != nil {
			t.Fatal(err)
		}
		if code := closedWith(t, conn); code != c.code {
			t.Errorf("%s: closed with %d, want %d", name, code, c.code)
		}
	}
	eventually(t, "none is left", func() bool { return g.svc.Open() == 0 })
}

// A panic ends the conn that has brought it about, and no other: the one goroutine that waits for all goes on.
func TestPolledSurvivePanic(t *testing.T) {
	bug := errors.New("a bug")
	g := newRig(t, func(cfg *Config) {
		cfg.OnShown = func(string, tab.Outcome) { panic(bug) }
	})
	url := "http://" + g.serveFront(nil, nil)
	s := who("ann", "s1")
	c, other := g.dial(url, g.ticket(s)), g.dial(url, g.ticket(who("bob", "b1")))
	next(t, c)
	next(t, other)
	e := sessionRevoked(s, "bye")
	g.publish(e)
	next(t, c)
	if err := c.Ack(e.ID, tab.OutcomeSignedOut); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is gone", func() bool { return g.svc.Open() == 1 })
	if err := other.SendFrame(ws.NewPingFrame([]byte("still there"))); err != nil {
		t.Fatal(err)
	}
	if f, err := readFrame(other.NetConn()); err != nil || string(f.Payload) != "still there" {
		t.Errorf("the other got %+v, %v", f, err)
	}
	g.stop()
	if n := strings.Count(g.log.String(), "has panicked"); n != 1 {
		t.Errorf("%d panics in the log, want 1", n)
	}
}

// A peer that the kernel has given up is no tab that was late.
func TestPolledVanished(t *testing.T) {
	onTCP(t, nil, func(t *testing.T, g *rig, open func(revocation.Session) peer) {
		open(who("ann", "s1"))
		own := g.onlyConn()
		eventually(t, "it is polled", own.isPolled)
		own.said(nil, syscall.ETIMEDOUT, new(bytes.Reader)) // as the poller says it
		eventually(t, "the conn is gone", func() bool { return g.svc.Open() == 0 })
		if g.closed("4008") != 0 || g.closed("1000") != 1 {
			t.Errorf("closed as late %v times, and without a word %v times", g.closed("4008"), g.closed("1000"))
		}
	})
}

// If the waiting fails, each conn has a goroutine again, and so have those that come later.
func TestPolledOutliveThePoller(t *testing.T) {
	onTCP(t, nil, func(t *testing.T, g *rig, open func(revocation.Session) peer) {
		first := open(who("ann", "s1"))
		eventually(t, "it is polled", g.onlyConn().isPolled)
		g.svc.poller.mu.Lock()
		_ = g.svc.poller.file.Close()
		g.svc.poller.mu.Unlock()
		eventually(t, "it has a goroutine", func() bool { return !g.onlyConn().isPolled() })
		second := open(who("ann", "s2"))
		for s, c := range map[string]peer{"s1": first, "s2": second} {
			e := sessionRevoked(who("ann", s), "bye")
			g.publish(e)
			f := next(t, c)
			if f.Type == tab.TypeSessionsChanged {
				f = next(t, c)
			}
			if err := c.Ack(f.ID, tab.OutcomeSignedOut); err != nil || f.ID != e.ID {
				t.Errorf("%s: got %+v, %v", s, f, err)
			}
			if code := closedWith(t, c); code != tab.CloseSignedOut {
				t.Errorf("%s: closed with %d", s, code)
			}
		}
		eventually(t, "none is left", func() bool { return g.svc.Open() == 0 })
	})
}

// A stream's tab may acknowledge beside it as soon as it has heard, also while the conn is still being admitted.
func TestPolledAcknowledgeAtOnce(t *testing.T) {
	g := newRig(t, nil)
	url := "http://" + g.serveFront(nil, nil)
	for i := range 40 {
		s := who("ann", fmt.Sprintf("s%d", i))
		pass := g.passFor(s)
		var published sync.WaitGroup
		published.Go(func() { g.feed.Publish(sessionRevoked(s, "bye")) })
		c, err := tabclient.Reopen(t.Context(), http.DefaultClient, url, site, pass, "")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		f := next(t, c)
		for f.Type != tab.TypeLogout {
			f = next(t, c)
		}
		if err := c.Ack(f.ID, tab.OutcomeSignedOut); err != nil {
			t.Errorf("%s, %s: %v", s.ID, f.Type, err)
		}
		published.Wait()
	}
	if n := testutil.ToFloat64(g.metrics.Acks.WithLabelValues("signed_out")); n != 40 {
		t.Errorf("%v acknowledgements, want 40", n)
	}
}

// What was read in pieces isn't kept.
func TestPolledKeepNothing(t *testing.T) {
	g := newRig(t, nil)
	c := g.dial("http://"+g.serveFront(nil, nil), g.ticket(who("ann", "s1")))
	next(t, c)
	own := g.onlyConn()
	eventually(t, "it is polled", own.isPolled)
	frame := ws.MustCompileFrame(ws.MaskFrame(ws.NewPingFrame(bytes.Repeat([]byte("x"), 125))))
	if _, err := c.NetConn().Write(frame[:100]); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a goroutine waits for the rest", func() bool { return !own.isPolled() })
	if _, err := c.NetConn().Write(frame[100:]); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is polled again", own.isPolled)
	_ = c.Close()
	eventually(t, "the conn is gone", func() bool { return g.svc.Open() == 0 })
	g.stop()                                                             // after which nobody else looks
	if from := own.wire.(*webSocket).from; from != io.Reader(own.link) { //nolint:forcetypeassert // a WebSocket it is
		t.Errorf("it still has %T", from)
	}
}
