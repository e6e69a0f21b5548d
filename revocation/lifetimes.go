package revocation

import (
	"time"

	"github.com/curfewhq/curfew/events"
)

// lifetimes says how long entries are kept.
type lifetimes struct {
	maxAge time.Duration
	leeway time.Duration
}

// happened is when an event happened: its own time, which is its publisher's clock's, unless the stream stored it later by more than the leeway.
// Then that clock is behind, or the event was long on its way, and its sessions may have lived meanwhile. An event that was sent again tells its own
// time and is stored later on purpose.
func (l lifetimes) happened(c *events.Common, stored time.Time) time.Time {
	if c.Replay == "" && stored.Sub(c.Time) > l.leeway {
		return stored
	}
	return c.Time
}

// sessionExpiry is when an explicit revocation may be forgotten: the session's own end if that is known and lies after the event happened,
// else that + max age, and leeway. The event's own expires_at can only lengthen it.
//
// The dates are the caller's, and Check judges max age by the token's auth time, which may be another one. So an end that has passed isn't
// believed, and an auth time plays no part: a right one could only shorten, and a wrong one would
// forget too early (ADR 0020).
func (l lifetimes) sessionExpiry(e *events.SessionRevoked, stored time.Time) int64 {
	end, at := e.SessionExpiresAt, l.happened(&e.Common, stored)
	if !end.After(at) {
		end = at.Add(l.maxAge)
	}
	return l.lengthen(end, &e.Common)
}

// namedExpiry is when a session may be forgotten that an event names and tells nothing else of. Its auth time may lie after the cutoff:
// that is why it is named.
func (l lifetimes) namedExpiry(c *events.Common, stored time.Time) int64 {
	return l.lengthen(l.happened(c, stored).Add(l.maxAge), c)
}

// cutoffExpiry is when no session begun up to the cutoff can be within max age any more.
func (l lifetimes) cutoffExpiry(cutoff time.Time, c *events.Common) int64 {
	return l.lengthen(cutoff.Add(l.maxAge), c)
}

func (l lifetimes) lengthen(end time.Time, c *events.Common) int64 {
	return max(millis(end.Add(l.leeway)), millis(c.ExpiresAt))
}
