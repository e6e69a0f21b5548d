package fanout

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/curfewhq/curfew/events/tab"
	"github.com/curfewhq/curfew/internal/problem"
)

// enter takes a place for a conn that is about to be upgraded: from here to left, Run waits for it. The returned problem has status 0 when there
// is one.
func (s *Service) enter() problem.Problem {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.draining:
		return problem.Unavailable("draining", "This gateway is going away: connect again, to another.", time.Second)
	case s.places >= s.cfg.MaxConns:
		return problem.Unavailable("too_many_conns", "This gateway holds as many conns as it may: try again, or add a gateway.", 5*time.Second)
	}
	s.places++
	s.work.Add(1)
	return problem.Problem{}
}

// giveUp gives the place of a conn back that wasn't upgraded.
func (s *Service) giveUp() {
	s.mu.Lock()
	s.places--
	s.mu.Unlock()
	s.work.Done()
}

// run serves a conn that has a place, in a goroutine of its own. One that was being upgraded when the service began to drain wasn't seen by it.
func (s *Service) run(c *conn) {
	s.cfg.Metrics.Conns.Inc()
	s.mu.Lock()
	s.conns[c] = struct{}{}
	late := s.draining
	s.mu.Unlock()
	if late {
		c.drain(s.comeBack())
	}
	// A fresh goroutine has a small stack; the handler's would be kept for as long as the tab is open.
	go c.serve(s.ctx)
}

// left ends what enter and run began.
func (s *Service) left(c *conn, code tab.CloseCode) {
	s.cfg.Metrics.Conns.Dec()
	s.cfg.Metrics.ConnsClosed.WithLabelValues(codeLabel(code)).Inc()
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
	s.giveUp()
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
	return s.places
}
