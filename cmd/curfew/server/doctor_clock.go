package server

import (
	"context"
	"fmt"
	"time"

	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/config"
)

// examineClock compares the process's clock with the ledger's.
func (s *Server) examineClock(ctx context.Context) []Finding {
	clock, err := s.bus.Clock(ctx)
	if err != nil {
		return []Finding{{Name: "clock", Status: "warn", Detail: "couldn't be compared: " + err.Error(), Hint: "is NATS up?"}}
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
	const set = "set the clocks of this machine and of NATS's: is chrony or systemd-timesyncd running on both? "
	switch certain := off - c.Margin; {
	case certain > config.Leeway && c.Ahead > 0:
		f.Status, f.Hint = "fail", set+"no replica applies the logouts of users, devices, clients and tenants that this process stamps"
	case certain > config.Leeway:
		f.Status, f.Hint = "fail", set+"logouts that this process stamps miss who has signed in within that time before them, and who has signed in just now is undetermined here"
	case certain > skew && c.Ahead > 0:
		f.Status, f.Hint = "warn", set+"logouts that this process stamps end what begins within that time after them, too"
	case certain > skew:
		f.Status, f.Hint = "warn", set+"logouts that this process stamps miss who has signed in within that time before them"
	}
	return f
}
