package replay

import (
	"cmp"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/ledger"
	"github.com/curfewhq/curfew/revocation"
)

// Fact is what one event says of one session, user, device, client or tenant, and is in force.
type Fact struct {
	Scope    events.Kind `json:"scope"`
	Target   string      `json:"target"`
	Position uint64      `json:"position"`
	Stored   time.Time   `json:"stored"`
	// ID, Time, Reason, ReasonAdmin, Initiator and Replay are the event's.
	ID          string           `json:"id"`
	Time        time.Time        `json:"time"`
	Reason      events.Reason    `json:"reason"`
	ReasonAdmin string           `json:"reason_admin,omitempty"`
	Initiator   events.Initiator `json:"initiator"`
	Replay      string           `json:"replay,omitempty"`
	// By is the scope of an event that names the session beside what it is about: user. Left out, it is Scope.
	By events.Kind `json:"by,omitempty"`
	// Cutoff is that of all but sessions. Except are the sessions that it spares.
	Cutoff time.Time `json:"cutoff,omitzero"`
	Except []string  `json:"except,omitempty"`
	// OnlyFor are the sessions about which alone it says more than a later cutoff, which excepts them. Left out, it is for all.
	OnlyFor []string `json:"only_for,omitempty"`
	// ForgottenAt is when replicas may forget it; of a session that several events name, the last of them.
	ForgottenAt time.Time `json:"forgotten_at"`
}

// key is what a revocation takes hold of. Keys are in the order of pages: what ends most comes first.
type key struct {
	kind events.Kind
	id   string
}

func (k key) compare(other key) int {
	return cmp.Or(cmp.Compare(k.place(), other.place()), strings.Compare(k.id, other.id))
}

// place is where the keys of a kind stand.
func (k key) place() int {
	switch k.kind {
	case events.KindTenant:
		return 0
	case events.KindClient:
		return 1
	case events.KindDevice:
		return 2
	case events.KindUser:
		return 3
	}
	return 4
}

// keysOf are what an event takes hold of: its target, and the sessions that it names beside.
func keysOf(e events.Event) iter.Seq[key] {
	return func(yield func(key) bool) {
		if !yield(key{e.Kind(), e.Target()}) {
			return
		}
		if u, ok := e.(*events.UserLoggedOutEverywhere); ok {
			for _, sid := range u.KnownSessions {
				if !yield(key{events.KindSession, sid}) {
					return
				}
			}
		}
	}
}

// said is what an event says of a key.
type said struct {
	fact Fact
	// e is as much of the event as it takes to compare it with others: an event may be half a megabyte.
	e events.Event
}

// saidOf takes from an event what it says of one of its keys, and leaves the rest to be forgotten.
func saidOf(entry ledger.Entry, k key, forgotten time.Time) *said {
	m := entry.Event.Meta()
	f := Fact{
		Scope: k.kind, Target: strings.Clone(k.id), Position: entry.Position, Stored: entry.Stored.UTC(), ID: strings.Clone(m.ID), Time: m.Time.UTC(), Reason: m.Reason,
		ReasonAdmin: strings.Clone(m.ReasonAdmin), Initiator: events.Initiator{Type: m.Initiator.Type, ID: strings.Clone(m.Initiator.ID)}, Replay: strings.Clone(m.Replay), ForgottenAt: forgotten,
	}
	c := events.Common{Tenant: strings.Clone(m.Tenant), Reason: m.Reason}
	cutoff, _ := events.Cutoff(entry.Event)
	if k.kind != events.KindSession {
		f.Cutoff = cutoff.UTC()
	}
	var e events.Event
	switch from := entry.Event.(type) {
	case *events.SessionRevoked:
		e = &events.SessionRevoked{Common: c, Session: f.Target}
	case *events.UserLoggedOutEverywhere:
		u := &events.UserLoggedOutEverywhere{Common: c, User: strings.Clone(from.User), Cutoff: cutoff}
		if k.kind == events.KindSession {
			f.By, u.KnownSessions = events.KindUser, []string{f.Target}
		} else {
			for _, sid := range from.Except {
				f.Except = append(f.Except, strings.Clone(sid))
			}
			u.Except = f.Except
		}
		e = u
	case *events.DeviceLoggedOut:
		e = &events.DeviceLoggedOut{Common: c, Device: f.Target, Cutoff: cutoff}
	case *events.ClientLoggedOut:
		e = &events.ClientLoggedOut{Common: c, Client: f.Target, Cutoff: cutoff}
	default:
		e = &events.TenantLoggedOut{Common: c, Cutoff: cutoff}
	}
	return &said{f, e}
}

// outranks reports whether s is named and not other, which lies before it in the ledger.
func (s *said) outranks(other *said) bool {
	of := revocation.Session{Tenant: s.e.Meta().Tenant}
	if s.fact.Scope == events.KindSession {
		of.ID = s.fact.Target
	}
	return revocation.Outranks(s.e, other.e, of)
}

// beats reports whether s decides in the place of other, which lies before it: it outranks it, or says the same and excepts fewer.
func (s *said) beats(other *said) bool {
	if s.outranks(other) {
		return true
	}
	fewer := len(s.fact.Except) < len(other.fact.Except) && !slices.ContainsFunc(s.fact.Except, func(sid string) bool { return !slices.Contains(other.fact.Except, sid) })
	return fewer && !other.outranks(s)
}

// held is all that is in force of one key, as a replica holds it (ADR 0025): what decides about most sessions, and for each that it excepts what decides about that one.
type held struct {
	top    *said
	spared []*said // for each of top's exceptions; nil for none
}

// answer returns what decides about a session; nil for nothing.
func (h *held) answer(sid string) *said {
	if h.top == nil {
		return nil
	}
	if i := slices.Index(h.top.fact.Except, sid); i >= 0 && sid != "" {
		return h.spared[i]
	}
	return h.top
}

// add joins what the next event of the ledger says.
func (h *held) add(x *said) {
	switch {
	case h.top == nil:
		h.top, h.spared = x, make([]*said, len(x.fact.Except))
	case x.beats(h.top):
		spared := make([]*said, len(x.fact.Except))
		for i, sid := range x.fact.Except {
			spared[i] = h.answer(sid)
		}
		x.keepFor(h.top)
		h.top, h.spared = x, spared
	default:
		h.top.keepFor(x)
		for i, sid := range h.top.fact.Except {
			if !slices.Contains(x.fact.Except, sid) && (h.spared[i] == nil || x.beats(h.spared[i])) {
				h.spared[i] = x
			}
		}
	}
}

// keepFor has a session be over until the last of the events that name it is forgotten.
func (s *said) keepFor(other *said) {
	if s.fact.Scope == events.KindSession && other.fact.ForgottenAt.After(s.fact.ForgottenAt) {
		s.fact.ForgottenAt = other.fact.ForgottenAt
	}
}

// facts are those that decide about any session, the latest cutoff first.
func (h *held) facts() []Fact {
	if h.top == nil {
		return nil
	}
	list := []Fact{h.top.fact}
	for i, s := range h.spared {
		if s == nil {
			continue
		}
		sid := h.top.fact.Except[i]
		at := slices.IndexFunc(list[1:], func(f Fact) bool { return f.Position == s.fact.Position })
		if at < 0 {
			list, at = append(list, s.fact), len(list)-1
		}
		list[at+1].OnlyFor = append(list[at+1].OnlyFor, sid)
	}
	slices.SortStableFunc(list[1:], func(a, b Fact) int { return b.Cutoff.Compare(a.Cutoff) })
	return list
}
