package revocation

import (
	"cmp"
	"slices"
)

// cutoff is one scope-wide revocation: sessions with auth time ≤ at (Unix milliseconds) are over, but for those that it excepts. The
// zero value ends nothing.
type cutoff struct {
	at int64
	// by is the event; its expires is unused, for the key has one.
	by ending
}

func (c cutoff) exists() bool { return c.by.scope != "" }

// better returns the cutoff that ends more, and of two that end the same the one with the graver reason.
func (c cutoff) better(d cutoff) cutoff {
	if !c.exists() || d.exists() && (d.at > c.at || d.at == c.at && d.by.before(c.by)) {
		return d
	}
	return c
}

// cutoffs is all that the cutoffs of one key say, however many there were: for each session the latest cutoff that doesn't except it. For
// nearly all sessions that is the latest of all; for the few that this one excepts it is noted apart (ADR 0025). Nil says nothing. It is
// never changed, so that a reader may go on with the one that it has.
type cutoffs struct {
	top cutoff
	// except are the sessions that top excepts: sorted, without repetition, at most events.MaxExcept.
	except []string
	// spared holds, for each of except, the best other cutoff that doesn't except that session, if there is one.
	spared []cutoff
	// expires is one for all, the latest of any cutoff's: beyond it every session that any of them ends is past max age (cutoffExpiry),
	// and until then keeping those that could be forgotten earlier is harmless, for what they end stays over.
	expires int64
}

// newCutoffs is what one event says. except is sorted, without repetition, and not changed any more.
func newCutoffs(at int64, by ending, except []string) *cutoffs {
	cs := &cutoffs{top: cutoff{at, by}, except: except, spared: make([]cutoff, len(except)), expires: by.expires}
	cs.top.by.expires = 0
	return cs
}

// answer returns the cutoff that decides about a session. A session without an id is nobody's exception.
func (cs *cutoffs) answer(sid string) cutoff {
	if cs == nil {
		return cutoff{}
	}
	if i, spared := slices.BinarySearch(cs.except, sid); spared && sid != "" {
		return cs.spared[i]
	}
	return cs.top
}

// join returns what both say together. Each session's answer is the better of its two answers, which is associative, commutative and
// idempotent; so the state doesn't depend on the order of events, nor on how often or where they were read.
func (cs *cutoffs) join(other *cutoffs) *cutoffs {
	switch {
	case cs == nil:
		return other
	case other == nil:
		return cs
	}
	first, second := cs, other
	if other.compare(cs) < 0 {
		first, second = other, cs
	}
	joined := &cutoffs{
		top: first.top, except: first.except, spared: make([]cutoff, len(first.except)), expires: max(cs.expires, other.expires),
	}
	for i, sid := range first.except {
		joined.spared[i] = first.spared[i].better(second.answer(sid))
	}
	return joined
}

// compare puts the state with the better top first. Two events may differ in nothing but what they except, which must be told apart by that
// and not by the position: see ending.before.
func (cs *cutoffs) compare(other *cutoffs) int {
	a, b := cs.top, other.top
	return cmp.Or(
		cmp.Compare(b.at, a.at), a.by.compare(b.by), slices.Compare(cs.except, other.except), cmp.Compare(a.by.position, b.by.position),
	)
}

// size is how many cutoffs are held: 1 and at most one for each of except.
func (cs *cutoffs) size() int {
	n := 1
	for _, c := range cs.spared {
		if c.exists() {
			n++
		}
	}
	return n
}

// ends returns what ends a session with this auth time (Unix milliseconds).
func (cs *cutoffs) ends(sid string, authTime int64) (ending, bool) {
	c := cs.answer(sid)
	return c.by, c.exists() && authTime <= c.at
}
