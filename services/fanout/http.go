package fanout

import (
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gobwas/ws"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/events/tab"
	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/problem"
)

// Routes adds the service's calls to mux.
func (s *Service) Routes(mux *http.ServeMux) {
	refused := func(code string) { s.cfg.Metrics.Refused.WithLabelValues(code).Inc() }
	mux.Handle("POST /v1/tickets", s.cfg.Keys.Guard(access.ScopePublish, refused, http.HandlerFunc(s.handleTicket)))
	mux.HandleFunc("GET /v1/connect", s.handleConnect)
}

// TicketRequest says who a tab is. The caller has authenticated it.
type TicketRequest struct {
	User    string `json:"user"`
	Session string `json:"session"`
	Device  string `json:"device,omitempty"`
	Client  string `json:"client,omitempty"`
	// AuthTime is the session's auth time, with milliseconds if they are known.
	AuthTime *time.Time `json:"auth_time"`
	// Origin, if given, is the only origin from which the ticket can be used.
	Origin string `json:"origin,omitempty"`
}

// TicketAnswer carries a ticket, which is a secret for its 60 s.
type TicketAnswer struct {
	Ticket    string    `json:"ticket"`
	ExpiresAt time.Time `json:"expires_at"`
}

func (q TicketRequest) faults() []problem.Fault {
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
	if q.AuthTime == nil || q.AuthTime.IsZero() {
		faults = append(faults, problem.Fault{Field: "auth_time", Detail: "is required: give when the user signed in, as RFC 3339"})
	}
	return faults
}

func (s *Service) handleTicket(w http.ResponseWriter, r *http.Request) {
	key, _ := access.KeyFrom(r.Context())
	body, p := problem.ReadBody(w, r)
	if p.Status != 0 {
		s.refuse(w, p)
		return
	}
	var q TicketRequest
	if err := problem.DecodeStrict(body, &q); err != nil {
		s.refuse(w, problem.New(http.StatusBadRequest, "malformed_body", "The body can't be read: "+err.Error()+"."))
		return
	}
	if faults := q.faults(); len(faults) > 0 {
		s.refuse(w, problem.Invalid(faults...))
		return
	}
	text, end, err := s.tickets.issue(ticket{
		Tenant: key.Tenant, User: q.User, Session: q.Session, Device: q.Device, Client: q.Client, AuthTime: q.AuthTime.UnixMilli(), Origin: q.Origin,
	}, time.Now())
	if err != nil {
		s.refuse(w, problem.New(http.StatusInternalServerError, "ticket_failed", "The ticket couldn't be made."))
		return
	}
	s.cfg.Metrics.Tickets.WithLabelValues("issued").Inc()
	problem.JSON(w, http.StatusOK, TicketAnswer{Ticket: text, ExpiresAt: end.UTC()})
}

func (s *Service) refuse(w http.ResponseWriter, p problem.Problem) {
	s.cfg.Metrics.Refused.WithLabelValues(p.Code).Inc()
	p.Write(w)
}

// handleConnect upgrades a request. The Origin and the room are looked at before anything is set up.
func (s *Service) handleConnect(w http.ResponseWriter, r *http.Request) {
	origin, p := s.admissible(r)
	if p.Status != 0 {
		s.refuse(w, p)
		return
	}
	if s.open.Add(1) > int64(s.cfg.MaxConns) {
		s.open.Add(-1)
		s.refuse(w, problem.Unavailable("too_many_conns", "This gateway holds as many conns as it may: try again, or add a gateway.", 5*time.Second))
		return
	}
	upgrader := ws.HTTPUpgrader{Timeout: 5 * time.Second, Protocol: func(p string) bool { return p == tab.Subprotocol }}
	nc, rw, _, err := upgrader.Upgrade(r, w)
	if err != nil {
		s.open.Add(-1)
		s.cfg.Metrics.Refused.WithLabelValues("upgrade_failed").Inc()
		if nc != nil {
			_ = nc.Close()
		}
		return
	}
	s.cfg.Metrics.Conns.Inc()
	c := &conn{svc: s, nc: nc, from: nc, origin: origin, opened: time.Now()}
	if n := rw.Reader.Buffered(); n > 0 {
		// A client that didn't wait for the answer: its bytes come first.
		early, _ := rw.Reader.Peek(n)
		c.from = io.MultiReader(strings.NewReader(string(early)), nc)
	}
	_ = nc.SetDeadline(time.Time{})
	bound(nc)
	c.touch()
	// A fresh goroutine has a small stack; the handler's would be kept for as long as the tab is open.
	s.work.Go(func() { c.serve(s.ctx) })
}

// admissible refuses what must not be upgraded.
func (s *Service) admissible(r *http.Request) (origin string, p problem.Problem) {
	origins := r.Header.Values("Origin")
	switch {
	case s.draining.Load():
		return "", problem.Unavailable("draining", "This gateway is going away: connect again, to another.", time.Second)
	case len(origins) > 1, len(origins) == 1 && !slices.Contains(s.cfg.AllowedOrigins, origins[0]):
		return "", problem.New(http.StatusForbidden, "origin_not_allowed", "This Origin isn't allowed to connect: add it to allowed_origins.")
	case !offers(r, tab.Subprotocol):
		return "", problem.New(http.StatusBadRequest, "subprotocol_missing", "Offer the WebSocket subprotocol "+tab.Subprotocol+".")
	}
	if len(origins) == 1 {
		origin = origins[0]
	}
	return origin, problem.Problem{}
}

func offers(r *http.Request, protocol string) bool {
	for _, line := range r.Header.Values("Sec-WebSocket-Protocol") {
		for p := range strings.SplitSeq(line, ",") {
			if strings.TrimSpace(p) == protocol {
				return true
			}
		}
	}
	return false
}

// bound keeps the kernel from hiding a slow conn: with its default buffers one that never reads swallows megabytes before anything is noticed.
func bound(nc net.Conn) {
	if t, ok := nc.(*net.TCPConn); ok {
		_ = t.SetWriteBuffer(16 << 10)
		_ = t.SetReadBuffer(8 << 10)
	}
}
