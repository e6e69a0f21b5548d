package replay

import (
	"slices"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/ledger"
	"github.com/curfewhq/curfew/revocation"
)

// explaining applies the events of a tenant in the ledger's order, and decides about one session.
type explaining struct {
	session revocation.Session
	limits  Limits
	out     Explanation
	// named is the event that Check names of those that were applied.
	named events.Event
}

// apply takes an event. It must be the session's tenant's, and stored up to out.AsOf.
func (x *explaining) apply(entry ledger.Entry) {
	e := entry.Event
	if e == nil {
		return
	}
	x.out.Position = max(x.out.Position, entry.Position)
	forgotten := x.limits.KeepsUntil(e, entry.Stored)
	kept := forgotten.After(x.out.AsOf)
	skipped := revocation.CutoffInFuture(e, entry.Stored)
	switch {
	case revocation.Ends(e, x.session) && kept && !skipped:
		f := findingOf(entry, forgotten, whyEnds(e, x.session))
		x.out.Endings++
		x.out.Ending = newest(x.out.Ending, f)
		if x.named == nil || revocation.Outranks(e, x.named, x.session) {
			x.named, x.out.Event = e, &f
		}
	case about(e, x.session):
		why := whySpares(e, x.session)
		if skipped {
			why = "replicas skip it: its cutoff lay too far ahead when it was stored"
		} else if !kept {
			why = "it is forgotten: every session that it ended is past max age by then"
		}
		x.out.Sparings++
		x.out.Sparing = newest(x.out.Sparing, findingOf(entry, forgotten, why))
	}
}

// newest adds a finding, and drops the oldest of too many.
func newest(list []Finding, f Finding) []Finding {
	if len(list) == listed {
		list = list[1:]
	}
	return append(list, f)
}

// decide says what a replica says that has applied the same.
func (x *explaining) decide() Explanation {
	v, s := &x.out, x.session
	slices.Reverse(v.Ending)
	slices.Reverse(v.Sparing)
	if !s.AuthTime.IsZero() {
		v.MaxAgeAt = s.AuthTime.Add(x.limits.MaxAge()).UTC()
	}
	for _, claim := range []struct {
		name    string
		missing bool
	}{{"session", s.ID == ""}, {"user", s.User == ""}, {"auth_time", s.AuthTime.IsZero()}} {
		if claim.missing {
			v.Missing = append(v.Missing, claim.name)
		}
	}
	aged := !s.AuthTime.IsZero() && !v.AsOf.Before(v.MaxAgeAt)
	if s.AuthTime.IsZero() || aged || s.AuthTime.UnixMilli() > v.LostBefore.UnixMilli() {
		v.LostBefore = time.Time{} // nothing that matters
	}
	state := revocation.Active
	switch {
	case v.Event != nil:
		state, v.Scope, v.Reason = revocation.Revoked, revocation.Scope(v.Event.Scope), v.Event.Reason
	case aged, !v.LostBefore.IsZero():
		state, v.Scope, v.Reason = revocation.Revoked, revocation.ScopeMaxAge, events.ReasonMaxAge
	case len(v.Missing) > 0 || s.AuthTime.After(v.AsOf.Add(x.limits.Leeway())):
		state = revocation.Undetermined
	}
	v.State = state.String()
	if v.MaxAgeAt.Year() > 9999 {
		v.MaxAgeAt = time.Time{} // which RFC 3339 can't write
	}
	return *v
}

func findingOf(entry ledger.Entry, forgotten time.Time, why string) Finding {
	m := entry.Event.Meta()
	f := Finding{
		Position: entry.Position, Stored: entry.Stored.UTC(), ID: m.ID, Time: m.Time.UTC(), Scope: entry.Event.Kind(), Reason: m.Reason, ReasonAdmin: m.ReasonAdmin,
		Initiator: m.Initiator, ForgottenAt: forgotten, Replay: m.Replay, Why: why,
	}
	if cutoff, ok := events.Cutoff(entry.Event); ok {
		f.Cutoff = cutoff.UTC()
	}
	return f
}

// about reports whether an event is about the session, or something that it is part of. A tenant-wide one is about each.
func about(e events.Event, s revocation.Session) bool {
	switch e := e.(type) {
	case *events.SessionRevoked:
		return s.ID != "" && e.Session == s.ID
	case *events.UserLoggedOutEverywhere:
		return s.User != "" && e.User == s.User
	case *events.DeviceLoggedOut:
		return s.Device != "" && e.Device == s.Device
	case *events.ClientLoggedOut:
		return s.Client != "" && e.Client == s.Client
	}
	return e.Kind() == events.KindTenant
}

func whyEnds(e events.Event, s revocation.Session) string {
	switch e := e.(type) {
	case *events.SessionRevoked:
		return "it names the session"
	case *events.UserLoggedOutEverywhere:
		if s.ID != "" && slices.Contains(e.KnownSessions, s.ID) {
			return "it names the session among those that the user was known to have"
		}
	}
	return "the session began up to its cutoff"
}

func whySpares(e events.Event, s revocation.Session) string {
	if u, ok := e.(*events.UserLoggedOutEverywhere); ok && s.ID != "" && slices.Contains(u.Except, s.ID) {
		return "it excepts the session"
	}
	if s.AuthTime.IsZero() {
		return "when the session began isn't known, so whether its cutoff reaches it isn't either"
	}
	return "the session began after its cutoff"
}
