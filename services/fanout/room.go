package fanout

import (
	"context"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"github.com/curfewhq/curfew/events/tab"
	"github.com/curfewhq/curfew/internal/problem"
	"github.com/curfewhq/curfew/revocation"
)

// enter takes a place for a conn that is about to be upgraded: from here to left, Run waits for it. It is one before hello; or that of a tab, for who has shown that he is one,
// so that those who haven't can't keep him out. The returned problem has status 0 when there is one.
func (s *Service) enter(peer peerKey, known bool) problem.Problem {
	// Spread, so that those who are refused together don't come back together.
	later := 2*time.Second + rand.N(8*time.Second)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.draining:
		return problem.Unavailable("draining", "This gateway is going away: connect again, to another.", time.Second)
	case s.tabs >= s.cfg.MaxConns:
		return problem.Unavailable("too_many_conns", "This gateway holds as many conns as it may: try again, or add a gateway.", later)
	case known:
		s.tabs++
		s.work.Add(1)
		return problem.Problem{}
	case s.waiting >= s.cfg.MaxHandshakes:
		return problem.Unavailable("too_many_conns", "This gateway has as many conns that haven't said hello as it may: try again.", later)
	case s.cfg.MaxHandshakesPerIP > 0 && s.waitingFrom[peer] >= s.cfg.MaxHandshakesPerIP:
		p := problem.New(http.StatusTooManyRequests, "too_many_conns_from_address", "This gateway has as many conns from this address that haven't said hello as it may: try again.")
		p.Retry, p.RetryAfter = true, later
		return p
	}
	s.waiting++
	s.waitingFrom[peer]++
	s.work.Add(1)
	return problem.Problem{}
}

// giveUp gives the place of a conn back that wasn't upgraded.
func (s *Service) giveUp(peer peerKey, known bool) {
	s.mu.Lock()
	if known {
		s.tabs--
	} else {
		s.waitedLocked(peer)
	}
	s.mu.Unlock()
	s.work.Done()
}

// seat moves a conn whose ticket was good from the places before hello to those of tabs, and reports whether there was one. Without it the conn
// keeps its place before hello until it has left.
func (s *Service) seat(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.seated {
		return true
	}
	if s.tabs >= s.cfg.MaxConns {
		return false
	}
	s.tabs++
	s.waitedLocked(c.peer)
	c.seated = true
	return true
}

// tooMany reports whether a user has more tabs here than one may, not counting those that are being closed.
func (s *Service) tooMany(who revocation.Session) bool {
	if s.cfg.MaxConnsPerUser < 0 {
		return false
	}
	tabs := s.hub.User(who.Tenant, who.User)
	return len(tabs) > s.cfg.MaxConnsPerUser &&
		len(slices.DeleteFunc(tabs, func(e *connEntry) bool { return e.Value.isClosing() })) > s.cfg.MaxConnsPerUser
}

func (s *Service) waitedLocked(peer peerKey) {
	s.waiting--
	if s.waitingFrom[peer]--; s.waitingFrom[peer] == 0 {
		delete(s.waitingFrom, peer)
	}
}

// register has Drain know a conn that has a place. One that was being upgraded when the service began to drain wasn't seen by it.
func (s *Service) register(c *conn) {
	s.cfg.Metrics.Conns.WithLabelValues(c.wire.transport()).Inc()
	s.mu.Lock()
	s.conns[c] = struct{}{}
	if !c.wire.answers() {
		s.streams[c.number] = c
	}
	late := s.draining
	s.mu.Unlock()
	if late {
		c.drain(s.comeBack())
	}
}

// left ends what enter and register began, but for the name of a stream whose acknowledgement may come late.
func (s *Service) left(c *conn, code tab.CloseCode, late bool) {
	s.cfg.Metrics.Conns.WithLabelValues(c.wire.transport()).Dec()
	s.cfg.Metrics.ConnsClosed.WithLabelValues(codeLabel(code)).Inc()
	s.mu.Lock()
	delete(s.conns, c)
	if !late {
		delete(s.streams, c.number)
	}
	if c.seated {
		s.tabs--
	} else {
		s.waitedLocked(c.peer)
	}
	s.mu.Unlock()
	s.work.Done()
}

func (s *Service) forgetStream(number uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.streams, number)
}

// seal lets no more conns in, and returns those that are there.
func (s *Service) seal() []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.draining = true
	conns := make([]*conn, 0, len(s.conns))
	for c := range s.conns {
		conns = append(conns, c)
	}
	return conns
}

// comeBack returns when a tab is to reconnect: spread, so that tabs don't come back together.
func (s *Service) comeBack() time.Duration {
	return 100*time.Millisecond + rand.N(s.cfg.DrainWindow+1)
}

// Drain stops accepting and closes all conns with 1012, spread over the drain window by the server, each told when to come back. It returns when
// all are gone or ctx ends; Run then closes the rest.
func (s *Service) Drain(ctx context.Context) {
	conns := s.seal()
	began := time.Now()
	for i, c := range conns {
		// Each has its own instant: pauses in between would add up to far more than the window.
		due := began.Add(s.cfg.DrainWindow * time.Duration(i) / time.Duration(len(conns)))
		if !sleep(ctx, time.Until(due)) {
			return
		}
		c.drain(s.comeBack())
	}
	for s.Open() > 0 && sleep(ctx, 10*time.Millisecond) {
	}
}

// sleep reports whether d has passed before ctx has ended.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// Open returns the number of conns, from before their upgrade until their socket is closed.
func (s *Service) Open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.waiting + s.tabs
}
