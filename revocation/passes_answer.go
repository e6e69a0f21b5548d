package revocation

import (
	"cmp"
	"runtime"
	"slices"
	"time"

	"github.com/curfewhq/curfew/events/exposure"
	fp "github.com/curfewhq/curfew/revocation/internal/fingerprint"
)

// Answer tells what is remembered of some sessions of a tenant. A question that isn't in form has the zero answer. It takes some microseconds for each session, and holds nobody up.
func (p *Passes) Answer(tenant string, q exposure.Question) exposure.Answer {
	if p == nil || !q.InForm() {
		return exposure.Answer{}
	}
	// First, so that an event which isn't applied by then may let more pass, and one that is has let all pass that is found, but for what is under way.
	a := exposure.Answer{BeganMS: p.began, WholeSinceMS: p.began}
	applied, e := p.appliedWhen(q.Position, q.Event)
	a.Applied, a.AppliedMS = applied, e.at
	hash := p.replica.set.Load().hash
	if old := p.hash.Load(); old != hash {
		p.rekey(old, hash)
	}
	for i, sid := range q.Sessions {
		found, whole := p.findWith(e, hash.Sum(fp.Session, Session{Tenant: tenant}.tenant(), sid), q)
		a.WholeSinceMS = max(a.WholeSinceMS, whole)
		for _, pass := range found {
			pass.Session = i
			a.Passes = append(a.Passes, pass)
		}
	}
	slices.SortStableFunc(a.Passes, func(x, y exposure.Pass) int { return cmp.Compare(x.AtMS, y.AtMS) })
	a.Count = len(a.Passes)
	a.Passes = a.Passes[:min(len(a.Passes), exposure.MaxListed)]
	a.NowMS = time.Now().UnixMilli()
	return a
}

// appliedWhen reports whether the replica has applied an event, and what is remembered of it; nothing if that was before or is long ago.
func (p *Passes) appliedWhen(position uint64, event string) (bool, appliedAt) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.applied {
		if e.position == position && e.event == event {
			return true, e
		}
	}
	return p.replica.position.Load() >= position, appliedAt{}
}

// find returns the passes of a session in a span of time, and from when on it has all.
func (p *Passes) find(f fp.FP, since, until int64) (found []exposure.Pass, whole int64) {
	s, names := p.shard(f), p.routes.Load()
	for i := range s.slots {
		first, second, word, ok := s.slots[i].read()
		at := int64(word >> passTimeShift)
		if !ok {
			whole = time.Now().UnixMilli() // its writer has been stopped in the middle: nobody knows what it is
			continue
		}
		if word == 0 || first != f.First || second != f.Second || at < since || at > until {
			continue
		}
		route := word & (1<<passRouteBits - 1)
		if route >= uint64(len(names.names)) {
			names = p.routes.Load() // it was added meanwhile
		}
		found = append(found, exposure.Pass{AtMS: at, Route: names.names[route], Undetermined: word&passUnknown != 0})
	}
	// After all slots: what was there before and has been overwritten meanwhile was noted first.
	if lost := s.lost.Load(); lost > 0 {
		whole = max(whole, lost+1)
	}
	return found, whole
}

// read returns a whole pass; ok is false if one is being written for long.
func (s *passSlot) read() (first, second, word uint64, ok bool) {
	for range 1000 {
		v := s.version.Load()
		first, second, word = s.first.Load(), s.second.Load(), s.word.Load()
		if v&1 == 0 && s.version.Load() == v {
			return first, second, word, true
		}
		runtime.Gosched()
	}
	return 0, 0, 0, false
}
