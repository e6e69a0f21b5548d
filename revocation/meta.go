package revocation

import (
	"slices"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/revocation/internal/table"
)

// cause says why something is over: the reason, and whether the session was revoked by its name. A greater cause takes precedence, so that which
// of several events is named doesn't depend on which came first. Zero is none.
//
//	| explicit | reason, by gravity, from 1: 4 bits |
type cause uint64

const explicit cause = 1 << 4

// gravest lists the reasons, the least grave first. Whoever asks why a session is refused should hear of the theft rather than of the sign-out before
// it. The places are part of snapshots: a new reason goes where it belongs, and snapshotVersion up.
func gravest() []events.Reason {
	return []events.Reason{
		events.ReasonSuperseded, events.ReasonIdleTimeout, events.ReasonMaxAge, events.ReasonUserLogout, events.ReasonIDPLogout, events.ReasonPolicy,
		events.ReasonAdmin, events.ReasonCredentialChanged, events.ReasonPasswordChanged, events.ReasonAccountDisabled,
		events.ReasonAccountDeleted, events.ReasonCompromised,
	}
}

// causeOf returns the cause of a reason. One that isn't known, which no decoded event has, counts as the least grave.
func causeOf(r events.Reason) cause {
	return cause(max(slices.Index(gravest(), r), 0) + 1)
}

// reasonOf is what causeOf was given; by the place in the list, without building it.
func reasonOf(c cause) events.Reason {
	switch c &^ explicit {
	case 1:
		return events.ReasonSuperseded
	case 2:
		return events.ReasonIdleTimeout
	case 3:
		return events.ReasonMaxAge
	case 4:
		return events.ReasonUserLogout
	case 5:
		return events.ReasonIDPLogout
	case 6:
		return events.ReasonPolicy
	case 7:
		return events.ReasonAdmin
	case 8:
		return events.ReasonCredentialChanged
	case 9:
		return events.ReasonPasswordChanged
	case 10:
		return events.ReasonAccountDisabled
	case 11:
		return events.ReasonAccountDeleted
	case 12:
		return events.ReasonCompromised
	}
	return ""
}

// pos is a position in the stream as an entry keeps it: its lowest 30 bits. 0 means that it isn't known. The stream moves on by a billion
// messages before two that are both live could be mixed up.
type pos uint64

const (
	posBits = 30
	posMask = 1<<posBits - 1
	// ahead is by how much an entry may have been applied before the replica's position says so.
	ahead = 1 << 20
)

func posOf(position uint64) pos { return pos(position & posMask) }

// position returns the whole one, if the replica has applied the stream up to about upTo; 0 if it isn't known.
func (p pos) position(upTo uint64) uint64 {
	back := (upTo + ahead - uint64(p)) & posMask
	if p == 0 || back > upTo+ahead {
		return 0
	}
	return upTo + ahead - back
}

// earlier returns the position that comes first, and of one that is known and one that isn't the former.
func (p pos) earlier(q pos) pos {
	if p == 0 || q != 0 && (p-q)&posMask < 1<<(posBits-1) {
		return q
	}
	return p
}

// tick is a time in units of a clockwork, its lowest 15 bits.
type tick uint64

const (
	tickBits = 15
	tickMask = 1<<tickBits - 1
	// tickPast is how many ticks before now count as past; all others lie ahead.
	tickPast = 1 << (tickBits - 2)
	// tickAhead is how far ahead of when its event was stored or applied an entry can expire: at least 24 times max age and leeway.
	tickAhead = tickPast * 3 / 4
)

// clockwork counts time in ticks of a power of two of seconds: the 256th to the 128th part of max age and leeway, and at least a second. An entry is kept
// for up to two ticks longer than it must be.
type clockwork struct{ ms int64 }

func newClockwork(keep lifetimes) clockwork {
	c := clockwork{ms: 1000}
	for c.ms < (keep.maxAge+keep.leeway).Milliseconds()/256 {
		c.ms *= 2
	}
	return c
}

// floor returns the tick that has begun at or before t, in Unix milliseconds, unbounded.
func (c clockwork) floor(t int64) int64 {
	n := t / c.ms
	if t%c.ms < 0 {
		n--
	}
	return n
}

// span is when an event was stored, and until when at most it can have happened: the later of that and of our own clock, in Unix milliseconds.
type span struct{ stored, latest int64 }

// expiry returns the tick, unbounded, at whose end an entry may go that must be kept until t. It lies in reach of the ticks around the event:
// publishers' clocks may be wrong by years, and what they say must not make an entry pass for one that is past.
func (c clockwork) expiry(t int64, of span) int64 {
	n := c.floor(t + c.ms - 1)
	return min(max(n, c.floor(of.stored)-tickPast/2), c.floor(of.latest)+tickAhead)
}

// past reports whether x ended before now, a tick that isn't bounded.
func past(x tick, now int64) bool { return (x-tick(now))&tickMask >= 1<<tickBits-tickPast }

// later returns the tick that comes last.
func (x tick) later(y tick) tick {
	if (x-y)&tickMask < 1<<(tickBits-1) {
		return x
	}
	return y
}

// meta is what is kept beside a fingerprint.
//
//	| cause 5 bits | tick of expiry 15 bits | position 30 bits |
type meta uint64

const (
	_ = uint(table.MetaBits - (5 + tickBits + posBits)) // meta fits
)

func newMeta(c cause, expires tick, at pos) meta {
	return meta(c)<<(tickBits+posBits) | meta(expires)<<posBits | meta(at)
}

func (m meta) cause() cause  { return cause(m >> (tickBits + posBits)) }
func (m meta) expires() tick { return tick(m>>posBits) & tickMask }
func (m meta) pos() pos      { return pos(m) & posMask }

// join keeps the greater cause, with the earliest position of its events, and the later expiry.
func (m meta) join(n meta) meta {
	at := m.pos()
	switch {
	case n.cause() > m.cause():
		at = n.pos()
	case n.cause() == m.cause():
		at = at.earlier(n.pos())
	}
	return newMeta(max(m.cause(), n.cause()), m.expires().later(n.expires()), at)
}
