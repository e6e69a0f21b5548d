package fanout

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/events/tab"
	"github.com/curfewhq/curfew/internal/tabclient"
	"github.com/curfewhq/curfew/revocation"
)

// seen is what a tab has been sent: frames as "type" or "logout <id> <scope> <message>", and at last "closed <code>".
type seen struct {
	mu  sync.Mutex
	all []string
}

func (s *seen) add(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, what)
}

// take returns what has come since the last call.
func (s *seen) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.all
	s.all = nil
	return all
}

// watch reads c and acknowledges notices until c is closed.
func watch(c peer) *seen {
	s := &seen{}
	go func() {
		for {
			f, err := c.Next(context.Background())
			var closed *tabclient.CloseError
			switch {
			case errors.As(err, &closed):
				s.add(fmt.Sprintf("closed %d", closed.Code))
				return
			case err != nil:
				s.add("gone")
				return
			case f.Type == tab.TypeLogout:
				s.add(strings.TrimSpace(strings.Join([]string{"logout", f.ID, f.Scope, f.Message}, " ")))
				_ = c.Ack(f.ID, tab.OutcomeSignedOut)
			default:
				s.add(string(f.Type))
			}
		}
	}()
	return s
}

func logoutOf(e events.Event) []string {
	return []string{strings.TrimSpace(fmt.Sprintf("logout %s %s %s", e.Meta().ID, e.Kind(), e.Meta().ReasonUser)), "closed 4501"}
}

// ends is the contract's own words (docs/guarantees.md, section 2), without an index and without a set.
func ends(e events.Event, s revocation.Session) bool {
	if e.Meta().Tenant != s.Tenant {
		return false
	}
	until := func(cutoff time.Time) bool { return s.AuthTime.UnixMilli() <= cutoff.UnixMilli() }
	switch e := e.(type) {
	case *events.SessionRevoked:
		return e.Session == s.ID
	case *events.UserLoggedOutEverywhere:
		return slices.Contains(e.KnownSessions, s.ID) || e.User == s.User && until(e.Cutoff) && !slices.Contains(e.Except, s.ID)
	case *events.DeviceLoggedOut:
		return e.Device == s.Device && until(e.Cutoff)
	case *events.ClientLoggedOut:
		return e.Client == s.Client && until(e.Cutoff)
	case *events.TenantLoggedOut:
		return until(e.Cutoff)
	}
	panic("a sixth kind")
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

// randomEvent ends something of the few things that there are.
func randomEvent(r *rand.Rand, sids []string) events.Event {
	c := common(pick(r, "", "Your password has changed."))
	c.Tenant = pick(r, tenant, tenant, "beta")
	c.Reason = pick(r, events.Reasons()...)
	user, device := pick(r, "ann", "bob", "eve"), pick(r, "d1", "d2")
	cutoff := time.Now().Add(-time.Duration(r.IntN(240)) * time.Minute)
	switch r.IntN(9) {
	case 0, 1, 2:
		return &events.SessionRevoked{Common: c, Session: pick(r, sids...), User: pick(r, "", user)}
	case 3, 4:
		e := &events.UserLoggedOutEverywhere{Common: c, User: user, Cutoff: cutoff, Except: []string{pick(r, sids...)}}
		if known := pick(r, sids...); r.IntN(2) == 0 && known != e.Except[0] {
			e.KnownSessions = []string{known, known}
		}
		return e
	case 5, 6:
		return &events.DeviceLoggedOut{Common: c, Device: device, User: pick(r, "", user), Cutoff: cutoff}
	case 7:
		return &events.ClientLoggedOut{Common: c, Client: pick(r, "app", "shop"), Cutoff: cutoff}
	}
	return &events.TenantLoggedOut{Common: c, Cutoff: cutoff.Add(-time.Hour)}
}

// TestExactlyTheRightConns: many tabs, many events, and for each tab exactly what the contract says.
func TestExactlyTheRightConns(t *testing.T) {
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { synctest.Test(t, func(t *testing.T) { rightConns(t, seed) }) })
	}
}

func rightConns(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 1))
	g := newRig(t, nil)
	var sids []string
	for i := range 10 {
		sids = append(sids, fmt.Sprintf("s%d", i))
	}
	type openTab struct {
		session revocation.Session
		conn    *tabclient.Conn
		seen    *seen
	}
	var tabs []openTab
	for _, tenant := range []string{tenant, "beta"} {
		for _, sid := range sids {
			s := revocation.Session{
				Tenant: tenant, ID: sid, User: pick(r, "ann", "ann", "bob", "eve"), Device: pick(r, "", "d1", "d2"), Client: pick(r, "", "app", "shop"),
				AuthTime: time.Now().Add(-time.Duration(r.IntN(300)) * time.Minute),
			}
			for range 1 + r.IntN(2) {
				conn := g.open(s)
				tabs = append(tabs, openTab{s, conn, watch(conn)})
			}
		}
	}
	for range 12 {
		e := randomEvent(r, sids)
		replay := r.IntN(6) == 0
		if replay {
			e.Meta().Replay = "incident-7"
		}
		affected := map[string]bool{e.UserID(): true}
		for _, o := range tabs {
			if ends(e, o.session) {
				affected[o.session.User] = true
			}
		}
		g.publish(e)
		synctest.Wait()
		var left []openTab
		for _, o := range tabs {
			var want []string
			over := ends(e, o.session)
			switch {
			case replay:
			case over:
				want = logoutOf(e)
			case o.session.Tenant == e.Meta().Tenant && affected[o.session.User]:
				want = []string{"sessions_changed"}
			}
			if diff := cmp.Diff(want, o.seen.take()); diff != "" {
				t.Errorf("%s (replay %t) %+v\nto the tab of %+v (-want +got):\n%s", events.Type(e), replay, e, o.session, diff)
			}
			switch {
			case !over:
				left = append(left, o)
			case replay:
				// Its session is over and nobody has told it: the next event that may concern it would.
				_ = o.conn.Close()
			}
		}
		tabs = left
		synctest.Wait()
	}
	for _, o := range tabs {
		if got := o.seen.take(); len(got) > 0 {
			t.Errorf("later %v to the tab of %+v", got, o.session)
		}
	}
}

// A replay that ends a session tells its open tab nothing. The next event that concerns the tab does: if it ends the session too, it is told, and
// otherwise no event is.
func TestReplayedThenTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, nil)
		tabs := map[string]*seen{}
		for _, sid := range []string{"s1", "s2", "s3"} {
			tabs[sid] = watch(g.open(who("ann", sid)))
		}
		for _, sid := range []string{"s2", "s3"} {
			replayed := sessionRevoked(who("ann", sid), "long ago")
			replayed.Replay = "incident-7"
			g.publish(replayed)
		}
		e := &events.UserLoggedOutEverywhere{Common: common("bye"), User: "ann", Cutoff: time.Now(), Except: []string{"s3"}}
		g.publish(e)
		synctest.Wait()
		for sid, want := range map[string][]string{"s1": logoutOf(e), "s2": logoutOf(e), "s3": {"logout unknown session", "closed 4501"}} {
			if diff := cmp.Diff(want, tabs[sid].take()); diff != "" {
				t.Errorf("%s (-want +got):\n%s", sid, diff)
			}
		}
		// No event was shown to the tab that was told of none.
		if diff := cmp.Diff([]string{e.ID, e.ID}, g.shown); diff != "" {
			t.Errorf("shown (-want +got):\n%s", diff)
		}
	})
}

// Trap 26: a tab learns no more than its person may see.
func TestTrapNoticeLeaksNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, nil)
		s := who("ann", "s1")
		nc := g.open(s).NetConn()
		e := &events.UserLoggedOutEverywhere{Common: common("bye"), User: "ann", Cutoff: time.Now(), KnownSessions: []string{"s1", "s2-of-another-browser"}}
		e.Initiator.ID = "admin-17"
		g.publish(e)
		all := make([]byte, 4096)
		n, err := nc.Read(all)
		if err != nil {
			t.Fatal(err)
		}
		got := string(all[:n])
		for _, secret := range []string{e.ReasonAdmin, "admin-17", "s2-of", "reason_admin", "initiator"} {
			if strings.Contains(got, secret) {
				t.Errorf("the tab was sent %q: %s", secret, got)
			}
		}
		if !strings.Contains(got, `"message":"bye"`) {
			t.Errorf("got %s, want the message", got)
		}
	})
}

// Trap 22: the end of one session closes its tabs and no other of the user's, and the end of a user's sessions closes all of them, also when a
// session has the name of a user.
func TestTrap22OneSessionOrTheWholeUser(t *testing.T) {
	one := sessionRevoked(revocation.Session{ID: "ann"}, "")
	all := &events.UserLoggedOutEverywhere{Common: common(""), User: "ann"}
	changed := []string{"sessions_changed"}
	for _, c := range []struct {
		name string
		e    events.Event
		want map[string][]string
	}{
		{"session", one, map[string][]string{"bob ann": logoutOf(one), "bob s3": changed}},
		{"user", all, map[string][]string{"ann s1": logoutOf(all), "ann s2": logoutOf(all), "ann bob": logoutOf(all)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newRig(t, nil)
				all.Cutoff = time.Now() // by the bubble's clock
				tabs := map[string][]*seen{}
				for _, name := range []string{"ann s1", "ann s2", "ann bob", "bob ann", "bob s3"} {
					user, sid, _ := strings.Cut(name, " ")
					for range 2 {
						tabs[name] = append(tabs[name], watch(g.open(who(user, sid))))
					}
				}
				g.publish(c.e)
				synctest.Wait()
				for name, both := range tabs {
					for _, o := range both {
						if diff := cmp.Diff(c.want[name], o.take()); diff != "" {
							t.Errorf("%s (-want +got):\n%s", name, diff)
						}
					}
				}
			})
		})
	}
}

// Trap 24: a tab that comes with another ticket of its session closes no other tab of it, and one whose session is over is told so for good, as
// often as it comes.
func TestTrap24NoTabKicksAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, nil)
		s := who("ann", "s1")
		var tabs []*seen
		for range 5 {
			tabs = append(tabs, watch(g.open(s)))
		}
		leaving := g.open(s)
		_ = leaving.Close()
		synctest.Wait()
		for i, o := range tabs {
			if got := o.take(); len(got) > 0 {
				t.Errorf("tab %d was sent %v because of another", i, got)
			}
		}
		e := sessionRevoked(s, "bye")
		g.publish(e)
		for range 3 { // it comes back all the same
			conn := g.pipe()
			hello(t, conn, g.ticket(s))
			tabs = append(tabs, watch(conn))
		}
		synctest.Wait()
		for i, o := range tabs {
			if diff := cmp.Diff(logoutOf(e), o.take()); diff != "" {
				t.Errorf("tab %d (-want +got):\n%s", i, diff)
			}
		}
		forged := g.pipe()
		hello(t, forged, g.ticket(s)+"x")
		refused := wantClose(t, forged, tab.CloseTicketRefused)
		if !tab.CloseSignedOut.Terminal() || !refused.Code.Terminal() {
			t.Error("a tab would come back by itself after 4501 or 4503")
		}
	})
}
