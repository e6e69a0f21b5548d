package fanout

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/gobwas/ws"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/events/tab"
	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/problem"
	"github.com/curfewhq/curfew/revocation"
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
	text, end, err := s.tickets.issue(t, time.Now())
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
	peer := peerOf(r.RemoteAddr)
	if p := s.enter(peer); p.Status != 0 {
		s.refuse(w, p)
		return
	}
	upgrader := ws.HTTPUpgrader{Timeout: 5 * time.Second, Protocol: func(p string) bool { return p == tab.Subprotocol }}
	nc, rw, _, err := upgrader.Upgrade(r, w)
	if err != nil {
		s.giveUp(peer)
		s.cfg.Metrics.Refused.WithLabelValues("upgrade_failed").Inc()
		if nc != nil {
			_ = nc.Close()
		}
		return
	}
	// A client that didn't wait for the answer: its bytes come first.
	early, _ := rw.Reader.Peek(rw.Reader.Buffered())
	s.run(s.newConn(nc, early, origin, peer))
}

// peerOf returns what conns before hello are counted by: an address of IPv4, or the network of an address of IPv6, of which one host has as many
// as it likes. Other addresses, as those of a Unix socket, count as one.
func peerOf(remote string) netip.Prefix {
	ap, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Prefix{}
	}
	ip, bits := ap.Addr().Unmap().WithZone(""), 32
	if ip.Is6() {
		bits = 64
	}
	return netip.PrefixFrom(ip, bits).Masked()
}

// newConn returns a conn on nc, of which early has been read already.
func (s *Service) newConn(nc net.Conn, early []byte, origin string, peer netip.Prefix) *conn {
	c := &conn{svc: s, nc: nc, from: nc, origin: origin, peer: peer, opened: time.Now()}
	if len(early) > 0 {
		c.from = io.MultiReader(bytes.NewReader(bytes.Clone(early)), nc)
	}
	_ = nc.SetDeadline(time.Time{})
	bound(nc)
	c.touch()
	return c
}

// admissible refuses what must not be upgraded.
func (s *Service) admissible(r *http.Request) (origin string, p problem.Problem) {
	origins := r.Header.Values("Origin")
	switch {
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

// bound keeps the kernel from hiding a slow conn, or one whose peer is gone: with its default buffers one that never reads swallows megabytes before anything is
// noticed, and what was sent is tried again for a quarter of an hour.
func bound(nc net.Conn) {
	if t, ok := socket(nc).(*net.TCPConn); ok {
		_ = t.SetWriteBuffer(16 << 10)
		_ = t.SetReadBuffer(8 << 10)
		giveUpAfter(t, unackedTimeout)
	}
}

// unackedTimeout is for how long what was sent may go without the peer's acknowledgement.
const unackedTimeout = 15 * time.Second

// socket returns what lies beneath TLS, or nc.
func socket(nc net.Conn) net.Conn {
	if t, ok := nc.(*tls.Conn); ok {
		return t.NetConn()
	}
	return nc
}
