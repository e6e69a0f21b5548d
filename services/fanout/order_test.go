package fanout

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/events/tab"
	"github.com/curfewhq/curfew/internal/tabclient"
	"github.com/curfewhq/curfew/revocation"
)

// Revocations race connects (trap 8): whatever the order, each tab gets its notice and 4501; ready, if at all, before it.
func TestTrapRegisterCheckReady(t *testing.T) {
	g := newRig(t, func(cfg *Config) { cfg.MaxHandshakesPerIP = -1 })
	const n, each = 60, 4
	var wg sync.WaitGroup
	for i := range n {
		s := who(fmt.Sprintf("user-%d", i%7), fmt.Sprintf("s%d", i))
		for range each {
			text, conn := g.ticket(s), g.pipe()
			wg.Go(func() {
				// No helper that ends the test: this is another goroutine.
				if err := conn.Hello(text); err != nil {
					t.Errorf("hello: %v", err)
					return
				}
				if err := toldInOrder(t.Context(), conn); err != nil {
					t.Errorf("%s: %v", s.ID, err)
				}
			})
		}
		wg.Go(func() { g.feed.Publish(sessionRevoked(s, "bye")) })
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	within(t, done, "telling all tabs")
	eventually(t, "no conn is left", func() bool { return g.svc.Open() == 0 })
}

// Trap 8 without a race: the session is revoked when its check has been answered and before anything has come of the answer. A conn that was
// registered before it was checked is told; one that is registered afterwards would never be.
func TestTrap8RegistersBeforeItChecks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := who("ann", "s1")
		e := sessionRevoked(s, "bye")
		late := &lateReplica{}
		g := newRig(t, func(cfg *Config) {
			late.Replica = cfg.Replica
			cfg.Replica = late
		})
		// Its turn comes after the gateway's, which has been told by then.
		told := make(chan struct{})
		defer g.replica.OnApplied(func(revocation.Applied) { close(told) })()
		var answered revocation.State
		late.between = func(d revocation.Decision) {
			answered = d.State
			g.feed.Publish(e)
			<-told
		}
		conn := g.pipe()
		hello(t, conn, g.ticket(s))
		got := watch(conn)
		synctest.Wait()
		if answered != revocation.Active {
			t.Fatalf("the check was answered with %v: this test shows nothing", answered)
		}
		if diff := cmp.Diff(logoutOf(e), got.take()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// A tab comes whose session is over, and before it is told an event reaches it that hasn't ended it. It is told of the one that has.
func TestToldOfWhatHasEndedIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := who("ann", "s1")
		late := &lateReplica{}
		g := newRig(t, func(cfg *Config) {
			late.Replica = cfg.Replica
			cfg.Replica = late
		})
		e := sessionRevoked(s, "bye")
		g.publish(e)
		late.between = func(revocation.Decision) {
			g.publish(&events.UserLoggedOutEverywhere{Common: common(""), User: "ann", Cutoff: s.AuthTime.Add(-time.Minute)})
		}
		conn := g.pipe()
		hello(t, conn, g.ticket(s))
		got := watch(conn)
		synctest.Wait()
		if diff := cmp.Diff(logoutOf(e), got.take()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// lateReplica lets something happen between its first answer and what is made of it.
type lateReplica struct {
	Replica
	between func(revocation.Decision)
	begun   atomic.Bool
}

func (r *lateReplica) Check(s revocation.Session) revocation.Decision {
	d := r.Replica.Check(s)
	if r.begun.CompareAndSwap(false, true) {
		r.between(d)
	}
	return d
}

// toldInOrder reads ready or not, any number of sessions_changed after it, the notice, and the close.
func toldInOrder(ctx context.Context, conn *tabclient.Conn) error {
	var types []tab.FrameType
	for {
		f, err := conn.Next(ctx)
		var closed *tabclient.CloseError
		switch {
		case errors.As(err, &closed) && closed.Code == tab.CloseSignedOut && slices.Contains(types, tab.TypeLogout):
			return nil
		case err != nil:
			return fmt.Errorf("after %v: %w", types, err)
		case len(types) == 0 && f.Type == tab.TypeSessionsChanged:
			return errors.New("sessions_changed before ready")
		}
		types = append(types, f.Type)
		if f.Type == tab.TypeLogout {
			if err := conn.Ack(f.ID, tab.OutcomeSignedOut); err != nil {
				return err
			}
		}
	}
}

// What comes between registering and ready isn't lost, and doesn't come first.
func TestReadyComesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, nil)
		conn := g.pipe()
		got := watch(conn)
		synctest.Wait()
		c := g.onlyConn()
		c.entry = g.svc.hub.Add(who("ann", "s1"), c)
		for range 3 {
			g.publish(sessionRevoked(who("ann", "another"), ""))
		}
		c.answer(nil) // a writer that runs before ready must not take it for sent
		synctest.Wait()
		frame, err := tab.EncodeReady(tab.Ready{Session: "s1"})
		if err != nil {
			t.Fatal(err)
		}
		c.sendReady(newMessage(frame, 0), 0, false)
		synctest.Wait()
		if diff := cmp.Diff([]string{"ready", "sessions_changed"}, got.take()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// A notice that comes between registering and ready makes ready void.
func TestNoReadyAfterNotice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, nil)
		got := watch(g.pipe())
		synctest.Wait()
		c := g.onlyConn()
		s := who("ann", "s1")
		c.entry = g.svc.hub.Add(s, c)
		e := sessionRevoked(s, "bye")
		g.publish(e)
		c.sendReady(newMessage([]byte(`{"type":"ready"}`), 0), 0, false)
		synctest.Wait()
		// The acknowledgement is no hello, which is what this conn waits for.
		if diff := cmp.Diff([]string{logoutOf(e)[0], "closed 1007"}, got.take()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// A service takes conns before Run has begun, and tells them all the same.
func TestRevokedBeforeRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := idleRig(t, nil)
		s := who("ann", "s1")
		got, other := watch(g.open(s)), watch(g.open(who("ann", "s2")))
		e := sessionRevoked(s, "bye")
		g.publish(e)
		synctest.Wait()
		if diff := cmp.Diff(logoutOf(e), got.take()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]string{"sessions_changed"}, other.take()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		g.start()
	})
}

// A conn that is closed while its notice is being prepared, by a peer that never answers, must not stay (a cleared deadline kept it, and Run
// waited for ever).
func TestClosedWhileAdmitted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked, answer := make(chan struct{}), make(chan struct{})
		g := newRig(t, func(cfg *Config) {
			cfg.EventAt = func(context.Context, uint64) (events.Event, error) {
				close(asked)
				<-answer
				return nil, errors.New("gone")
			}
		})
		s := who("ann", "s1")
		g.publish(sessionRevoked(s, ""))
		conn := g.pipe()
		hello(t, conn, g.ticket(s))
		<-asked
		go g.stop()
		// The drain frame and the close frame, and no answer.
		if _, err := conn.NetConn().Read(make([]byte, 4096)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		close(answer)
		pass(closeTimeout)
		if n := g.svc.Open(); n != 0 {
			t.Errorf("%d conns are left", n)
		}
	})
}

// Trap 35: an event of another account, or of the same user in another tenant, is none of the tab's business.
func TestTrapAnotherAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, nil)
		got := watch(g.open(who("ann", "s1")))
		e := sessionRevoked(revocation.Session{ID: "s1", User: "ann"}, "")
		e.Tenant = "beta"
		g.publish(e)
		g.publish(sessionRevoked(who("bob", "s2"), ""))
		synctest.Wait()
		if all := got.take(); len(all) > 0 {
			t.Errorf("the tab was sent %v", all)
		}
	})
}

// onlyConn returns the conn that there is.
func (g *rig) onlyConn() *conn {
	g.t.Helper()
	g.svc.mu.Lock()
	defer g.svc.mu.Unlock()
	for c := range g.svc.conns {
		return c
	}
	g.t.Fatal("there is no conn")
	return nil
}
