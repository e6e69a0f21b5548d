package revocation

import (
	"math"
	"slices"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/events/exposure"
	fp "github.com/curfewhq/curfew/revocation/internal/fingerprint"
)

const (
	// keepAfter is how long after an event passes are taken out of the rings: whoever was checked before it was applied has been recorded by then.
	keepAfter = 250 * time.Millisecond
	// keptBefore is how much earlier than its own time an event may be said to have been decided, by clocks that differ.
	keptBefore = 5 * time.Second
	// maxKeptSessions of an event, maxKeptEach passes of a session and maxKept of all are kept beside the rings. Of what is more nothing is: then the rings alone know.
	maxKeptSessions = 16
	maxKeptEach     = 256
	maxKept         = 1 << 16
	// maxNamed bounds the sessions that are looked for at once, at some microseconds each.
	maxNamed = 1 << 12
)

// keptSession is what a session got through until an event that names it was applied.
type keptSession struct {
	session fp.FP
	// ok is false of one of whom there was too much to keep.
	ok     bool
	passes []exposure.Pass
	// whole is from when on passes are all there.
	whole int64
}

// namedBy returns the sessions that an event names; nil for too many.
func (p *Passes) namedBy(e events.Event) []keptSession {
	var sids []string
	switch e := e.(type) {
	case *events.SessionRevoked:
		sids = []string{e.Session}
	case *events.UserLoggedOutEverywhere:
		sids = e.KnownSessions
	}
	if len(sids) == 0 || len(sids) > maxKeptSessions {
		return nil
	}
	hash := p.replica.set.Load().hash
	named := make([]keptSession, len(sids))
	for i, sid := range sids {
		named[i].session = hash.Sum(fp.Session, e.Meta().Tenant, sid)
	}
	return named
}

// plan has the passes of an event kept in a moment, unless so many came at once that looking for all would take long. mu is held.
func (p *Passes) plan(at int) {
	n := len(p.applied[at].sessions)
	if n == 0 || p.closed || p.named+n > maxNamed {
		p.applied[at].sessions = nil
		return
	}
	p.named += n
	if p.fresh = append(p.fresh, at); len(p.fresh) == 1 {
		p.timer = time.AfterFunc(keepAfter, p.keep)
	}
}

// keep takes the passes of events that were applied a moment ago out of the rings.
func (p *Passes) keep() {
	p.keeping.Lock()
	defer p.keeping.Unlock()
	p.mu.Lock()
	now := time.Now().UnixMilli()
	due := p.fresh
	for i, at := range p.fresh {
		if now-p.applied[at].at < keepAfter.Milliseconds() && !p.closed {
			due = p.fresh[:i]
			break
		}
	}
	rest := slices.Clone(p.fresh[len(due):])
	list := make([]appliedAt, len(due))
	for i, at := range due {
		list[i] = p.applied[at]
	}
	p.named = 0
	for _, at := range rest {
		p.named += len(p.applied[at].sessions)
	}
	if p.fresh = rest; len(rest) > 0 && !p.closed {
		p.timer = time.AfterFunc(keepAfter/2, p.keep)
	}
	p.mu.Unlock()
	for i := range list {
		list[i].sessions = p.taken(list[i])
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, at := range due {
		e := &p.applied[at]
		if e.until != 0 || e.position != list[i].position || e.event != list[i].event {
			continue // it was done, or another has its place already
		}
		e.until, e.sessions = now, list[i].sessions
		for j := range e.sessions {
			s := &e.sessions[j]
			if s.ok = s.ok && p.kept+len(s.passes) <= maxKept; !s.ok {
				s.passes = nil
			}
			p.kept += len(s.passes)
		}
	}
}

// taken returns what the rings know of an event's sessions.
func (p *Passes) taken(e appliedAt) []keptSession {
	all := make([]keptSession, len(e.sessions))
	for i, s := range e.sessions {
		s.passes, s.whole = p.find(s.session, e.since, math.MaxInt64)
		s.ok = len(s.passes) <= maxKeptEach
		s.passes = slices.Clip(s.passes)
		all[i] = s
	}
	return all
}

// findWith returns what the rings know, and what was kept of e, which may know what the rings have forgotten.
func (p *Passes) findWith(e appliedAt, f fp.FP, q exposure.Question) (found []exposure.Pass, whole int64) {
	found, whole = p.find(f, q.SinceMS, q.UntilMS)
	i := slices.IndexFunc(e.sessions, func(s keptSession) bool { return s.session == f && s.ok })
	if i < 0 || e.until == 0 || q.SinceMS < e.since {
		return found, whole
	}
	kept := e.sessions[i]
	// What passed since then is no part of what was kept; and there is nothing, for the replica refuses the session.
	found = slices.DeleteFunc(found, func(pass exposure.Pass) bool { return pass.AtMS <= e.until })
	for _, pass := range kept.passes {
		if pass.AtMS >= q.SinceMS && pass.AtMS <= min(q.UntilMS, e.until) {
			found = append(found, pass)
		}
	}
	return found, kept.whole
}
