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

// sessionExpiry is when an explicit revocation may be forgotten: the session's own end if that is known and lies after the event's time,
// else the event's time + max age, and leeway. The event's own expires_at can only lengthen it.
//
// The dates are the caller's, and Check judges max age by the token's auth time, which may be another one. So an end that has passed isn't
// believed, and an auth time plays no part: a right one could only shorten, and a wrong one would
// forget too early (ADR 0020).
func (l lifetimes) sessionExpiry(e *events.SessionRevoked) int64 {
	end := e.SessionExpiresAt
	if !end.After(e.Time) {
		end = e.Time.Add(l.maxAge)
	}
	return l.lengthen(end, &e.Common)
}

// namedExpiry is when a session may be forgotten that an event names and tells nothing else of. Its auth time may lie after the cutoff:
// that is why it is named.
func (l lifetimes) namedExpiry(c *events.Common) int64 {
	return l.lengthen(c.Time.Add(l.maxAge), c)
}

// cutoffExpiry is when no session begun up to the cutoff can be within max age any more.
func (l lifetimes) cutoffExpiry(cutoff time.Time, c *events.Common) int64 {
	return l.lengthen(cutoff.Add(l.maxAge), c)
}

func (l lifetimes) lengthen(end time.Time, c *events.Common) int64 {
	return max(millis(end.Add(l.leeway)), millis(c.ExpiresAt))
}
