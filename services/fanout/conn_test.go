package fanout

import (
	"encoding/json"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/curfewhq/curfew/events/tab"
	"github.com/curfewhq/curfew/revocation"
)

func TestHelloLate(t *testing.T) {
	for _, sent := range []struct {
		name  string
		bytes []byte
	}{{"nothing", nil}, {"half a header", []byte{0x81}}, {"half a frame", []byte{0x81, 0x85, 1, 2, 3, 4, 5}}} {
		t.Run(sent.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newRig(t, nil)
				c, began := g.pipe(), time.Now()
				if _, err := c.NetConn().Write(sent.bytes); err != nil {
					t.Fatal(err)
				}
				wantClose(t, c, tab.CloseHelloLate)
				if took := time.Since(began); took != tab.HelloTimeout {
					t.Errorf("closed after %v, want %v", took, tab.HelloTimeout)
				}
				synctest.Wait()
				if g.svc.Open() != 0 {
					t.Error("the conn is still there")
				}
			})
		})
	}
}

// The deadline of hello must not end the conn later, nor must that of any write.
func TestTrapStickyDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, nil)
		s := who("ann", "s1")
		c := g.open(s)
		for range 5 {
			ctx, cancel := timeout(t, 20*time.Second) // longer than every timeout there is, shorter than a heartbeat
			if f, err := c.Next(ctx); err == nil {
				t.Errorf("unexpected %+v", f)
			}
			cancel()
			g.publish(sessionRevoked(who("ann", "another"), ""))
			if f := next(t, c); f.Type != tab.TypeSessionsChanged {
				t.Errorf("got %+v, want sessions_changed", f)
			}
		}
		g.publish(sessionRevoked(s, "bye"))
		if f := next(t, c); f.Type != tab.TypeLogout || f.Message != "bye" {
			t.Errorf("got %+v, want the notice", f)
		}
	})
}

func TestWrongFirstFrame(t *testing.T) {
	for _, c := range []struct{ name, frame string }{
		{"not JSON", `hello`},
		{"an ack", `{"type":"ack","id":"x","outcome":"ignored"}`},
		{"an unknown type", `{"type":"hi"}`},
		{"hello without a ticket", `{"type":"hello"}`},
		{"an empty message", ``},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newRig(t, nil)
				conn := g.pipe()
				if err := conn.Send([]byte(c.frame)); err != nil {
					t.Fatal(err)
				}
				wantClose(t, conn, tab.CloseInvalidData)
			})
		})
	}
}

// A second hello changes nothing, and its ticket isn't used up. But a tab that names another session than the one that its conn is for isn't left to believe that it hears of
// that: an Auth.js cookie may have let it in before it could say a word.
func TestHelloTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, nil)
		ann := who("ann", "s1")
		for _, same := range []string{g.ticket(ann), "no ticket", "e30.e30"} {
			c := g.open(ann)
			hello(t, c, same)
			g.publish(sessionRevoked(who("ann", "elsewhere "+same), ""))
			if f := next(t, c); f.Type != tab.TypeSessionsChanged {
				t.Errorf("got %+v, want sessions_changed", f)
			}
			if same != "no ticket" && same != "e30.e30" {
				if _, err := g.svc.redeem(same, site); err != nil {
					t.Errorf("the second ticket is used up: %v", err)
				}
			}
		}
		for _, other := range []revocation.Session{who("bob", "s1"), who("ann", "s2"), {Tenant: "beta", User: "ann", ID: "s1", AuthTime: ann.AuthTime}} {
			c := g.open(ann)
			hello(t, c, g.ticket(other))
			wantClose(t, c, tab.CloseTicketRefused)
		}
	})
}

func TestLaterFrames(t *testing.T) {
	for _, c := range []struct {
		name, frame string
		closes      bool
	}{
		{"not JSON", `nonsense`, true},
		{"no type", `{}`, true},
		{"an ack without an outcome", `{"type":"ack","id":"x"}`, true},
		{"an unknown type is ignored", `{"type":"from_the_future","id":7}`, false},
		{"an ack of nothing is ignored", `{"type":"ack","id":"x","outcome":"ignored"}`, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newRig(t, nil)
				s := who("ann", "s1")
				conn := g.open(s)
				if err := conn.Send([]byte(c.frame)); err != nil {
					t.Fatal(err)
				}
				if c.closes {
					wantClose(t, conn, tab.CloseInvalidData)
					return
				}
				g.publish(sessionRevoked(s, ""))
				if f := next(t, conn); f.Type != tab.TypeLogout {
					t.Errorf("got %+v, want the notice", f)
				}
			})
		})
	}
}

// Receipts are made of acknowledgements, so a tab can acknowledge only what it was shown, and once.
func TestAcknowledgement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, nil)
		s := who("ann", "s1")
		c := g.open(s)
		if err := c.Ack("0190-made-up", tab.OutcomeSignedOut); err != nil {
			t.Fatal(err)
		}
		e := sessionRevoked(s, "")
		if err := c.Ack(e.ID, tab.OutcomeSignedOut); err != nil { // before it was told
			t.Fatal(err)
		}
		synctest.Wait()
		g.publish(e)
		if f := next(t, c); f.ID != e.ID {
			t.Fatalf("got %+v", f)
		}
		began := time.Now()
		go func() {
			_ = c.Ack(e.ID, tab.OutcomeAlready)
			_ = c.Ack(e.ID, tab.OutcomeSignedOut)
		}()
		wantClose(t, c, tab.CloseSignedOut)
		if took := time.Since(began); took != 0 {
			t.Errorf("closed %v after the acknowledgement, want at once", took)
		}
		synctest.Wait()
		g.shownMu.Lock()
		defer g.shownMu.Unlock()
		if len(g.shown) != 1 || g.shown[0] != e.ID {
			t.Errorf("shown %v, want %s once", g.shown, e.ID)
		}
		if n := testutil.ToFloat64(g.metrics.Acks.WithLabelValues("already")); n != 1 {
			t.Errorf("%v acks counted, want 1", n)
		}
	})
}

// Trap 16: a notice that was sent is no notice that was shown. Without an acknowledgement the tab is closed, and nothing is reported.
func TestNoAcknowledgement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, nil)
		s := who("ann", "s1")
		c := g.open(s)
		g.publish(sessionRevoked(s, ""))
		if f := next(t, c); f.Type != tab.TypeLogout {
			t.Fatalf("got %+v", f)
		}
		began := time.Now()
		wantClose(t, c, tab.CloseSignedOut)
		if took := time.Since(began); took != ackTimeout {
			t.Errorf("closed after %v, want %v", took, ackTimeout)
		}
		pass(closeTimeout)
		g.shownMu.Lock()
		defer g.shownMu.Unlock()
		if len(g.shown) > 0 || testutil.CollectAndCount(g.metrics.Acks) > 0 {
			t.Errorf("reported as shown: %v", g.shown)
		}
	})
}

// An acknowledgement that crosses the close frame counts.
func TestAcknowledgementCrossesClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, nil)
		s := who("ann", "s1")
		c := g.open(s)
		e := sessionRevoked(s, "")
		g.publish(e)
		next(t, c)
		pass(ackTimeout)
		if err := c.Ack(e.ID, tab.OutcomeSignedOut); err != nil {
			t.Fatal(err)
		}
		wantClose(t, c, tab.CloseSignedOut)
		if n := testutil.ToFloat64(g.metrics.Acks.WithLabelValues("signed_out")); n != 1 {
			t.Errorf("%v acks counted, want 1", n)
		}
	})
}

// RFC 6455 section 7.1.1: the server closes the socket first, so a browser that closes waits for it.
func TestPeerCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, nil)
		c, began := g.open(who("ann", "s1")), time.Now()
		if err := c.SendFrame(ws.NewCloseFrame(ws.NewCloseFrameBody(1001, "going"))); err != nil {
			t.Fatal(err)
		}
		nc := c.NetConn()
		f, err := readFrame(nc)
		if err != nil || f.Header.OpCode != ws.OpClose {
			t.Fatalf("got %+v, %v; want the answer", f, err)
		}
		if _, err := nc.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("then %v, want the end", err)
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("the socket was closed %v later, want at once", took)
		}
	})
}

// A peer that never answers the close frame, or goes on sending, is given up.
func TestPeerNeverAnswersClose(t *testing.T) {
	for _, sends := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			g := newRig(t, nil)
			c := g.open(who("ann", "s1"))
			nc := c.NetConn()
			if err := c.Send([]byte("nonsense")); err != nil {
				t.Fatal(err)
			}
			if f, err := readFrame(nc); err != nil || f.Header.OpCode != ws.OpClose {
				t.Fatalf("got %+v, %v; want a close frame", f, err)
			}
			began := time.Now()
			for sends && c.SendFrame(ws.NewPingFrame(nil)) == nil {
				pass(time.Second / 10)
			}
			if _, err := nc.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
				t.Errorf("then %v, want the end", err)
			}
			if took := time.Since(began); took > closeTimeout+time.Second/10 {
				t.Errorf("given up after %v, want %v", took, closeTimeout)
			}
			synctest.Wait()
			if g.svc.Open() != 0 {
				t.Error("the conn is still there")
			}
		})
	}
}

func TestReadyTellsHeartbeatAndPosition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, func(cfg *Config) { cfg.Heartbeat = 7 * time.Second })
		g.publish(sessionRevoked(who("bob", "s9"), ""))
		c := g.pipe()
		hello(t, c, g.ticket(who("ann", "s1")))
		got := next(t, c)
		want := tab.Frame{Type: tab.TypeReady, Session: "s1", Position: g.replica.Status().Position, HeartbeatMS: 7000}
		if got != want {
			b, _ := json.Marshal(got)
			t.Errorf("ready is %s, want %+v", b, want)
		}
	})
}

// Undetermined lets nobody in (fail closed).
func TestUndetermined(t *testing.T) {
	t.Run("stale replica", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			g := newRig(t, nil)
			g.feed.Stall()
			pass(revocation.DefaultStalenessBudget + time.Second)
			c := g.pipe()
			hello(t, c, g.ticket(who("ann", "s1")))
			wantClose(t, c, tab.CloseOverloaded)
		})
	})
	t.Run("bucket gone", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			g := newRig(t, func(cfg *Config) { cfg.UsedTickets = &usedTickets{err: errors.New("no responders")} })
			c := g.pipe()
			hello(t, c, g.ticket(who("ann", "s1")))
			wantClose(t, c, tab.CloseOverloaded)
		})
	})
}
