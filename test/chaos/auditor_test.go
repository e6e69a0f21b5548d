package chaos

import (
	"errors"
	"fmt"
	"maps"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/revocation"
)

// auditor checks every session of a test again and again, from another goroutine than the test's, and holds each answer to the promises.
type auditor struct {
	t       *testing.T
	replica *revocation.Replica
	budget  time.Duration
	// grace is how much longer than its budget the replica may stay fresh after a fault, because it still hears everything.
	grace time.Duration
	stop  chan struct{}
	ended chan struct{}

	mu sync.Mutex
	// acknowledged: session → when its revocation was acknowledged, or later.
	acknowledged map[string]time.Time
	// refused are the sessions that were revoked once.
	refused map[string]bool
	// answers counts what the session that nobody revokes was.
	answers map[revocation.State]int
	// faults are broken promises.
	faults []string
}

// audit begins to check. It ends with the test, and reports then.
func audit(t *testing.T, replica *revocation.Replica, budget time.Duration) *auditor {
	t.Helper()
	a := &auditor{
		t: t, replica: replica, budget: budget, stop: make(chan struct{}), ended: make(chan struct{}),
		acknowledged: map[string]time.Time{}, refused: map[string]bool{}, answers: map[revocation.State]int{},
	}
	go a.run()
	t.Cleanup(func() {
		close(a.stop)
		<-a.ended
		for i, fault := range a.faults {
			if i < 20 {
				t.Error(fault)
			}
		}
	})
	return a
}

// revoked notes that a revocation has just been acknowledged.
func (a *auditor) revoked(session string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.acknowledged[session] = time.Now()
}

func (a *auditor) run() {
	defer close(a.ended)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-a.stop:
			return
		case <-tick.C:
			a.round()
		}
	}
}

func (a *auditor) round() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, at := range a.acknowledged {
		// Before the check, so that it isn't blamed for what the scheduler does in between.
		since := time.Since(at)
		d := a.replica.Check(sessionOf(id))
		switch {
		case d.State == revocation.Revoked:
			a.refused[id] = true
		case a.refused[id]:
			a.fault("session %s is %v (%v) though it was revoked before", id, d.State, d.Cause)
		case d.State == revocation.Active && since > a.budget:
			a.fault("session %s is active %v after its revocation was acknowledged", id, since)
		}
	}
	d := a.replica.Check(sessionOf("nobody-revokes-it"))
	a.answers[d.State]++
	if d.State == revocation.Revoked {
		a.fault("a session that nobody has revoked is revoked")
	}
}

func (a *auditor) fault(format string, args ...any) {
	if len(a.faults) < 1000 {
		a.faults = append(a.faults, fmt.Sprintf(format, args...))
	}
}

// revocations returns how many are acknowledged.
func (a *auditor) revocations() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.acknowledged)
}

// missing returns the sessions that are acknowledged as revoked and aren't.
func (a *auditor) missing() (ids []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for id := range a.acknowledged {
		if a.replica.Check(sessionOf(id)).State != revocation.Revoked {
			ids = append(ids, id)
		}
	}
	return ids
}

// counted returns how often the session that nobody revokes was what.
func (a *auditor) counted() map[revocation.State]int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return maps.Clone(a.answers)
}

// nothingMissed waits until the replica is fresh, and then knows every revocation that was acknowledged before.
func (a *auditor) nothingMissed() {
	a.t.Helper()
	a.fresh()
	// The replica is fresh as of a beat from before now: what was acknowledged before this is what the next beats prove.
	from := time.Now()
	eventually(a.t, "a beat from now", func() bool {
		s := a.replica.Status()
		return s.Fresh && s.Staleness >= 0 && s.Staleness < time.Since(from)
	})
	if ids := a.missing(); len(ids) > 0 {
		a.t.Errorf("acknowledged and missed: %v", ids)
	}
}

// fresh waits until the replica answers.
func (a *auditor) fresh() {
	a.t.Helper()
	eventually(a.t, "fresh", func() bool { return a.replica.Check(sessionOf("nobody-revokes-it")).State == revocation.Active })
}

// staleWithin waits until the replica is stale, and fails the test if that takes longer than its budget, a beat, and what a busy machine needs.
func (a *auditor) staleWithin(since time.Time) {
	a.t.Helper()
	const busy = time.Second
	eventually(a.t, "stale", func() bool {
		return errors.Is(a.replica.Check(sessionOf("nobody-revokes-it")).Cause, revocation.ErrStale)
	})
	if took := time.Since(since); took > a.budget+beat+a.grace+busy {
		a.t.Errorf("stale %v after the fault, want within the budget of %v and a beat", took, a.budget)
	}
}

// eventually waits until reached returns true. There is no hook for what doesn't happen, like a beat that doesn't come.
func eventually(t *testing.T, what string, reached func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !reached() {
		select {
		case <-deadline:
			t.Fatalf("waited in vain: %s", what)
		case <-tick.C:
		}
	}
}

// numbered returns the name of session n.
func numbered(n int) string { return "s-" + strconv.Itoa(n) }

func sessionOf(id string) revocation.Session {
	return revocation.Session{ID: id, User: "ada", AuthTime: time.Now().Add(-time.Hour)}
}

// logout returns an event that ends a session.
func logout(id string) *events.SessionRevoked {
	return &events.SessionRevoked{
		Common: events.Common{
			ID: "01890a5d-ac96-774b-bcce-b302099a8057", Time: time.Now(), Source: "chaos", Tenant: events.DefaultTenant,
			Reason: events.ReasonUserLogout, Initiator: events.Initiator{Type: events.InitiatorUser},
		},
		Session: id, User: "ada",
	}
}
