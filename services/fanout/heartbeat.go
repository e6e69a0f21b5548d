package fanout

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/gobwas/ws"

	"github.com/curfewhq/curfew/events/tab"
)

// heartbeat pings idle conns and gives up silent ones until ctx ends. One goroutine walks all conns ten times per interval, so no conn needs a
// timer.
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
		now := time.Now().UnixMilli()
		interval := s.cfg.Heartbeat.Milliseconds()
		for _, e := range s.hub.All() {
			c := e.Value
			heard := c.heard.Load()
			switch {
			case now-heard > interval*5/2:
				c.fail(tab.CloseOverloaded)
			case now-max(heard, c.pinged.Load()) >= interval:
				c.pinged.Store(now)
				c.send(ping)
			}
		}
	}
}

// Drain stops accepting and closes all conns with 1012, spread over the drain window by the server, each told when to come back. It returns when
// all are gone or ctx ends.
func (s *Service) Drain(ctx context.Context) {
	s.draining.Store(true)
	entries := s.hub.All()
	for i, e := range entries {
		pause := s.cfg.DrainWindow / time.Duration(len(entries))
		after := rand.N(s.cfg.DrainWindow) + 100*time.Millisecond
		var last [][]byte
		if frame, err := tab.EncodeDrain(tab.Drain{ReconnectAfterMS: after.Milliseconds()}); err == nil {
			last = append(last, text(frame))
		}
		e.Value.end(tab.CloseDrain, tab.DrainReason(after), last...)
		if i == len(entries)-1 {
			break
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for s.open.Load() > 0 {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
