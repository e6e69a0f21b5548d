package replay

import (
	"slices"
	"time"

	"github.com/curfewhq/curfew/internal/ledger"
	"github.com/curfewhq/curfew/revocation"
)

// gathering applies a tenant's events in the ledger's order, and holds what was in force at some moments of the keys that it is to hold. It needs memory for those alone.
type gathering struct {
	limits  Limits
	moments []moment
	// held: key → for each moment what is in force of it.
	held map[key][]held
}

func newGathering(limits Limits, moments ...moment) *gathering {
	return &gathering{limits: limits, moments: moments, held: map[key][]held{}}
}

// inForce reports until when an event is kept, and at which of the moments, two at most, it was in force.
func (g *gathering) inForce(entry ledger.Entry) (forgotten time.Time, then [2]bool) {
	forgotten = g.limits.KeepsUntil(entry.Event, entry.Stored)
	if revocation.CutoffInFuture(entry.Event, entry.Stored) {
		return forgotten, then // replicas skip it
	}
	for i, m := range g.moments {
		then[i] = m.includes(entry) && forgotten.After(m.asOf)
	}
	return forgotten, then
}

// hold joins what an event says of a key.
func (g *gathering) hold(k key, entry ledger.Entry, forgotten time.Time, then [2]bool) {
	for i, in := range then {
		if !in {
			continue
		}
		at, there := g.held[k]
		s := saidOf(entry, k, forgotten)
		if !there {
			at = make([]held, len(g.moments))
			g.held[key{k.kind, s.fact.Target}] = at // whose id is its own copy
		}
		at[i].add(s)
	}
}

// of returns what is held of a key at a moment.
func (g *gathering) of(k key, at int) *held {
	if h := g.held[k]; h != nil {
		return &h[at]
	}
	return &held{}
}

// pages picks the keys of one page: the first limit of those behind after, in the keys' order, whatever the order in which they come.
//
// A key that was dropped never belongs to the page, for what stands in it only gets smaller; and one that belongs there was taken when it came first. So nothing of it was missed.
type pages struct {
	after key
	limit int
	keys  []key // sorted
	more  bool
}

// take reports whether a key is one of the page's so far. One that had to make room for it is dropped.
func (p *pages) take(k key) (in bool, dropped *key) {
	if p.after.kind != "" && k.compare(p.after) <= 0 {
		return false, nil
	}
	last := len(p.keys) - 1
	if len(p.keys) == p.limit && k.compare(p.keys[last]) > 0 {
		p.more = true
		return false, nil
	}
	i, there := slices.BinarySearchFunc(p.keys, k, key.compare)
	if there {
		return true, nil
	}
	if len(p.keys) == p.limit {
		p.more = true
		gone := p.keys[last]
		p.keys, dropped = p.keys[:last], &gone
	}
	p.keys = slices.Insert(p.keys, i, key{k.kind, string([]byte(k.id))})
	return true, dropped
}
