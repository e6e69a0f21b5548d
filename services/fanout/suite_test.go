package fanout

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/events/tab"
	"github.com/curfewhq/curfew/internal/tabclient"
	"github.com/curfewhq/curfew/revocation"
)

// peer is a tab's end of a conn, whatever its transport.
type peer interface {
	Next(context.Context) (tab.Frame, error)
	Ack(id string, outcome tab.Outcome) error
	Close() error
}

// transports are what a conn may speak, and how one for s is opened in a bubble by a tab that has heard of known.
var transports = map[string]func(g *rig, s revocation.Session, known cursor) peer{
	"websocket": func(g *rig, s revocation.Session, known cursor) peer {
		c := g.pipe()
		b, err := tab.EncodeHello(tab.Hello{Ticket: g.ticket(s), Position: known.position, After: known.after})
		if err == nil {
			err = c.Send(b)
		}
		if err != nil {
			g.t.Fatal(err)
		}
		return c
	},
	"sse": func(g *rig, s revocation.Session, known cursor) peer {
		if p := g.svc.enter(peerKey(0), false); p.Status != 0 {
			g.t.Fatalf("no room: %+v", p)
		}
		here, there := newPipe(g.t)
		go g.svc.open(g.svc.newStream(there, nil, peerKey(0), nil), caller{origin: site, who: &identity{session: s}, known: known})
		stream := tabclient.OnStream(here, g.ackBeside)
		g.t.Cleanup(func() { _ = stream.Close() })
		return stream
	},
}

// ackBeside posts an acknowledgement without a network.
func (g *rig) ackBeside(stream, id string, outcome tab.Outcome) error {
	q := httptest.NewRequest(http.MethodPost, pathAcks, strings.NewReader(tabclient.AckBody(stream, id, outcome)))
	q.Header.Set("Origin", site)
	w := httptest.NewRecorder()
	g.svc.handleAck(w, q)
	if w.Code != http.StatusNoContent {
		return &tabclient.StatusError{Status: w.Code}
	}
	return nil
}

// onEach runs a test in a bubble with each transport. open opens a conn and reads nothing.
func onEach(t *testing.T, change func(*Config), run func(t *testing.T, g *rig, open func(revocation.Session, cursor) peer)) {
	for name, dial := range transports {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newRig(t, change)
				run(t, g, func(s revocation.Session, known cursor) peer { return dial(g, s, known) })
				pass(closeTimeout + writeTimeout + ackTimeout)
			})
		})
	}
}

// want has a tab's frames so far be these.
func (s *seen) want(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	if diff := cmp.Diff(want, s.take()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestSuiteRevocation(t *testing.T) {
	onEach(t, nil, func(t *testing.T, g *rig, open func(revocation.Session, cursor) peer) {
		s := who("ann", "s1")
		mine, other, stranger := watch(open(s, cursor{})), watch(open(who("ann", "s2"), cursor{})), watch(open(who("bob", "s3"), cursor{}))
		for _, o := range []*seen{mine, other, stranger} {
			o.want(t, "ready")
		}
		e := sessionRevoked(s, "bye")
		g.publish(e)
		mine.want(t, logoutOf(e)...)
		other.want(t, "sessions_changed")
		stranger.want(t)
		if n := testutil.ToFloat64(g.metrics.Acks.WithLabelValues("signed_out")); n != 1 || len(g.shown) != 1 || g.shown[0] != e.ID {
			t.Errorf("%v acknowledgements, shown %v; want one of %s", n, g.shown, e.ID)
		}
		if n := g.svc.Open(); n != 2 {
			t.Errorf("%d conns are left, want 2", n)
		}
	})
}

// A tab that doesn't acknowledge is closed all the same.
func TestSuiteNoAcknowledgement(t *testing.T) {
	onEach(t, nil, func(t *testing.T, g *rig, open func(revocation.Session, cursor) peer) {
		s := who("ann", "s1")
		c := open(s, cursor{})
		next(t, c)
		g.publish(sessionRevoked(s, "bye"))
		next(t, c)
		began := time.Now()
		var closed *tabclient.CloseError
		if _, err := c.Next(t.Context()); !errors.As(err, &closed) || closed.Code != tab.CloseSignedOut || time.Since(began) != ackTimeout {
			t.Errorf("got %v after %v, want 4501 after %v", err, time.Since(began), ackTimeout)
		}
	})
}

// What ended while a tab was away it is told when it comes back, and nothing else.
func TestSuiteRevokedMeanwhile(t *testing.T) {
	onEach(t, nil, func(t *testing.T, g *rig, open func(revocation.Session, cursor) peer) {
		s := who("ann", "s1")
		e := sessionRevoked(s, "bye")
		g.publish(e)
		watch(open(s, cursor{})).want(t, logoutOf(e)...)
	})
}

// A tab that comes back is told that something changed if the gateway remembers an event of its user since.
func TestSuiteComesBack(t *testing.T) {
	onEach(t, nil, func(t *testing.T, g *rig, open func(revocation.Session, cursor) peer) {
		s := who("ann", "s1")
		g.publish(sessionRevoked(who("bob", "b1"), ""))
		first := open(s, cursor{})
		ready := next(t, first)
		_ = first.Close()
		watch(open(s, cursor{position: ready.Position})).want(t, "ready")
		e := sessionRevoked(who("ann", "s2"), "")
		g.publish(e)
		watch(open(s, cursor{position: ready.Position})).want(t, "ready", "sessions_changed")
		again := watch(open(s, cursor{after: e.ID}))
		again.want(t, "ready")
		g.publish(sessionRevoked(who("ann", "s3"), ""))
		again.want(t, "sessions_changed")
		watch(open(s, cursor{after: e.ID})).want(t, "ready", "sessions_changed")
		watch(open(s, cursor{})).want(t, "ready")
		watch(open(s, cursor{after: "never-heard-of"})).want(t, "ready")
	})
}

func TestSuiteAbsoluteEnd(t *testing.T) {
	onEach(t, nil, func(t *testing.T, g *rig, open func(revocation.Session, cursor) peer) {
		s := who("ann", "s1")
		s.AuthTime = time.Now().Add(time.Minute - g.replica.MaxAge())
		c := watch(open(s, cursor{}))
		c.want(t, "ready")
		pass(time.Minute - time.Second)
		c.want(t)
		pass(time.Second + 20*time.Millisecond)
		c.want(t, "logout max_age session", "closed 4501")
	})
}

func TestSuiteDrain(t *testing.T) {
	onEach(t, nil, func(t *testing.T, g *rig, open func(revocation.Session, cursor) peer) {
		c := open(who("ann", "s1"), cursor{})
		next(t, c)
		go g.svc.Drain(t.Context())
		f := next(t, c)
		if f.Type != tab.TypeDrain || f.ReconnectAfterMS < 100 {
			t.Errorf("got %+v, want drain", f)
		}
		var closed *tabclient.CloseError
		_, err := c.Next(t.Context())
		if want := tab.DrainReason(time.Duration(f.ReconnectAfterMS) * time.Millisecond); !errors.As(err, &closed) || closed.Code != tab.CloseDrain || closed.Reason != want {
			t.Errorf("got %v, want 1012 %s", err, want)
		}
		if stream, ok := c.(*tabclient.Stream); ok && (stream.Retry().Milliseconds() != f.ReconnectAfterMS || stream.LastID() == tab.StreamOver) {
			t.Errorf("the browser would come back after %v with the id %q, want %d ms and a position", stream.Retry(), stream.LastID(), f.ReconnectAfterMS)
		}
	})
}

// A conn that keeps up lives on and on, whichever way signs of life go.
func TestSuiteLivesOn(t *testing.T) {
	onEach(t, nil, func(t *testing.T, g *rig, open func(revocation.Session, cursor) peer) {
		c := watch(open(who("ann", "s1"), cursor{}))
		c.want(t, "ready")
		pass(12 * time.Hour)
		c.want(t)
		if g.svc.Open() != 1 {
			t.Error("the conn is gone")
		}
		pass(12 * time.Hour)
		c.want(t, "drain", "closed 1012")
	})
}

// One that doesn't read is closed alone.
func TestSuiteStalled(t *testing.T) {
	onEach(t, nil, func(t *testing.T, g *rig, open func(revocation.Session, cursor) peer) {
		stalled := open(who("ann", "stalled"), cursor{})
		next(t, stalled)
		others := make([]*seen, 20)
		for i := range others {
			others[i] = watch(open(who("ann", fmt.Sprintf("s%d", i)), cursor{}))
			others[i].want(t, "ready")
		}
		for i := range 2 * maxQueued {
			began := time.Now()
			g.publish(sessionRevoked(who("ann", fmt.Sprintf("elsewhere-%d", i)), ""))
			for _, o := range others {
				o.want(t, "sessions_changed")
			}
			if took := time.Since(began); took != 0 {
				t.Errorf("the others waited for %v", took)
			}
		}
		pass(writeTimeout)
		if g.closed("1013") != 1 || g.svc.Open() != len(others) {
			t.Errorf("%v closed with 1013 and %d left; want 1 and %d", g.closed("1013"), g.svc.Open(), len(others))
		}
	})
}

// One user can't take all places.
func TestSuiteTooManyTabs(t *testing.T) {
	onEach(t, func(cfg *Config) { cfg.MaxConnsPerUser = 3 }, func(t *testing.T, g *rig, open func(revocation.Session, cursor) peer) {
		for i := range 3 {
			watch(open(who("ann", fmt.Sprintf("s%d", i)), cursor{})).want(t, "ready")
		}
		watch(open(who("ann", "s4"), cursor{})).want(t, "closed 4029")
		watch(open(who("bob", "b1"), cursor{})).want(t, "ready")
	})
}

// Nor can who opens very many at once, whatever they say to have heard; and as many as may be are let in.
func TestTooManyTabsAtOnce(t *testing.T) {
	for name, heard := range map[string]string{"new ones": "", "that have heard what nobody has": "999999999999"} {
		t.Run(name, func(t *testing.T) {
			g := newRig(t, func(cfg *Config) { cfg.MaxConnsPerUser, cfg.MaxHandshakesPerIP, cfg.MaxHandshakes = 5, -1, 100 })
			url := "http://" + g.serveFront(nil, nil)
			pass := g.passFor(who("ann", "s1"))
			var dialling sync.WaitGroup
			var ready, refused atomic.Int64
			for range 40 {
				dialling.Go(func() {
					ctx, cancel := timeout(t, patience)
					t.Cleanup(cancel)
					c, err := tabclient.Reopen(ctx, http.DefaultClient, url, site, pass, heard)
					if err != nil {
						t.Error(err)
						return
					}
					t.Cleanup(func() { _ = c.Close() })
					var closed *tabclient.CloseError
					switch f, err := c.Next(ctx); {
					case err == nil && f.Type == tab.TypeReady:
						ready.Add(1)
					case errors.As(err, &closed) && closed.Code == tab.CloseSlowDown:
						refused.Add(1)
					}
				})
			}
			dialling.Wait()
			if ready.Load() != 5 || refused.Load() != 35 {
				t.Errorf("%d are let in and %d are told 4029; want 5 and 35", ready.Load(), refused.Load())
			}
		})
	}
}

// A replay tells no browser anything.
func TestSuiteReplay(t *testing.T) {
	onEach(t, nil, func(t *testing.T, g *rig, open func(revocation.Session, cursor) peer) {
		s := who("ann", "s1")
		c := watch(open(s, cursor{}))
		c.want(t, "ready")
		e := &events.SessionRevoked{Common: common(""), Session: "another", User: "ann"}
		e.Replay = "r1"
		g.publish(e)
		c.want(t)
	})
}
