package revocation

import (
	"time"

	"github.com/curfewhq/curfew/events"
)

// MaxAge is the absolute age, from auth time, at which the replica holds every session for over: that of its Config, or the default.
func (r *Replica) MaxAge() time.Duration { return r.cfg.MaxAge }

// StalenessBudget is how old the replica lets its proof become: that of its Config, or the default.
func (r *Replica) StalenessBudget() time.Duration { return r.cfg.StalenessBudget }

// Leeway is how much longer than needed the replica keeps entries, and how far ahead of its clock an auth time may lie: that of its Config, or the default.
func (r *Replica) Leeway() time.Duration { return r.cfg.Leeway }

// KeepsUntil returns until when e, which the stream stored at that time, must be kept: the latest of all that it says, with leeway. The replica keeps it
// until then, or a little longer.
func (r *Replica) KeepsUntil(e events.Event, stored time.Time) time.Time {
	keep, c := r.lifetimes(), e.Meta()
	var until int64
	switch e := e.(type) {
	case *events.SessionRevoked:
		until = keep.sessionExpiry(e, stored)
	case *events.UserLoggedOutEverywhere:
		until = keep.cutoffExpiry(e.Cutoff, c)
		if len(e.KnownSessions) > 0 {
			until = max(until, keep.namedExpiry(c, stored))
		}
	default:
		cutoff, _ := events.Cutoff(e)
		until = keep.cutoffExpiry(cutoff, c)
	}
	// What is said of more isn't believed: see Config.MaxAge.
	const most = 24
	latest := millis(stored) + most*(r.cfg.MaxAge+r.cfg.Leeway).Milliseconds()
	return time.UnixMilli(min(until, latest)).UTC()
}
