package server

import (
	"context"
	"fmt"
	"time"

	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/config"
	"github.com/curfewhq/curfew/revocation"
)

// examineClock compares the process's clock with the ledger's.
func (s *Server) examineClock(ctx context.Context) []Finding {
	clock, err := s.bus.Clock(ctx)
	if err != nil {
		return []Finding{unanswered("clock", "warn", "couldn't be compared", err)}
	}
	return []Finding{judgeClock(clock, s.cfg.ClockSkew)}
}

// judgeClock warns of what is more than callers' clocks may differ by, and fails where replicas don't believe the clock any more. What the margin may explain isn't held against it.
func judgeClock(c bus.Clock, skew time.Duration) Finding {
	word, off := "ahead of", c.Ahead
	if off < 0 {
		word, off = "behind", -off
	}
	f := Finding{Name: "clock", Status: "ok", Detail: fmt.Sprintf("%.3f s %s the ledger's, give or take %.3f s", off.Seconds(), word, c.Margin.Seconds())}
	// What a publisher stamps depends on its clock, and so does what a replica takes for a sign-in in the future.
	const set = "'timedatectl' tells here, and where NATS runs, whether the clock is kept right; "
	switch certain := off - c.Margin; {
	case certain > revocation.MaxCutoffAhead && c.Ahead > 0:
		f.Status, f.Hint = "fail", set+"until it is, no replica applies what a publisher with this clock stamps: logouts of users, devices, clients and tenants"
	case certain > config.Leeway && c.Ahead < 0:
		f.Status, f.Hint = "fail", set+"until it is, who has signed in just now by a clock that is right is undetermined here, and logouts that a publisher with this clock stamps may miss them"
	case certain > skew && c.Ahead > 0:
		f.Status, f.Hint = "warn", set+"until it is, logouts that a publisher with this clock stamps also end what begins within that time after them"
	case certain > skew:
		f.Status, f.Hint = "warn", set+"until it is, logouts that a publisher with this clock stamps may miss who has signed in within that time before them, unless the registry knows them"
	}
	return f
}
