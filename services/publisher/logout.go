package publisher

import (
	"net/http"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/problem"
)

// Logout is the convenience form of a user-wide revocation.
type Logout struct {
	// Scope is everywhere, or others: everywhere but CurrentSession.
	Scope string `json:"scope"`
	// CurrentSession is required for others. Without it the call is refused and never widened to everywhere.
	CurrentSession string            `json:"current_session,omitempty"`
	KnownSessions  []string          `json:"known_sessions,omitempty"`
	Reason         events.Reason     `json:"reason,omitempty"`
	ReasonAdmin    string            `json:"reason_admin,omitempty"`
	ReasonUser     string            `json:"reason_user,omitempty"`
	Initiator      *events.Initiator `json:"initiator,omitempty"`
}

func (s *Service) handleLogout(w http.ResponseWriter, r *http.Request) {
	key, _ := access.KeyFrom(r.Context())
	var q Logout
	if p := problem.Read(w, r, &q); p.Status != 0 {
		s.refuse(w, p)
		return
	}
	revocation, fault := q.revocation(r.PathValue("user"))
	if fault.Field != "" {
		s.refuse(w, problem.Invalid(fault))
		return
	}
	answers, _, p := s.revoke(r, key, []Revocation{revocation}, false)
	if p.Status != 0 {
		s.refuse(w, p)
		return
	}
	problem.JSON(w, http.StatusOK, answers[0])
}

func (q Logout) revocation(user string) (Revocation, problem.Fault) {
	out := Revocation{
		Scope: events.KindUser, User: user, KnownSessions: q.KnownSessions, Reason: q.Reason, ReasonAdmin: q.ReasonAdmin,
		ReasonUser: q.ReasonUser, Initiator: q.Initiator,
	}
	if out.Reason == "" {
		out.Reason = events.ReasonUserLogout
	}
	if out.Initiator == nil {
		out.Initiator = &events.Initiator{Type: events.InitiatorUser}
	}
	switch {
	case q.Scope == "everywhere" && q.CurrentSession != "":
		return out, problem.Fault{Field: "current_session", Detail: "doesn't apply to scope everywhere: leave it out, or say others to keep it"}
	case q.Scope == "everywhere":
	case q.Scope == "others" && q.CurrentSession == "":
		return out, problem.Fault{Field: "current_session", Detail: "is required for scope others: give the sid of the session to keep; it is never widened to everywhere"}
	case q.Scope == "others":
		out.Except = []string{q.CurrentSession}
	default:
		return out, problem.Fault{Field: "scope", Detail: "must be everywhere or others"}
	}
	return out, problem.Fault{}
}
