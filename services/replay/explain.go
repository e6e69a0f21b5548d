package replay

import (
	"net/http"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/gateways"
	"github.com/curfewhq/curfew/internal/ledger"
	"github.com/curfewhq/curfew/internal/replicas"
	"github.com/curfewhq/curfew/revocation"
)

// Limits are how long revocations are kept, and sessions live; *revocation.Replica has them.
type Limits interface {
	MaxAge() time.Duration
	Leeway() time.Duration
	KeepsUntil(e events.Event, stored time.Time) time.Time
}

// Explanation is what the ledger says of a session as of a moment: what a replica that had applied it up to there would have answered, and why.
type Explanation struct {
	Tenant string `json:"tenant"`
	// AsOf is the moment, and Position up to where the ledger was read.
	AsOf     time.Time `json:"as_of"`
	Position uint64    `json:"position"`
	// State is active, revoked or undetermined; Scope and Reason are those of a revoked session.
	State  string           `json:"state"`
	Scope  revocation.Scope `json:"scope,omitempty"`
	Reason events.Reason    `json:"reason,omitempty"`
	// Missing are the claims without which it can't be told: session, user, auth_time.
	Missing []string `json:"missing,omitempty"`
	// Event is the one that Check names; left out for max age, and for what nothing ends.
	Event *Finding `json:"event,omitempty"`
	// MaxAgeAt is when the session ends for its age; left out without an auth time, and for one whose end no date can tell.
	MaxAgeAt time.Time `json:"max_age_at,omitzero"`
	// LostBefore is left out, or tells of a session that isn't past max age that the ledger may have lost what ended those that began up to then: they are over.
	LostBefore time.Time `json:"lost_before,omitzero"`
	// Ending are the newest events that end it, Event among them if it is one of those; Sparing the newest that are about it and don't, with why.
	// Both are at most 20; Endings and Sparings count all.
	Ending   []Finding `json:"ending"`
	Sparing  []Finding `json:"sparing"`
	Endings  int       `json:"endings"`
	Sparings int       `json:"sparings"`
	// Replicas are what replicas say of the session, and Tabs which tabs its user has open: both at the moment of the answer. They are left out of an answer about the past, and where they can't be asked;
	// Tabs also where no user is named.
	Replicas *replicas.Survey   `json:"replicas,omitempty"`
	Tabs     *gateways.UserTabs `json:"tabs,omitempty"`
}

// Finding is an event, and what it means to the session.
type Finding struct {
	Position    uint64           `json:"position"`
	Stored      time.Time        `json:"stored"`
	ID          string           `json:"id"`
	Time        time.Time        `json:"time"`
	Scope       events.Kind      `json:"scope"`
	Reason      events.Reason    `json:"reason"`
	ReasonAdmin string           `json:"reason_admin,omitempty"`
	Initiator   events.Initiator `json:"initiator"`
	// Cutoff is that of an event that has one.
	Cutoff time.Time `json:"cutoff,omitzero"`
	// ForgottenAt is when replicas may forget it.
	ForgottenAt time.Time `json:"forgotten_at"`
	Replay      string    `json:"replay,omitempty"`
	Why         string    `json:"why"`
}

// listed is how many events an explanation lists of each kind.
const listed = 20

func (s *Service) handleExplain(w http.ResponseWriter, r *http.Request) {
	key, _ := access.KeyFrom(r.Context())
	q, fault := parseQuestion(key, r.URL.RawQuery)
	if fault != nil {
		s.refuse(w, *fault)
		return
	}
	m, fault, err := s.moment(r.Context(), lookup{q.session.Tenant, q.everybodys}, q.at, "at")
	if fault != nil {
		s.refuse(w, *fault)
		return
	}
	if err != nil {
		s.unreadable(w, r, err)
		return
	}
	x := &explaining{session: q.session, limits: s.cfg.Limits, out: Explanation{
		Tenant: q.session.Tenant, AsOf: m.asOf, Position: m.position, LostBefore: m.lostBefore, Ending: []Finding{}, Sparing: []Finding{},
	}}
	if err := s.cfg.Ledger.Read(r.Context(), m.span, func(entry ledger.Entry) error { x.apply(entry); return nil }, nil); err != nil {
		s.unreadable(w, r, err)
		return
	}
	out := x.decide()
	if q.at == (when{}) {
		s.lookAround(r, q.session, &out)
	}
	s.tell(w, out)
}
