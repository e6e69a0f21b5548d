package revocation

import (
	"cmp"
	"slices"
	"time"

	"github.com/curfewhq/curfew/events"
)

// set holds all live revocations. Implementations are safe for one writer and many readers at once.
//
// The state is a join-semilattice. apply joins it with what an event says, and joining two sets entry by entry gives what applying all
// events of both does; so order, repetition and who read an event first don't matter.
type set interface {
	// apply adds an event.
	apply(e events.Event, position uint64)
	// lookup returns the ending of a session, in the order session, user, device, client, tenant.
	lookup(s Session) (ending, bool)
	// touched reports whether any cutoff exists for the session's user, device, client or tenant.
	touched(s Session) bool
	// expire forgets what ends before now and returns how many entries that was.
	expire(now time.Time) int
	// size returns the number of sessions and of cutoffs that are held.
	size() (sessions, cutoffs int)
	// digest is equal for equal states, whatever the positions of the events were.
	digest() [32]byte
}

// ending is what ends a session: a reference to an event.
type ending struct {
	scope    events.Kind
	reason   events.Reason
	position uint64
	// expires is in Unix milliseconds.
	expires int64
}

// gravity orders the reasons, the least grave first. Of several events that end a session in one scope the gravest names it: whoever asks why a session is
// refused should hear of the theft rather than of the sign-out before it. The order is total, so that the reason doesn't depend on which
// event came first.
func gravity(r events.Reason) int {
	return slices.Index([]events.Reason{
		events.ReasonSuperseded, events.ReasonIdleTimeout, events.ReasonMaxAge, events.ReasonUserLogout, events.ReasonIDPLogout, events.ReasonPolicy,
		events.ReasonAdmin, events.ReasonCredentialChanged, events.ReasonPasswordChanged, events.ReasonAccountDisabled,
		events.ReasonAccountDeleted, events.ReasonCompromised,
	}, r)
}

// before is a total order, so that the one of several events that names the reason doesn't depend on the order of arrival. The position
// comes last, because it is no part of the state: replicas that read the same events at other positions agree.
func (a ending) before(b ending) bool {
	return cmp.Or(a.compare(b), cmp.Compare(a.position, b.position)) < 0
}

// compare is the order of before without the position. Explicit revocations of a session come before those that name it among a user's known
// sessions: that is the order of Check.
func (a ending) compare(b ending) int {
	if named := a.scope == events.KindSession; named != (b.scope == events.KindSession) {
		if named {
			return -1
		}
		return 1
	}
	return cmp.Or(cmp.Compare(a.scope, b.scope), cmp.Compare(gravity(b.reason), gravity(a.reason)))
}

// join keeps the reference that comes before and the later expiry.
func (a ending) join(b ending) ending {
	first := a
	if b.before(a) {
		first = b
	}
	first.expires = max(a.expires, b.expires)
	return first
}

// key is a typed id within its tenant. The parts are compared one by one, so no concatenation can collide (trap 28 of
// docs/traps.md).
type key struct {
	tenant string
	kind   events.Kind
	id     string
}

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
