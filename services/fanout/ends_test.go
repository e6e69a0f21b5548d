package fanout

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/curfewhq/curfew/events/tab"
	"github.com/curfewhq/curfew/internal/tabclient"
	"github.com/curfewhq/curfew/revocation"
)

// openUntil opens a conn whose ticket tells its session's end.
func (g *rig) openUntil(s revocation.Session, end time.Time) *tabclient.Conn {
	g.t.Helper()
	text, _ := g.svc.tickets.issue(ticket{
		Tenant: s.Tenant, User: s.User, Session: s.ID, AuthTime: s.AuthTime.UnixMilli(), SessionExpires: end.UnixMilli(),
	}, time.Now())
	c := g.pipe()
	hello(g.t, c, text)
	if f := next(g.t, c); f.Type != tab.TypeReady {
		g.t.Fatalf("first frame %+v, want ready", f)
	}
	return c
}

// Tabs are signed out when their session comes to its end, however soon after they have come, and others aren't.
func TestSessionsAbsoluteEnd(t *testing.T) {
	for _, in := range []time.Duration{time.Second, time.Minute, time.Hour} {
		t.Run(in.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newRig(t, nil)
				got, other := watch(g.openUntil(who("ann", "s1"), time.Now().Add(in))), watch(g.open(who("ann", "s2")))
				pass(in - time.Millisecond)
				if early := got.take(); len(early) > 0 {
					t.Fatalf("too early: %v", early)
				}
				pass(3 * slotMS * time.Millisecond)
				if diff := cmp.Diff([]string{"logout max_age session", "closed 4501"}, got.take()); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				if more := other.take(); len(more) > 0 {
					t.Errorf("the other session's tab was sent %v", more)
				}
			})
		})
	}
}

// However late the end that a ticket tells, max age comes first.
func TestSessionsEndIsNoLaterThanMaxAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, nil)
		s := who("ann", "s1")
		s.AuthTime = time.Now().Add(time.Minute - revocation.DefaultMaxAge)
		got := watch(g.openUntil(s, time.Now().Add(time.Hour)))
		pass(time.Minute + 3*slotMS*time.Millisecond)
		if diff := cmp.Diff([]string{"logout max_age session", "closed 4501"}, got.take()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// A conn that has been open for long enough is asked to come back, not all at the same time; with a negative age none is.
func TestConnsComeOfAge(t *testing.T) {
	const age = time.Hour
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, func(cfg *Config) { cfg.MaxConnAge = age })
		closed := map[time.Duration]int{}
		began := time.Now()
		ends := make(chan time.Duration)
		const n = 20
		for range n {
			c := g.open(who("ann", "s1"))
			go func() {
				for {
					if _, err := c.Next(t.Context()); err != nil {
						ends <- time.Since(began)
						return
					}
				}
			}()
		}
		for range n {
			at := <-ends
			closed[at]++
			if at < age*9/10 || at > age+3*slotMS*time.Millisecond {
				t.Errorf("closed after %v, want %v at most and a tenth less at least", at, age)
			}
		}
		if len(closed) < n/2 {
			t.Errorf("%d conns were closed at %d times", n, len(closed))
		}
		synctest.Wait()
		if g.closed("1012") != n {
			t.Errorf("%v were closed with 1012, want %d", g.closed("1012"), n)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, func(cfg *Config) { cfg.MaxConnAge = -1 })
		got := watch(g.open(who("ann", "s1")))
		pass(48 * time.Hour)
		if more := got.take(); len(more) > 0 {
			t.Errorf("it was sent %v", more)
		}
	})
}
