package revocation

import (
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

// lookup returns the ending of a session, in the order session, user, device, client, tenant. It never locks, blocks or allocates.
//
// All searches are begun before the first is ended: the memory that they wait for is asked for at once.
func (s *set) lookup(of *Session) (ending, bool) {
	tenant := of.tenant()
	var sid fp.Digest
	var named, user, device, client, all table.Probe
	if of.ID != "" {
		sid = s.hash.Sum(fp.Session, tenant, of.ID)
		named = s.sessions.Probe(sid)
	}
	var begun int64
	dated := !of.AuthTime.IsZero()
	if dated {
		begun = millis(of.AuthTime)
		s.probe(&user, fp.User, begun, tenant, of.User)
		s.probe(&device, fp.Device, begun, tenant, of.Device)
		s.probe(&client, fp.Client, begun, tenant, of.Client)
		s.probe(&all, fp.Tenant, begun, tenant, tenant)
	}
	if m, ok := named.Find(); ok {
		scope := ScopeUser
		if meta(m).cause()&explicit != 0 {
			scope = ScopeSession
		}
		return ending{scope, reasonOf(meta(m).cause()), meta(m).pos()}, true
	}
	if !dated {
		return ending{}, false
	}
	if by, ok := cut(&user, ScopeUser, begun, of.ID, &sid); ok {
		return by, true
	}
	if by, ok := cut(&device, ScopeDevice, begun, "", nil); ok {
		return by, true
	}
	if by, ok := cut(&client, ScopeClient, begun, "", nil); ok {
		return by, true
	}
	return cut(&all, ScopeTenant, begun, "", nil)
}

// probe begins the search for a part of a session, unless it is absent or no cutoff of its kind can end the session.
func (s *set) probe(p *table.Probe, kind fp.Kind, begun int64, tenant, id string) {
	if id != "" && begun <= s.latest[kind].Load() {
		*p = s.scopes.Probe(s.hash.Sum(kind, tenant, id))
	}
}

// cut returns what the cutoffs that p searches for say of a session. A session without an id is nobody's exception.
func cut(p *table.Probe, scope Scope, begun int64, id string, sid *fp.Digest) (ending, bool) {
	m, extra, record, ok := p.FindExtra()
	if !ok || begun > unpackAt(extra) {
		return ending{}, false
	}
	if record != nil && id != "" {
		if i := exception(record, sid); i >= 0 {
			c := spared(record, i)
			return ending{scope, reasonOf(c.cause), c.pos}, c.exists() && begun <= c.at
		}
	}
	return ending{scope, reasonOf(meta(m).cause()), meta(m).pos()}, true
}

// touched reports whether any cutoff exists for the session's user, device, client or tenant.
func (s *set) touched(of *Session) bool {
	tenant := of.tenant()
	for _, part := range [...]struct {
		kind fp.Kind
		id   string
	}{{fp.User, of.User}, {fp.Device, of.Device}, {fp.Client, of.Client}, {fp.Tenant, tenant}} {
		if part.id == "" {
			continue
		}
		p := s.scopes.Probe(s.hash.Sum(part.kind, tenant, part.id))
		if _, _, _, ok := p.FindExtra(); ok {
			return true
		}
	}
	return false
}
