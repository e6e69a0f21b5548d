package revocation

import (
	"slices"
	"time"

	"github.com/curfewhq/curfew/events"
)

// Ends reports whether e alone ends s, by its scope, its cutoff and its exceptions. It knows nothing of max age, nor of when e may be forgotten.
// A nil e ends nothing.
//
// Whoever has read an event at [Decision.EventPosition] asks this before telling anybody of it, or [Decision.NamedBy], which asks more: a
// stream that was put back to an earlier state may hold another event there, and that may be another person's.
func Ends(e events.Event, s Session) bool {
	if e == nil || e.Meta().Tenant != s.tenant() {
		return false
	}
	switch e := e.(type) {
	case *events.SessionRevoked:
		return s.ID != "" && e.Session == s.ID
	case *events.UserLoggedOutEverywhere:
		if s.ID != "" && slices.Contains(e.KnownSessions, s.ID) {
			return true
		}
		return reaches(e.User, s.User, e.Cutoff, s) && (s.ID == "" || !slices.Contains(e.Except, s.ID))
	case *events.DeviceLoggedOut:
		return reaches(e.Device, s.Device, e.Cutoff, s)
	case *events.ClientLoggedOut:
		return reaches(e.Client, s.Client, e.Cutoff, s)
	case *events.TenantLoggedOut:
		return reaches(e.Tenant, s.tenant(), e.Cutoff, s)
	}
	return false
}

// reaches reports whether the cutoff of target reaches the part of s that is named like it.
func reaches(target, part string, cutoff time.Time, s Session) bool {
	return part != "" && part == target && !s.AuthTime.IsZero() && millis(s.AuthTime) <= millis(cutoff)
}

// NamedBy reports whether e may be the event that d, an answer about s, tells of by its position: it ends s, in d's scope, for d's reason.
func (d Decision) NamedBy(e events.Event, s Session) bool {
	return d.State == Revoked && Ends(e, s) && Scope(e.Kind()) == d.Scope && e.Meta().Reason == d.Reason
}
