package fanout

import (
	"context"
	"time"

	"github.com/gobwas/ws"

	"github.com/curfewhq/curfew/events/tab"
	"github.com/curfewhq/curfew/revocation"
)

// heartbeat looks after the conns until ctx ends. One goroutine walks all of them ten times per interval, so no conn needs a timer.
func (s *Service) heartbeat(ctx context.Context) {
	tick := time.NewTicker(max(s.cfg.Heartbeat/10, time.Millisecond))
	defer tick.Stop()
	ping := ws.MustCompileFrame(ws.NewPingFrame(nil))
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, e := range s.hub.All() {
			s.lookAfter(e, ping)
		}
	}
}

// lookAfter pings a conn that has been idle, gives up one that has been silent, and signs out one whose session is over without an event that told
// so, as at max age (trap 23).
func (s *Service) lookAfter(e *revocation.LiveEntry[*conn], ping []byte) {
	c, now, interval := e.Value, s.clock(), s.cfg.Heartbeat.Milliseconds()
	heard := c.heard.Load()
	switch {
	case now-heard > interval*5/2:
		c.fail(tab.CloseOverloaded)
		return
	case now-max(heard, c.pinged.Load()) >= interval:
		c.pinged.Store(now)
		c.send(ping)
	}
	// A revocation is left to applied, which knows its event, as long as there is one: a replica that had to begin anew from a snapshot has applied what
	// was in it without any. So what is over for the second time that we look was over before.
	if d := s.cfg.Replica.Check(e.Session); d.State == revocation.Revoked && (d.Scope == revocation.ScopeMaxAge || c.seenOver.Swap(true)) {
		s.show(c, s.noticeOf(e.Session, d))
	}
}

// clock returns milliseconds of the service's own, monotonic clock: a wall clock that is set must not make conns look silent.
func (s *Service) clock() int64 { return time.Since(s.began).Milliseconds() }
