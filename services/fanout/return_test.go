package fanout

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/revocation"
)

// Trap 25: a tab that was offline when its session ended learns it when it comes back. What it is told of the event is read by position, where
// another event may lie after the stream was put back: nothing of that one is told.
func TestTrapOfflineTab(t *testing.T) {
	type read = func(context.Context, uint64) (events.Event, error)
	holds := func(e events.Event) func(*rig) read {
		return func(*rig) read { return func(context.Context, uint64) (events.Event, error) { return e, nil } }
	}
	changed := func(change func(*events.SessionRevoked)) func(*rig) read {
		e := sessionRevoked(who("ann", "s1"), "not yours")
		change(e)
		return holds(e)
	}
	for _, c := range []struct {
		name    string
		eventAt func(g *rig) read
		told    bool
	}{
		{"with its message", func(g *rig) read { return g.eventAt }, true},
		{"whose event can't be read", func(*rig) read {
			return func(context.Context, uint64) (events.Event, error) { return nil, errors.New("gone") }
		}, false},
		{"whose position holds another person's event", changed(func(e *events.SessionRevoked) { e.Session, e.User = "s2", "bob" }), false},
		{"whose position holds another tenant's event", changed(func(e *events.SessionRevoked) { e.Tenant = "beta" }), false},
		{"whose position holds an event for another reason", changed(func(e *events.SessionRevoked) { e.Reason = events.ReasonCompromised }), false},
		{"whose position holds a replay", changed(func(e *events.SessionRevoked) { e.Replay = "incident-7" }), false},
		{"whose position holds an event of another scope", holds(&events.TenantLoggedOut{Common: common("not yours"), Cutoff: time.Now().AddDate(200, 0, 0)}), false},
		{"while reading events hangs", func(*rig) read {
			return func(ctx context.Context, _ uint64) (events.Event, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			}
		}, false},
		{"without EventAt", func(*rig) read { return nil }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var g *rig
				at := func(ctx context.Context, p uint64) (events.Event, error) { return c.eventAt(g)(ctx, p) }
				g = newRig(t, func(cfg *Config) { cfg.EventAt = at })
				if c.eventAt(g) == nil {
					g.svc.cfg.EventAt = nil
				}
				s := who("ann", "s1")
				text := g.ticket(s) // issued while the session was alive
				e := sessionRevoked(s, "bye")
				g.publish(e)
				conn := g.pipe()
				hello(t, conn, text)
				got := watch(conn)
				pass(2 * time.Second)
				want, shown := []string{"logout unknown session", "closed 4501"}, []string(nil)
				if c.told {
					want, shown = logoutOf(e), []string{e.ID}
				}
				if diff := cmp.Diff(want, got.take()); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(shown, g.shown); diff != "" {
					t.Errorf("events that count as shown (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// A tab that shows a session past max age is told so on connect, and one that is open when it happens soon after (trap 23). The frame is one
// that the protocol knows.
func TestTrapMaxAge(t *testing.T) {
	want := []string{"logout max_age session", "closed 4501"}
	t.Run("on connect", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			g := newRig(t, nil)
			s := who("ann", "s1")
			s.AuthTime = time.Now().Add(-revocation.DefaultMaxAge)
			conn := g.pipe()
			hello(t, conn, g.ticket(s))
			got := watch(conn)
			synctest.Wait()
			if diff := cmp.Diff(want, got.take()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	})
	t.Run("while open", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			g := newRig(t, nil)
			s := who("ann", "s1")
			s.AuthTime = time.Now().Add(time.Minute - revocation.DefaultMaxAge)
			got := watch(g.open(s))
			other := watch(g.open(who("ann", "s2")))
			pass(time.Minute - time.Second)
			if early := got.take(); len(early) > 0 {
				t.Fatalf("too early: %v", early)
			}
			pass(5 * time.Second)
			if diff := cmp.Diff(want, got.take()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if more := other.take(); len(more) > 0 || len(g.shown) > 0 {
				t.Errorf("the other tab was sent %v; events shown: %v", more, g.shown)
			}
		})
	})
}

// unheard is a replica that tells nobody what it applies, as one that begins anew from a snapshot doesn't tell what is in it.
type unheard struct{ *revocation.Replica }

func (unheard) OnApplied(func(revocation.Applied)) (stop func()) { return func() {} }

// A revocation that came without an event reaches open tabs all the same, within some beats of the heart.
func TestRevokedWithoutAnEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, func(cfg *Config) { cfg.Replica = unheard{cfg.Replica.(*revocation.Replica)} })
		s := who("ann", "s1")
		got, other := watch(g.open(s)), watch(g.open(who("ann", "s2")))
		g.feed.Publish(sessionRevoked(s, "bye"))
		// As long as conns wait to be told of events, this one may be among them, and is told of its event then.
		g.svc.masses.take()
		pass(4 * auditEvery)
		if early := got.take(); len(early) > 0 {
			t.Errorf("told %v while others are being told of events", early)
		}
		g.svc.masses.told()
		pass(2*auditEvery + time.Second)
		// The event isn't read here, where it would hold up the hearts of all.
		if diff := cmp.Diff([]string{"logout " + noticeNoEvent + " session", "closed 4501"}, got.take()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if more := other.take(); len(more) > 0 {
			t.Errorf("the other tab was sent %v", more)
		}
	})
}
