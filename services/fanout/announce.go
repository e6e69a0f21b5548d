package fanout

import (
	"context"
	"runtime"
	"slices"
	"sync"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/events/tab"
	"github.com/curfewhq/curfew/revocation"
)

const (
	// atOnce is how many conns an event may end for them to be told in the replica's goroutine, before it goes on: some tenths of a millisecond.
	atOnce = 64
	// fewHere is how many of them are written to there.
	fewHere = 8
	// maxMasses is how many events that end more wait. When there are more yet, every conn is looked at instead.
	maxMasses = 1024
	// breath is after how many conns of a mass others may run first. With eight times as many a mass is told in three quarters of the time, and a single tab behind it some
	// milliseconds later, which matters more.
	breath = 64
)

// connEntry is a conn in the hub.
type connEntry = revocation.LiveEntry[*conn]

// applied tells the conns that an event ends, and other tabs of the same users that something changed. It runs in the replica's goroutine, after
// the event has been applied. A logout of a whole client or tenant is left to another goroutine, so that one of a single session which comes
// right behind it doesn't wait.
func (s *Service) applied(a revocation.Applied) {
	// Afterwards who asks what was shown is told of this event, or that there are masses yet to be told.
	defer s.shown.reached(a.Position)
	if a.Event.Meta().Replay != "" {
		// Browsers aren't told of replays: the person was told when it happened.
		return
	}
	// Before any conn is told: who isn't in the hub yet looks here afterwards.
	s.recent.add(a)
	found, more := s.hub.AffectedUpTo(a.Event, atOnce)
	if more {
		s.masses.add(a)
		return
	}
	s.announce(a, found, false)
}

// announce tells the conns among found that are over, and the other tabs of their users.
func (s *Service) announce(of revocation.Applied, found []*connEntry, mass bool) {
	a := announcement{
		svc: s, event: of.Event, notice: encode(logoutBy(of.Event)), changed: newChanged(of.Position), mass: mass,
		users: map[string]struct{}{of.Event.UserID(): {}},
	}
	a.spread = newLoginSpread(logoutBy(of.Event), s.loginWindow(len(found)), len(found))
	if len(found) > 0 {
		s.shown.begin(a.notice.id, of.Event.Meta().Tenant, of.Position)
	}
	for some := range slices.Chunk(found, breath) {
		for _, entry := range some {
			a.signOut(entry)
		}
		if a.mass {
			runtime.Gosched()
		}
	}
	n := 0
	for user := range a.users {
		a.tellChanged(user)
		if n++; n%breath == 0 {
			runtime.Gosched()
		}
	}
}

// announcement is an event that is being told.
type announcement struct {
	svc   *Service
	event events.Event
	// notice is for whom it ends, and changed is for the other tabs of users.
	notice  notice
	changed *message
	users   map[string]struct{}
	// spread holds the notices in place of notice where many are ended.
	spread loginSpread
	// mass is whether it isn't the replica's goroutine that tells; said is how many conns were told.
	mass bool
	said int
}

// to has say queue something for a conn. Few are told by the caller, and so are the many that nobody else waits for: to begin a goroutine for each is half of what that
// costs. In between others do it, or the replica would wait.
func (a *announcement) to(c *conn, say func()) {
	a.said++
	if a.mass || a.said <= fewHere {
		c.here(say)
		return
	}
	say()
}

// signOut tells a conn if it is over, and adds its user.
func (a *announcement) signOut(entry *connEntry) {
	d := a.svc.cfg.Replica.Check(entry.Session)
	if d.State != revocation.Revoked {
		return
	}
	n, ready := a.notice, entry.Value.isReady()
	switch ends := revocation.Ends(a.event, entry.Session); {
	case ends && !ready && !entry.Value.wire.answers():
		// This is its first frame, which names the stream.
		l := logoutBy(a.event)
		l.Stream, l.LoginAfterMS = a.svc.streamName(entry.Value), a.spread.next().after
		n = encode(l)
	case ends && len(a.spread.slots) > 0:
		n = a.spread.next().notice
	case !ends && !ready:
		// It is being told by who admits it, and of the event that has ended it.
		return
	case !ends && (a.mass || a.svc.masses.busy()):
		// One of those that wait to be told may have ended it, which says more. If none has, the audit finds it.
		return
	case !ends:
		// Something else has ended it, of which the tab wasn't told: a replay. Reading that event would hold up the replica.
		n = encode(a.svc.logoutOf(entry.Session, d))
	}
	first := false
	a.to(entry.Value, func() { first = a.svc.tell(entry.Value, n) })
	if first {
		// A conn that was told before is still there until its tab has answered; it changes nothing for the others again.
		a.users[entry.Session.User] = struct{}{}
	}
}

// tellChanged tells a user's tabs that something changed, but for those that are over themselves, which are told that. Every ticket names a user, and a session without one gets no
// ready, so an event that names none finds nobody here.
func (a *announcement) tellChanged(user string) {
	for _, e := range a.svc.hub.User(a.event.Meta().Tenant, user) {
		if a.svc.cfg.Replica.Check(e.Session).State != revocation.Revoked {
			a.to(e.Value, func() { a.svc.tellChanged(e.Value, a.changed) })
		}
	}
}

// tellChanged queues that something changed.
func (s *Service) tellChanged(c *conn, changed *message) {
	if c.sendChanged(changed) {
		s.cfg.Metrics.Notices.WithLabelValues(string(tab.TypeSessionsChanged)).Inc()
	}
}

// masses are the events that end many conns and wait to be told. It holds events and not conns: who is in the hub by the time that it is an event's turn is
// found, and who comes later is checked after the event was applied. Its methods are safe for concurrent use.
type masses struct {
	// wake has a token when there is something to tell.
	wake chan struct{}

	mu     sync.Mutex
	events []revocation.Applied
	// all is whether there were too many, and every conn is to be looked at; telling is whether what was taken is still being told.
	all, telling bool
}

func newMasses() masses { return masses{wake: make(chan struct{}, 1)} }

func (m *masses) add(a revocation.Applied) {
	m.mu.Lock()
	if len(m.events) < maxMasses && !m.all {
		m.events = append(m.events, a)
	} else {
		m.events, m.all = nil, true
	}
	m.mu.Unlock()
	select {
	case m.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// take returns what waits, and leaves nothing.
func (m *masses) take() (waiting []revocation.Applied, all bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	waiting, all = m.events, m.all
	m.events, m.all, m.telling = nil, false, true
	return waiting, all
}

// busy reports whether there are conns that are about to be told.
func (m *masses) busy() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.telling || m.all || len(m.events) > 0
}

// told says that what was taken has been told.
func (m *masses) told() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.telling = false
}

// tellMasses tells of what waits until ctx ends.
func (s *Service) tellMasses(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.masses.wake:
		}
		waiting, all := s.masses.take()
		for _, a := range waiting {
			if ctx.Err() != nil {
				return
			}
			s.announce(a, s.hub.Affected(a.Event), true)
		}
		if all {
			s.tellAll(ctx)
		}
		s.masses.told()
	}
}

// tellAll tells every conn that is over, by whatever event.
func (s *Service) tellAll(ctx context.Context) {
	// They are told of no event, so nobody can say of one how many were.
	s.shown.forget()
	for some := range slices.Chunk(s.hub.All(), breath) {
		if ctx.Err() != nil {
			return
		}
		for _, entry := range some {
			if d := s.cfg.Replica.Check(entry.Session); d.State == revocation.Revoked && s.show(entry.Value, encode(s.logoutOf(entry.Session, d))) {
				changed := newChanged(d.Position)
				for _, e := range s.hub.User(entry.Session.Tenant, entry.Session.User) {
					e.Value.here(func() { s.tellChanged(e.Value, changed) })
				}
			}
		}
		runtime.Gosched()
	}
}
