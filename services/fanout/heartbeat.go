package fanout

import (
	"context"
	"math/rand/v2"
	"runtime"
	"slices"
	"time"

	"github.com/curfewhq/curfew/events/tab"
	"github.com/curfewhq/curfew/revocation"
)

// mostHalves is after how many half intervals a conn is given up from which nothing has come.
const mostHalves = 5

// heartbeat looks after each conn when it is due, until ctx ends.
func (s *Service) heartbeat(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-s.wheel.sooner:
		}
		for _, c := range s.wheel.due(s.clock()) {
			s.lookAfter(c)
		}
		timer.Reset(time.Duration(s.wheel.next(s.clock())) * time.Millisecond)
	}
}

// begin has a new conn looked after: the first time after half an interval to a whole one, so that conns that have come together don't stay together.
func (s *Service) begin(c *conn, who identity) {
	now, half := s.clock(), s.cfg.Heartbeat.Milliseconds()/2
	c.ends = who.session.AuthTime.Add(s.cfg.Replica.MaxAge()).UnixMilli()
	if who.ends > 0 {
		c.ends = min(c.ends, who.ends)
	}
	if age := s.cfg.MaxConnAge.Milliseconds(); age > 0 {
		c.leaves = now + age - rand.N(age/10+1)
	}
	s.later(c, now, now+half+rand.N(half+1))
}

// together returns within how many milliseconds conns are looked after in one go. Most of what an idle gateway costs is waking up: so it does that ten times in a second, and
// not for each conn. There are too few at a time to hold anybody up, also where heartbeats are short.
func (s *Service) together() int64 { return max(s.cfg.Heartbeat.Milliseconds()/450, 1) }

// later has a conn looked after at due, or a moment later together with others, or earlier if it ends or leaves before.
func (s *Service) later(c *conn, now, due int64) {
	due += s.together() - 1
	due -= due % s.together()
	// The end is a time of the wall clock, which may be set meanwhile: so it is reckoned anew each time.
	due = min(due, now+max(c.ends-time.Now().UnixMilli(), 0))
	if c.leaves > 0 {
		due = min(due, c.leaves)
	}
	s.wheel.put(c, due)
}

// lookAfter pings a conn, unless something has come from it in the last half interval, and has it looked after again an interval later, or a tenth sooner or
// later than that. It gives up one that has been silent for two and a half. Whatever comes from the peer counts as a sign of life. One whose session has come to
// its end is signed out, and one that has been open for long enough is asked to come back.
func (s *Service) lookAfter(c *conn) {
	now, interval, heard := s.clock(), s.cfg.Heartbeat.Milliseconds(), c.heard.Load()
	end := heard + interval*mostHalves/2
	switch {
	case now >= end:
		c.fail(tab.CloseOverloaded)
		return
	case time.Now().UnixMilli() >= c.ends:
		s.show(c, encode(logoutByAge(time.UnixMilli(c.ends))))
		return
	case c.leaves > 0 && now >= c.leaves:
		c.drain(s.comeBack())
		return
	}
	from := heard
	if now-heard >= interval/2 {
		from = now
		c.beat()
	}
	s.later(c, now, min(from+interval-interval/10+rand.N(interval/5+1), end))
}

// auditEvery is how often all conns are checked.
const auditEvery = 30 * time.Second

// audit signs out conns whose sessions are over without an event that told so, as at max age (trap 23), until ctx ends.
func (s *Service) audit(ctx context.Context) {
	tick := time.NewTicker(auditEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for some := range slices.Chunk(s.hub.All(), breath) {
			for _, e := range some {
				s.checkAgain(e)
			}
			runtime.Gosched()
		}
	}
}

// checkAgain signs out a conn whose session is over. A revocation is left to applied, which knows its event, as long as there is one: a replica that had to begin
// anew from a snapshot has applied what was in it without any. So what is over for the second time that we look was over before.
func (s *Service) checkAgain(e *connEntry) {
	d := s.cfg.Replica.Check(e.Session)
	if d.State != revocation.Revoked || d.Scope != revocation.ScopeMaxAge && (s.masses.busy() || !e.Value.seenOver.Swap(true)) {
		return
	}
	s.show(e.Value, encode(s.logoutOf(e.Session, d)))
}

// clock returns milliseconds of the service's own, monotonic clock: a wall clock that is set must not make conns look silent.
func (s *Service) clock() int64 { return time.Since(s.began).Milliseconds() }
