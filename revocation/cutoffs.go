package revocation

import (
	"cmp"
	"slices"

	fp "github.com/curfewhq/curfew/revocation/internal/fingerprint"
)

// cutoff is one scope-wide revocation: sessions with auth time ≤ at (Unix milliseconds) are over, but for those that it excepts. The
// zero value ends nothing.
type cutoff struct {
	at    int64
	cause cause
	pos   pos
}

func (c cutoff) exists() bool { return c.cause != 0 }

// compare puts the cutoff that ends more first, and of two that end the same the one with the greater cause. The position is no part of it.
func (c cutoff) compare(d cutoff) int {
	return cmp.Or(cmp.Compare(d.at, c.at), cmp.Compare(d.cause, c.cause))
}

// better returns the cutoff that ends more.
func (c cutoff) better(d cutoff) cutoff {
	switch order := c.compare(d); {
	case !c.exists(), d.exists() && order > 0:
		return d
	case d.exists() && order == 0:
		c.pos = c.pos.earlier(d.pos)
	}
	return c
}

// cutoffs is all that the cutoffs of one key say, however many there were: for each session the latest cutoff that doesn't except it. For
// nearly all sessions that is the latest of all; for the few that this one excepts it is noted apart (ADR 0025).
type cutoffs struct {
	top cutoff
	// except are the sessions that top excepts: sorted, without repetition, at most events.MaxExcept.
	except []fp.FP
	// spared holds, for each of except, the best other cutoff that doesn't except that session, if there is one.
	spared []cutoff
	// expires is one for all, the latest of any cutoff's: beyond it every session that any of them ends is past max age (cutoffExpiry),
	// and until then keeping those that could be forgotten earlier is harmless, for what they end stays over.
	expires tick
}

// answer returns the cutoff that decides about a session. nobody is the fingerprint of no session.
func (cs *cutoffs) answer(sid fp.FP) cutoff {
	if i, spared := slices.BinarySearchFunc(cs.except, sid, fp.FP.Compare); spared {
		return cs.spared[i]
	}
	return cs.top
}

// join returns what both say together. Each session's answer is the better of its two answers, which is associative, commutative and
// idempotent; so the state doesn't depend on the order of events, nor on how often or where they were read. Positions are no part of it: of events that
// say the same, which one is named may depend on the order. It changes neither.
func (cs cutoffs) join(other cutoffs) cutoffs {
	first, second := &cs, &other
	order := first.compare(second)
	if order > 0 {
		first, second = second, first
	}
	joined := cutoffs{top: first.top, except: first.except, expires: cs.expires.later(other.expires)}
	if order == 0 {
		joined.top.pos = first.top.pos.earlier(second.top.pos)
	}
	if len(first.except) > 0 {
		joined.spared = make([]cutoff, len(first.except))
	}
	for i, sid := range first.except {
		joined.spared[i] = first.spared[i].better(second.answer(sid))
	}
	return joined
}

// compare puts the state with the better top first. Two may differ in nothing but what they except, and must be told apart by that.
func (cs *cutoffs) compare(other *cutoffs) int {
	return cmp.Or(cs.top.compare(other.top), slices.CompareFunc(cs.except, other.except, fp.FP.Compare))
}
