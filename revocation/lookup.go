package revocation

import (
	"math"

	"github.com/curfewhq/curfew/events"
	fp "github.com/curfewhq/curfew/revocation/internal/fingerprint"
	"github.com/curfewhq/curfew/revocation/internal/table"
)

// ending is what ends a session: a reference to an event.
type ending struct {
	scope  Scope
	reason events.Reason
	pos    pos
}

// search is a lookup under way. It is filled in place, for copies of it would cost as much as a hash.
type search struct {
	set *set
	of  *Session
	in  fp.Within
	// session is the first half of the session's fingerprint.
	session uint64
}

// begin asks the memory for what most probably isn't in any cache. What the caller does before it asks for the ending costs nothing then. The
// caller has set set and of.
func (q *search) begin() {
	q.in.Set(q.set.hash, q.of.tenant())
	if q.of.ID != "" {
		q.session = q.in.First(fp.Session, q.of.ID)
		q.set.sessions.Prefetch(q.session)
	}
}

// first returns the first half of the fingerprint of a part of the session, and asks the memory for its cutoffs; 0 if the part is absent, or no
// cutoff of its kind can end a session that began then.
func (q *search) first(kind fp.Kind, id string, begun int64) uint64 {
	if id == "" || begun > q.set.latest[kind].Load() {
		return 0
	}
	first := q.in.First(kind, id)
	q.set.scopes.Prefetch(first)
	return first
}

// ending returns what ends the session, in the order session, user, device, client, tenant. It never locks, blocks or allocates.
func (q *search) ending() (ending, bool) {
	of, in := q.of, &q.in
	begun := int64(math.MaxInt64) // after every cutoff
	if !of.AuthTime.IsZero() {
		begun = of.AuthTime.UnixMilli()
	}
	// All are asked for before the first is waited for.
	user := q.first(fp.User, of.User, begun)
	device := q.first(fp.Device, of.Device, begun)
	client := q.first(fp.Client, of.Client, begun)
	all := uint64(0)
	if begun <= q.set.latest[fp.Tenant].Load() {
		all = in.FirstOfTenant()
		q.set.scopes.Prefetch(all)
	}
	if of.ID != "" {
		if p := q.set.sessions.Probe(q.session); !p.Misses() {
			if by, ok := byName(&p, in.Second(fp.Session, of.ID)); ok {
				return by, true
			}
		}
	}
	if user != 0 {
		if by, ok := q.cutoff(user, fp.User, of.User, begun); ok {
			return by, true
		}
	}
	if device != 0 {
		if by, ok := q.cutoff(device, fp.Device, of.Device, begun); ok {
			return by, true
		}
	}
	if client != 0 {
		if by, ok := q.cutoff(client, fp.Client, of.Client, begun); ok {
			return by, true
		}
	}
	if all != 0 {
		return q.cutoff(all, fp.Tenant, in.Tenant(), begun)
	}
	return ending{}, false
}

// byName returns what the search for a session has found.
func byName(p *table.Probe, second uint64) (ending, bool) {
	word, ok := p.Find(second)
	if !ok {
		return ending{}, false
	}
	m, scope := meta(word), ScopeUser
	if m.cause()&explicit != 0 {
		scope = ScopeSession
	}
	return ending{scope, reasonOf(m.cause()), m.pos()}, true
}

// cutoff returns what the cutoffs of a part of the session say of one that began then.
func (q *search) cutoff(first uint64, kind fp.Kind, id string, begun int64) (ending, bool) {
	p := q.set.scopes.Probe(first)
	if p.Misses() {
		return ending{}, false
	}
	word, extra, record, ok := p.FindExtra(q.in.Second(kind, id))
	if !ok || begun > unpackAt(extra) {
		return ending{}, false
	}
	// A session without an id is nobody's exception.
	if record != nil && q.of.ID != "" {
		if i := exception(record, q.in.Sum(fp.Session, q.of.ID)); i >= 0 {
			c := spared(record, i)
			return ending{scopeOf(kind), reasonOf(c.cause), c.pos}, c.exists() && begun <= c.at
		}
	}
	return ending{scopeOf(kind), reasonOf(meta(word).cause()), meta(word).pos()}, true
}

func scopeOf(kind fp.Kind) Scope {
	switch kind {
	case fp.User:
		return ScopeUser
	case fp.Device:
		return ScopeDevice
	case fp.Client:
		return ScopeClient
	case fp.Tenant:
		return ScopeTenant
	}
	return ScopeSession
}

// touched reports whether any cutoff exists for the session's user, device, client or tenant.
func (s *set) touched(of *Session) bool {
	in := s.hash.Within(of.tenant())
	return s.touches(&in, fp.User, of.User) || s.touches(&in, fp.Device, of.Device) || s.touches(&in, fp.Client, of.Client) ||
		s.touches(&in, fp.Tenant, in.Tenant())
}

func (s *set) touches(in *fp.Within, kind fp.Kind, id string) bool {
	if id == "" {
		return false
	}
	p := s.scopes.Probe(in.First(kind, id))
	if p.Misses() {
		return false
	}
	_, ok := p.Find(in.Second(kind, id))
	return ok
}
