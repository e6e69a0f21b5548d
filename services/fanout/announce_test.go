package fanout

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/events/tab"
	"github.com/curfewhq/curfew/internal/tabclient"
	"github.com/curfewhq/curfew/revocation"
)

// heldReplica is a replica whose checks of one client's sessions wait, once held is set, until it is closed.
type heldReplica struct {
	*revocation.Replica
	client  string
	reached func()
	mu      sync.Mutex
	held    chan struct{}
}

func (r *heldReplica) Check(s revocation.Session) revocation.Decision {
	r.mu.Lock()
	held := r.held
	r.mu.Unlock()
	if held != nil && s.Client == r.client {
		r.reached()
		<-held
	}
	return r.Replica.Check(s)
}

func (r *heldReplica) hold(held chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held = held
}

const mass = atOnce + 10

// openMass opens the conns of a client, and another's.
func (g *rig) openMass(client string) (many []*tabclient.Conn, other *tabclient.Conn, of revocation.Session) {
	g.t.Helper()
	for i := range mass {
		s := who(fmt.Sprint("user-", i), fmt.Sprint("session-", i))
		s.Client = client
		many = append(many, g.open(s))
	}
	of = who("another", "another's")
	return many, g.open(of), of
}

// A logout of a client with many tabs is under way, for as long as it likes: a single logout behind it is told at once.
func TestMassLogoutHoldsNobodyUp(t *testing.T) {
	const client = "app"
	reached := make(chan struct{})
	held := make(chan struct{})
	release := sync.OnceFunc(func() { close(held) })
	defer release()
	replica := &heldReplica{client: client, reached: sync.OnceFunc(func() { close(reached) })}
	g := newRig(t, func(c *Config) {
		replica.Replica = c.Replica.(*revocation.Replica)
		c.Replica = replica
		c.Heartbeat = time.Hour
	})
	many, other, of := g.openMass(client)
	replica.hold(held)
	g.publish(&events.ClientLoggedOut{Common: common(""), Client: client, Cutoff: time.Now()})
	within(t, reached, "the mass logout's beginning")
	single := sessionRevoked(of, "bye")
	g.publish(single)
	if f := next(t, other); f.Type != tab.TypeLogout || f.ID != single.ID {
		t.Errorf("the other tab got %+v, want its logout", f)
	}
	release()
	for i, c := range many {
		if f := next(t, c); f.Type != tab.TypeLogout || f.Scope != "client" {
			t.Fatalf("tab %d got %+v, want the client's logout", i, f)
		}
	}
}

// The users of those that a mass logout ends hear in their other tabs that something changed, once, and nobody else does. Whom an event behind it ends meanwhile hears of that, and of nothing before.
func TestMassLogoutTellsTheOthersOfItsUsers(t *testing.T) {
	const client = "app"
	g := idleRig(t, func(c *Config) { c.Heartbeat = time.Hour })
	_, other, of := g.openMass(client)
	survivor, ended := g.open(who("user-3", "survivor")), g.open(who("user-4", "ended"))
	g.publish(&events.ClientLoggedOut{Common: common(""), Client: client, Cutoff: time.Now()})
	behind := sessionRevoked(who("user-4", "ended"), "bye")
	g.publish(behind)
	if f := next(t, ended); f.Type != tab.TypeLogout || f.ID != behind.ID {
		t.Errorf("the tab that was ended behind it got %+v, want its logout", f)
	}
	g.start()
	if f := next(t, survivor); f.Type != tab.TypeSessionsChanged {
		t.Errorf("the user's other tab got %+v, want that something changed", f)
	}
	for conn, s := range map[*tabclient.Conn]revocation.Session{survivor: who("user-3", "survivor"), other: of} {
		last := sessionRevoked(s, "")
		g.publish(last)
		if f := next(t, conn); f.Type != tab.TypeLogout || f.ID != last.ID {
			t.Errorf("the tab of %s got %+v, want only its own logout", s.User, f)
		}
	}
}

// More mass logouts come than can wait. None is lost: everybody is looked at.
func TestTooManyMassLogouts(t *testing.T) {
	const client = "app"
	g := idleRig(t, func(c *Config) { c.Heartbeat = time.Hour })
	many, other, of := g.openMass(client)
	// All but the last end nobody, for they have a cutoff before everybody's auth time.
	for range maxMasses {
		g.publish(&events.ClientLoggedOut{Common: common(""), Client: client, Cutoff: time.Now().Add(-2 * time.Hour)})
	}
	g.publish(&events.ClientLoggedOut{Common: common(""), Client: client, Cutoff: time.Now()})
	g.start()
	for i, c := range many {
		if f := next(t, c); f.Type != tab.TypeLogout || f.Scope != "client" {
			t.Fatalf("tab %d got %+v, want the client's logout", i, f)
		}
	}
	single := sessionRevoked(of, "")
	g.publish(single)
	if f := next(t, other); f.Type != tab.TypeLogout || f.ID != single.ID {
		t.Errorf("the other tab got %+v, want only its own logout", f)
	}
}

// Events wait to be told to many, or come while those wait, and end nobody. Who is ended by one of those that wait hears of that one, whatever else concerns him first.
func TestWhatWaitsToBeToldIsToldByItsEvent(t *testing.T) {
	const client = "app"
	g := idleRig(t, func(c *Config) { c.Heartbeat = time.Hour })
	many, _, _ := g.openMass(client)
	longAgo := time.Now().Add(-2 * time.Hour)
	ends := &events.ClientLoggedOut{Common: common(""), Client: client, Cutoff: time.Now()}
	g.publish(&events.ClientLoggedOut{Common: common(""), Client: client, Cutoff: longAgo})
	g.publish(ends)
	g.publish(&events.UserLoggedOutEverywhere{Common: common(""), User: "user-3", Cutoff: longAgo})
	g.start()
	for i, c := range many {
		if f := next(t, c); f.Type != tab.TypeLogout || f.ID != ends.ID {
			t.Errorf("tab %d got %+v, want the logout of %s", i, f, ends.ID)
		}
	}
}
