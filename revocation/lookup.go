package revocation

import (
	"math"

	fp "github.com/curfewhq/curfew/revocation/internal/fingerprint"
)

// ending is what ends a session: a reference to an event, by what part of the session it took hold of. The zero value is none.
type ending struct {
	of  fp.Kind
	why meta
}

func (e ending) exists() bool { return e.of != 0 }

func (e ending) scope() Scope {
	switch e.of {
	case fp.User:
		return ScopeUser
	case fp.Device:
		return ScopeDevice
	case fp.Client:
		return ScopeClient
	case fp.Tenant:
		return ScopeTenant
	}
	if e.why.cause()&explicit == 0 {
		return ScopeUser // a session that was known to be the user's
	}
	return ScopeSession
}

// search is a lookup under way. It is filled in place, for copies of it would cost as much as a hash.
type search struct {
	set *set
	of  *Session
	// begun is when the session began, in Unix milliseconds.
	begun int64
	// The fingerprints of the session's parts; zero if the part is absent, or no cutoff of its kind can end a session that began then.
	session, user, device, client, tenant fp.FP
}

// begin works out what is looked for, and asks the memory for what most probably isn't in any cache. What the caller does before it asks for the
// ending costs nothing then. The caller has set set and of.
func (q *search) begin() {
	hash, tenant := q.set.hash, q.of.tenant()
	if q.of.ID != "" {
		q.session = hash.Sum(fp.Session, tenant, q.of.ID)
		q.set.sessions.Prefetch(q.session)
	}
	q.begun = math.MaxInt64 // after every cutoff
	if !q.of.AuthTime.IsZero() {
		q.begun = q.of.AuthTime.UnixMilli()
	}
	if q.wants(fp.User, q.of.User) {
		q.user = hash.Sum(fp.User, tenant, q.of.User)
		q.set.scopes.Prefetch(q.user)
	}
	if q.wants(fp.Device, q.of.Device) {
		q.device = hash.Sum(fp.Device, tenant, q.of.Device)
		q.set.scopes.Prefetch(q.device)
	}
	if q.wants(fp.Client, q.of.Client) {
		q.client = hash.Sum(fp.Client, tenant, q.of.Client)
		q.set.scopes.Prefetch(q.client)
	}
	if q.wants(fp.Tenant, tenant) {
		q.tenant = hash.Tenant(tenant)
		q.set.scopes.Prefetch(q.tenant)
	}
}

// wants reports whether the cutoffs of a part of the session must be looked for.
func (q *search) wants(kind fp.Kind, id string) bool {
	return q.begun <= q.set.latest[kind].Load() && id != ""
}

// ending returns what ends the session, in the order session, user, device, client, tenant. It never locks, blocks or allocates.
func (q *search) ending() (by ending) {
	none := fp.FP{}
	if q.session != none {
		by = q.set.named(q.session)
	}
	if q.user != none && !by.exists() {
		by = q.cutoff(q.user, fp.User)
	}
	if q.device != none && !by.exists() {
		by = q.cutoff(q.device, fp.Device)
	}
	if q.client != none && !by.exists() {
		by = q.cutoff(q.client, fp.Client)
	}
	if q.tenant != none && !by.exists() {
		by = q.cutoff(q.tenant, fp.Tenant)
	}
	return by
}

// named returns what ends a session that was revoked by its name.
func (s *set) named(session fp.FP) ending {
	word, ok := s.sessions.Find(session)
	if !ok {
		return ending{}
	}
	return ending{fp.Session, meta(word)}
}

// cutoff returns what the cutoffs of a part of the session say of it.
func (q *search) cutoff(of fp.FP, kind fp.Kind) ending {
	word, extra, record, ok := q.set.scopes.FindExtra(of)
	if !ok || q.begun > unpackAt(extra) {
		return ending{}
	}
	// A session without an id is nobody's exception.
	if record != nil && q.session != (fp.FP{}) {
		if i := exception(record, q.session); i >= 0 {
			c := spared(record, i)
			if !c.exists() || q.begun > c.at {
				return ending{}
			}
			return ending{kind, newMeta(c.cause, 0, c.pos)}
		}
	}
	return ending{kind, meta(word)}
}

// touched reports whether any cutoff exists for the session's user, device, client or tenant.
func (s *set) touched(of *Session) bool {
	tenant := of.tenant()
	return s.touches(fp.User, tenant, of.User) || s.touches(fp.Device, tenant, of.Device) || s.touches(fp.Client, tenant, of.Client) ||
		s.touches(fp.Tenant, tenant, tenant)
}

func (s *set) touches(kind fp.Kind, tenant, id string) bool {
	if id == "" {
		return false
	}
	_, ok := s.scopes.Find(s.fingerprint(kind, tenant, id))
	return ok
}
