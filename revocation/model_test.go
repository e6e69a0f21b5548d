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

// pair is a cutoff with its exceptions and its end, all as whole milliseconds.
type pair struct {
	at, expires int64
	except      []string
}

// undominated returns the pairs of the events with that tenant, kind and target that no other is at least as good as in every respect.
func (m *model) undominated(tenant string, kind events.Kind, target string) []pair {
	var all []pair
	for _, e := range m.events {
		if e.Meta().Tenant != tenant || e.Kind() != kind || e.Target() != target {
			continue
		}
		at, _ := events.Cutoff(e)
		_, expires := m.kept(e)
		var except []string
		if u, ok := e.(*events.UserLoggedOutEverywhere); ok {
			except = slices.Compact(slices.Sorted(slices.Values(u.Except)))
		}
		p := pair{at.UnixMilli(), expires.UnixMilli(), except}
		if !slices.ContainsFunc(all, func(q pair) bool { return p.equal(q) }) {
			all = append(all, p)
		}
	}
	return slices.DeleteFunc(slices.Clone(all), func(p pair) bool {
		return slices.ContainsFunc(all, func(q pair) bool { return !p.equal(q) && q.covers(p) })
	})
}

func (p pair) equal(q pair) bool {
	return p.at == q.at && p.expires == q.expires && slices.Equal(p.except, q.except)
}

// covers reports whether p ends whatever q ends, for as long.
func (p pair) covers(q pair) bool {
	for _, sid := range p.except {
		if !slices.Contains(q.except, sid) {
			return false
		}
	}
	return p.at >= q.at && p.expires >= q.expires
}
