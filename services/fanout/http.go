package fanout

import (
	"net/http"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/problem"
	"github.com/curfewhq/curfew/revocation"
)

// The paths that tabs call themselves.
const (
	pathConnect = "/v1/connect"
	pathNotices = "/v1/notices"
	pathAcks    = "/v1/notices/acks"
)

// Routes adds the service's calls to mux.
func (s *Service) Routes(mux *http.ServeMux) {
	refused := func(code string) { s.cfg.Metrics.Refused.WithLabelValues(code).Inc() }
	mux.Handle("POST /v1/tickets", s.cfg.Keys.Guard(access.ScopePublish, refused, http.HandlerFunc(s.handleTicket)))
	if s.cfg.Fleet != nil {
		mux.Handle("GET /v1/users/{user}/tabs", s.cfg.Keys.Guard(access.ScopeRead, refused, http.HandlerFunc(s.handleTabs)))
	}
	mux.HandleFunc("GET /v1/connect", s.handleConnect)
	mux.HandleFunc("GET /v1/notices", s.handleNotices)
	mux.HandleFunc("POST /v1/notices", s.handleExchange)
	mux.HandleFunc("OPTIONS /v1/notices", s.handlePreflight)
	mux.HandleFunc("POST /v1/notices/acks", s.handleAck)
	mux.HandleFunc("OPTIONS /v1/notices/acks", s.handlePreflight)
}

// TicketRequest says who a tab is. The caller has authenticated it.
type TicketRequest struct {
	User    string `json:"user"`
	Session string `json:"session"`
	Device  string `json:"device,omitempty"`
	Client  string `json:"client,omitempty"`
	// AuthTime is the session's auth time, with milliseconds if they are known.
	AuthTime *time.Time `json:"auth_time"`
	// SessionExpiresAt, if given, is the session's absolute end, at which its tabs are signed out. Not that of a rolling session, which moves.
	SessionExpiresAt *time.Time `json:"session_expires_at,omitempty"`
	// Origin, if given, is the only origin from which the ticket can be used.
	Origin string `json:"origin,omitempty"`
}

// TicketAnswer carries a ticket, which is a secret for its 60 s.
type TicketAnswer struct {
	Ticket    string    `json:"ticket"`
	ExpiresAt time.Time `json:"expires_at"`
}

func (q TicketRequest) faults(now time.Time) []problem.Fault {
	var faults []problem.Fault
	id := func(field, value string, required bool) {
		if value == "" && !required {
			return
		}
		if fault := events.IDFault(value); fault != "" {
			faults = append(faults, problem.Fault{Field: field, Detail: fault})
		}
	}
	id("user", q.User, true)
	id("session", q.Session, true)
	id("device", q.Device, false)
	id("client", q.Client, false)
	id("origin", q.Origin, false)
	switch {
	case q.AuthTime == nil || q.AuthTime.IsZero():
		faults = append(faults, problem.Fault{Field: "auth_time", Detail: "is required: give when the user signed in, as RFC 3339"})
	case q.AuthTime.After(now.Add(revocation.DefaultLeeway)):
		// No replica would vouch for it, and the tab would come back again and again.
		faults = append(faults, problem.Fault{Field: "auth_time", Detail: "lies in the future: compare the clocks"})
	}
	if q.SessionExpiresAt != nil && !q.SessionExpiresAt.After(now) {
		faults = append(faults, problem.Fault{Field: "session_expires_at", Detail: "has passed: such a session gets no ticket; leave it out if the session's end moves"})
	}
	return faults
}

func (s *Service) handleTicket(w http.ResponseWriter, r *http.Request) {
	key, _ := access.KeyFrom(r.Context())
	var q TicketRequest
	if p := problem.Read(w, r, &q); p.Status != 0 {
		s.refuse(w, p)
		return
	}
	if faults := q.faults(time.Now()); len(faults) > 0 {
		s.refuse(w, problem.Invalid(faults...))
		return
	}
	t := ticket{
		Tenant: key.Tenant, User: q.User, Session: q.Session, Device: q.Device, Client: q.Client, AuthTime: q.AuthTime.UnixMilli(), Origin: q.Origin,
	}
	if q.SessionExpiresAt != nil {
		t.SessionExpires = q.SessionExpiresAt.UnixMilli()
	}
	text, end := s.tickets.issue(t, time.Now())
	s.cfg.Metrics.Tickets.WithLabelValues("issued").Inc()
	problem.JSON(w, http.StatusOK, TicketAnswer{Ticket: text, ExpiresAt: end.UTC()})
}

func (s *Service) refuse(w http.ResponseWriter, p problem.Problem) {
	s.cfg.Metrics.Refused.WithLabelValues(p.Code).Inc()
	p.Write(w)
}
