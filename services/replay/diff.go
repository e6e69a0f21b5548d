package replay

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/ledger"
	"github.com/curfewhq/curfew/internal/problem"
	"github.com/curfewhq/curfew/revocation"
)

// Diff is what came into force of a user or a tenant between two moments, and what no longer was.
type Diff struct {
	Tenant   string `json:"tenant"`
	User     string `json:"user,omitempty"`
	From     Moment `json:"from"`
	To       Moment `json:"to"`
	Registry string `json:"registry,omitempty"`
	// Changes are one page, in the order of State.InForce.
	Changes   []Change `json:"changes"`
	NextAfter string   `json:"next_after,omitempty"`
	// Sessions are those of a user that the registry knows and that became revoked in between; left out for a tenant, and where one scope is asked for. They are on each page.
	Sessions   []SessionChange `json:"sessions,omitempty"`
	LostBefore time.Time       `json:"lost_before,omitzero"`
	GoneBefore time.Time       `json:"gone_before,omitzero"`
}

// Moment is one of the ledger.
type Moment struct {
	AsOf     time.Time `json:"as_of"`
	Position uint64    `json:"position"`
}

// The kinds of changes.
const (
	// Came: it was stored in between.
	Came = "came"
	// Surfaced: it was stored before, and decides since what decided in its place is forgotten.
	Surfaced = "surfaced"
	// Forgotten: all that it ended is past max age.
	Forgotten = "forgotten"
	// Outranked: it goes on, and another that says more came.
	Outranked = "outranked"
)

// Change is one fact that is in force at one of the moments and not at the other.
type Change struct {
	Change string `json:"change"`
	Fact
}

// SessionChange is a session that became revoked.
type SessionChange struct {
	Session  string    `json:"session"`
	AuthTime time.Time `json:"auth_time"`
	// Before is active, undetermined, or not_begun.
	Before string           `json:"before"`
	Scope  revocation.Scope `json:"scope"`
	Reason events.Reason    `json:"reason"`
	// Event is what ended it; left out for max age.
	Event *Fact `json:"event,omitempty"`
}

// NotBegun is the state of a session before its auth time.
const NotBegun = "not_begun"

func (s *Service) handleDiff(w http.ResponseWriter, r *http.Request) {
	caller, _ := access.KeyFrom(r.Context())
	q, fault := parsePast(caller, r.URL.RawQuery, true)
	var out Diff
	var err error
	if fault == nil {
		out, fault, err = s.diff(r.Context(), q)
	}
	switch {
	case fault != nil:
		s.refuse(w, *fault)
	case err != nil:
		s.unreadable(w, r, err)
	default:
		s.tell(w, out)
	}
}

func (s *Service) diff(ctx context.Context, q pastQuestion) (Diff, *problem.Fault, error) {
	from, fault, err := s.moment(ctx, q.lookup, q.from, "from")
	if fault != nil || err != nil {
		return Diff{}, fault, err
	}
	to, fault, err := s.moment(ctx, q.lookup, q.at, "to")
	if fault != nil || err != nil {
		return Diff{}, fault, err
	}
	if !from.asOf.Before(to.asOf) {
		return Diff{}, &problem.Fault{Field: "from", Detail: "must lie before to"}, nil
	}
	o := s.owned(ctx, q)
	out := Diff{Tenant: q.tenant, User: q.user, From: Moment{from.asOf, from.position}, To: Moment{to.asOf, to.position}, Changes: []Change{}, LostBefore: to.noted, GoneBefore: from.goneBefore}
	if q.user != "" {
		out.Registry = o.registry
	}
	g := newGathering(s.cfg.Limits, from, to)
	// First which keys change at all, of which a page is picked; then what they hold at both moments.
	if err := s.pickChanged(ctx, g, o, &q.pages, &out); err != nil {
		return out, nil, err
	}
	if q.pages.more {
		out.NextAfter = q.pages.keys[len(q.pages.keys)-1].cursor()
	}
	pinned := map[key]bool{}
	if q.kind == "" {
		pinned = o.keys()
	}
	if len(q.pages.keys)+len(pinned) == 0 {
		return out, nil, nil
	}
	err = s.readOwned(ctx, to.span, o, func(entry ledger.Entry) {
		forgotten, then := g.inForce(entry)
		for k := range keysOf(entry.Event) {
			_, paged := slices.BinarySearchFunc(q.pages.keys, k, key.compare)
			if (paged || pinned[k]) && o.has(entry.Event, k) {
				g.hold(k, entry, forgotten, then)
			}
		}
	})
	for _, k := range q.pages.keys {
		out.Changes = append(out.Changes, changesOf(g.of(k, 0).facts(), g.of(k, 1).facts(), from, to)...)
	}
	if len(pinned) > 0 {
		out.Sessions = s.sessionChanges(g, o)
	}
	return out, nil, err
}

// pickChanged picks a page of the keys of which something is in force at one of g's two moments and not at the other, and notes up to where both have events.
func (s *Service) pickChanged(ctx context.Context, g *gathering, o owned, p *pages, out *Diff) error {
	from, to := g.moments[0], g.moments[1]
	return s.readOwned(ctx, to.span, o, func(entry ledger.Entry) {
		if from.includes(entry) {
			out.From.Position = max(out.From.Position, entry.Position)
		}
		out.To.Position = max(out.To.Position, entry.Position)
		if _, then := g.inForce(entry); then[0] == then[1] {
			return
		}
		for k := range keysOf(entry.Event) {
			if o.has(entry.Event, k) {
				p.take(k)
			}
		}
	})
}

// changesOf compares what is in force of a key.
func changesOf(before, after []Fact, from, to moment) (changes []Change) {
	in := func(list []Fact, f Fact) bool {
		return slices.ContainsFunc(list, func(other Fact) bool { return other.Position == f.Position })
	}
	for _, f := range after {
		if in(before, f) {
			continue
		}
		change := Came
		if from.includes(ledger.Entry{Position: f.Position, Stored: f.Stored}) {
			change = Surfaced
		}
		changes = append(changes, Change{change, f})
	}
	for _, f := range before {
		if in(after, f) {
			continue
		}
		change := Outranked
		if !f.ForgottenAt.After(to.asOf) {
			change = Forgotten
		}
		changes = append(changes, Change{change, f})
	}
	return changes
}

// keys are those on which it depends whether the user's sessions are over.
func (o owned) keys() map[key]bool {
	keys := map[key]bool{}
	for id, session := range o.sessions {
		for _, k := range keysOfSession(session) {
			keys[k] = true
		}
		keys[key{events.KindSession, id}] = true
	}
	return keys
}

// keysOfSession are the parts of a session, in the order in which replicas ask.
func keysOfSession(s revocation.Session) []key {
	return []key{{events.KindSession, s.ID}, {events.KindUser, s.User}, {events.KindDevice, s.Device}, {events.KindClient, s.Client}, {events.KindTenant, s.Tenant}}
}

// sessionChanges returns the registry's sessions that were revoked at the second moment and not at the first.
func (s *Service) sessionChanges(g *gathering, o owned) []SessionChange {
	changes := []SessionChange{}
	for _, session := range o.sessions {
		before, after := s.stateOf(g, session, 0), s.stateOf(g, session, 1)
		if after.Before != revocation.Revoked.String() || before.Before == after.Before {
			continue
		}
		after.Before = before.Before
		changes = append(changes, after)
	}
	slices.SortFunc(changes, func(a, b SessionChange) int { return strings.Compare(a.Session, b.Session) })
	return changes
}

// stateOf is what was the case of a session at a moment; the state is in Before.
func (s *Service) stateOf(g *gathering, session revocation.Session, at int) SessionChange {
	out := SessionChange{Session: session.ID, AuthTime: session.AuthTime.UTC(), Before: revocation.Active.String()}
	m := g.moments[at]
	for _, k := range keysOfSession(session) {
		by := g.of(k, at).answer(session.ID)
		if by == nil || k.kind != events.KindSession && (session.AuthTime.IsZero() || session.AuthTime.UnixMilli() > by.fact.Cutoff.UnixMilli()) {
			continue
		}
		f := by.fact
		out.Before, out.Scope, out.Reason, out.Event = revocation.Revoked.String(), revocation.Scope(f.Scope), f.Reason, &f
		if f.By != "" {
			out.Scope = revocation.Scope(f.By)
		}
		return out
	}
	switch {
	case session.AuthTime.IsZero():
		out.Before = revocation.Undetermined.String()
	case session.AuthTime.After(m.asOf):
		out.Before = NotBegun
	case !m.asOf.Before(session.AuthTime.Add(s.cfg.Limits.MaxAge())), session.AuthTime.UnixMilli() <= m.lostBefore.UnixMilli():
		out.Before, out.Scope, out.Reason = revocation.Revoked.String(), revocation.ScopeMaxAge, events.ReasonMaxAge
	}
	return out
}
