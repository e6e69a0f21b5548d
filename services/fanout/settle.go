package fanout

import (
	"context"
	"runtime/debug"
	"time"
)

// settling has memory given back once many conns have come or gone. What their handshakes needed would otherwise stay until the collector's next turn, which in a
// quiet gateway is minutes away, and the system's until much later: half as much again as the conns themselves need.
type settling struct {
	// settled is how many conns there were when it was done last, and before is how many there were a moment ago.
	settled, before int
}

// fewConns is how many must have come or gone to be worth it: what they leave is a few megabytes.
const fewConns = 1_000

// due reports whether there are many more or fewer conns than when it was done last, and their number has come to rest.
func (s *settling) due(conns int) bool {
	resting := abs(conns-s.before) <= max(conns/50, 1)
	s.before = conns
	if !resting || abs(conns-s.settled) < max(fewConns, s.settled/10) {
		return false
	}
	s.settled = conns
	return true
}

func abs(n int) int { return max(n, -n) }

// settleEvery is how often the conns are counted.
const settleEvery = 2500 * time.Millisecond

// settleDown gives memory back when it is due, until ctx ends. It takes some tens of milliseconds of a processor, and holds up nobody.
func (s *Service) settleDown(ctx context.Context) {
	var of settling
	for sleep(ctx, settleEvery) {
		if of.due(s.Open()) {
			debug.FreeOSMemory()
		}
	}
}
