package chaos

import (
	"slices"
	"sync"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/revocation"
)

// record is one event of a model.
type record struct {
	event events.Event
	// position and at are where and when it was acknowledged; 0 as long as it isn't.
	position uint64
	at       time.Time
}

// model is the naive account of what a session's answer must be: every event that was ever sent, looked at one by one. Safe for concurrent use.
type model struct {
	mu sync.RWMutex
	// byTarget: what ends the target → its events.
	byTarget map[target][]*record
	last     uint64
	n        int
}

type target struct{ tenant, kind, id string }

func newModel() *model { return &model{byTarget: map[target][]*record{}} }

// sent notes an event before it is published: from now on a replica may know it.
func (m *model) sent(e events.Event) *record {
	r := &record{event: e}
	tenant := e.Meta().Tenant
	var targets []target
	switch e := e.(type) {
	case *events.SessionRevoked:
		targets = []target{{tenant, "session", e.Session}}
	case *events.UserLoggedOutEverywhere:
		targets = []target{{tenant, "user", e.User}}
		for _, sid := range e.KnownSessions {
			targets = append(targets, target{tenant, "session", sid})
		}
	case *events.DeviceLoggedOut:
		targets = []target{{tenant, "device", e.Device}}
	case *events.ClientLoggedOut:
		targets = []target{{tenant, "client", e.Client}}
	case *events.TenantLoggedOut:
		targets = []target{{tenant, "tenant", tenant}}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, t := range targets {
		m.byTarget[t] = append(m.byTarget[t], r)
	}
	m.n++
	return r
}

// acknowledged notes where an event was stored.
func (m *model) acknowledged(r *record, position uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r.position, r.at = position, time.Now()
	m.last = max(m.last, position)
}

func (m *model) size() (events int, last uint64) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.n, m.last
}

// anyOf reports whether one of the events that end s is among those that are asked for.
func (m *model) anyOf(s revocation.Session, asked func(*record) bool) bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for _, t := range []target{
		{s.Tenant, "session", s.ID}, {s.Tenant, "user", s.User}, {s.Tenant, "device", s.Device}, {s.Tenant, "client", s.Client}, {s.Tenant, "tenant", s.Tenant},
	} {
		for _, r := range m.byTarget[t] {
			if asked(r) && ends(r.event, s) {
				return true
			}
		}
	}
	return false
}

// ends says of one event whether it ends a session, in the words of docs/guarantees.md, section 2. That it is of the session's target is known.
func ends(e events.Event, s revocation.Session) bool {
	upTo := func(cutoff time.Time) bool { return !s.AuthTime.After(cutoff) }
	switch e := e.(type) {
	case *events.SessionRevoked:
		return true
	case *events.UserLoggedOutEverywhere:
		if slices.Contains(e.KnownSessions, s.ID) {
			return true
		}
		return e.User == s.User && upTo(e.Cutoff) && !slices.Contains(e.Except, s.ID)
	case *events.DeviceLoggedOut:
		return upTo(e.Cutoff)
	case *events.ClientLoggedOut:
		return upTo(e.Cutoff)
	case *events.TenantLoggedOut:
		return upTo(e.Cutoff)
	}
	return false
}

// live reports whether an event must still be known at a time. A revocation by name may be forgotten from the session's own end on, or max age after
// the event. A cutoff needn't be known any longer than sessions before it are within max age, and those that are asked about are.
func (r *record) live(now time.Time) bool {
	switch e := r.event.(type) {
	case *events.SessionRevoked:
		if !e.SessionExpiresAt.IsZero() {
			return now.Before(e.SessionExpiresAt)
		}
		return now.Before(e.Time.Add(soakMaxAge))
	case *events.UserLoggedOutEverywhere:
		return len(e.KnownSessions) == 0 || now.Before(e.Time.Add(soakMaxAge))
	}
	return true
}
