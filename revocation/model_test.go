package revocation

import (
	"slices"
	"time"

	"github.com/curfewhq/curfew/events"
)

// model is the contract (guarantees, sections 2 to 4) said as plainly as possible: it keeps every event, and asks each of them. It shares
// nothing with the code that it is compared with.
type model struct {
	maxAge, leeway time.Duration
	events         []events.Event
}

// over reports whether a session with that auth time began up to the cutoff. Both count in whole milliseconds.
func over(authTime, cutoff time.Time) bool {
	return !authTime.IsZero() && !authTime.Truncate(time.Millisecond).After(cutoff.Truncate(time.Millisecond))
}

// ends reports whether e ends s: by the session's name, or by a cutoff.
func ends(e events.Event, s Session) (byName, byCutoff bool) {
	tenant := s.Tenant
	if tenant == "" {
		tenant = "default"
	}
	if e.Meta().Tenant != tenant {
		return false, false
	}
	is := func(id, of string) bool { return id != "" && id == of }
	switch e := e.(type) {
	case *events.SessionRevoked:
		return is(s.ID, e.Session), false
	case *events.UserLoggedOutEverywhere:
		named := s.ID != "" && slices.Contains(e.KnownSessions, s.ID)
		spared := s.ID != "" && slices.Contains(e.Except, s.ID)
		return named, is(s.User, e.User) && over(s.AuthTime, e.Cutoff) && !spared
	case *events.DeviceLoggedOut:
		return false, is(s.Device, e.Device) && over(s.AuthTime, e.Cutoff)
	case *events.ClientLoggedOut:
		return false, is(s.Client, e.Client) && over(s.AuthTime, e.Cutoff)
	case *events.TenantLoggedOut:
		return false, over(s.AuthTime, e.Cutoff)
	}
	panic("a sixth event")
}

// scope returns the first scope whose revocations end s, and the ids of all events of that scope that do. No scope: nothing ends it.
func (m *model) scope(s Session) (Scope, []string) {
	for _, kind := range []events.Kind{"session", "user", "device", "client", "tenant"} {
		var ids []string
		for _, e := range m.events {
			if byName, byCutoff := ends(e, s); e.Kind() == kind && (byName || byCutoff) {
				ids = append(ids, e.Meta().ID)
			}
		}
		if len(ids) > 0 {
			return Scope(kind), ids
		}
	}
	return "", nil
}

// key is a typed id within its tenant.
type key struct {
	tenant string
	kind   events.Kind
	id     string
}

// latest returns the later of two times.
func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// kept is rule 9 of guarantees, section 4, with ADR 0020: until when e's revocation of sessions by name, and by cutoff, is kept at least.
func (m *model) kept(e events.Event) (names, cutoff time.Time) {
	c := e.Meta()
	if s, ok := e.(*events.SessionRevoked); ok {
		end := s.SessionExpiresAt
		if !end.After(c.Time) {
			end = c.Time.Add(m.maxAge)
		}
		return latest(end.Add(m.leeway), c.ExpiresAt), time.Time{}
	}
	at, _ := events.Cutoff(e)
	return latest(latest(at, c.Time).Add(m.maxAge+m.leeway), c.ExpiresAt), latest(at.Add(m.maxAge+m.leeway), c.ExpiresAt)
}

// mustEnd reports whether an event that must still be kept at now ends s.
func (m *model) mustEnd(s Session, now time.Time) bool {
	return slices.ContainsFunc(m.events, func(e events.Event) bool {
		byName, byCutoff := ends(e, s)
		names, cutoff := m.kept(e)
		return byName && !now.After(names) || byCutoff && !now.After(cutoff)
	})
}

// of returns the events that k speaks of.
func (m *model) of(k key) []events.Event {
	return slices.DeleteFunc(slices.Clone(m.events), func(e events.Event) bool {
		return e.Meta().Tenant != k.tenant || e.Kind() != k.kind || e.Target() != k.id
	})
}

// latestCutoff returns the latest cutoff of k, in Unix milliseconds, of the events that don't except the session.
func (m *model) latestCutoff(k key, sid string) (at int64, found bool) {
	for _, e := range m.of(k) {
		if u, ok := e.(*events.UserLoggedOutEverywhere); ok && slices.Contains(u.Except, sid) {
			continue
		}
		if cutoff, _ := events.Cutoff(e); !found || cutoff.UnixMilli() > at {
			at, found = cutoff.UnixMilli(), true
		}
	}
	return at, found
}

// lastKept returns until when the cutoff of k that is kept longest is kept, in Unix milliseconds.
func (m *model) lastKept(k key) (last int64) {
	for _, e := range m.of(k) {
		_, cutoff := m.kept(e)
		last = max(last, cutoff.UnixMilli())
	}
	return last
}
