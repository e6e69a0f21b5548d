package fanout

import (
	"bytes"
	"net/http"
	"strconv"
	"time"

	"github.com/curfewhq/curfew/events/tab"
	"github.com/curfewhq/curfew/internal/gateways"
	"github.com/curfewhq/curfew/internal/problem"
)

// allow lets pages of an allowed origin read the answer.
func allow(h http.Header, origin string) {
	if origin == "" {
		return
	}
	h.Add("Vary", "Origin")
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Allow-Credentials", "true")
}

// handlePreflight answers what a browser asks before it lets a page of another origin call.
func (s *Service) handlePreflight(w http.ResponseWriter, r *http.Request) {
	origin, p := s.originOf(r)
	if p.Status != 0 {
		s.refuse(w, p)
		return
	}
	h := w.Header()
	allow(h, origin)
	h.Set("Access-Control-Allow-Methods", "GET, POST")
	h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, Last-Event-ID")
	h.Set("Access-Control-Max-Age", "600")
	w.WriteHeader(http.StatusNoContent)
}

// ExchangeRequest is what a tab exchanges for the cookie with which its browser opens streams of notices.
type ExchangeRequest struct {
	Ticket string `json:"ticket"`
}

// handleExchange takes a ticket and sets a cookie. An EventSource can send neither a header nor a first frame, and what stands in a URL is logged.
func (s *Service) handleExchange(w http.ResponseWriter, r *http.Request) {
	var q ExchangeRequest
	origin, ok := s.readOfPage(w, r, &q)
	if !ok {
		return
	}
	if origin == "" {
		s.refuse(w, problem.New(http.StatusForbidden, "origin_missing", "A ticket is exchanged by a page, whose cookie is for its origin: send Origin."))
		return
	}
	if q.Ticket == "" {
		s.refuse(w, problem.Invalid(problem.Fault{Field: "ticket", Detail: "is required: get one from the application"}))
		return
	}
	t, err := s.redeem(q.Ticket, origin)
	if p := ticketProblem(err); p.Status != 0 {
		s.refuse(w, p)
		return
	}
	cookie := http.Cookie{
		Name: passCookie(origin), Value: s.tickets.issuePass(t, origin, time.Now()), Path: "/", MaxAge: int(passLifetime.Seconds()), Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode,
	}
	if r.Header.Get("Sec-Fetch-Site") == "cross-site" {
		// An allowed origin of another site gets it for its own pages alone.
		cookie.SameSite, cookie.Partitioned = http.SameSiteNoneMode, true
	}
	http.SetCookie(w, &cookie)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusNoContent)
}

// AckRequest is an acknowledgement of a tab that can't send it on its conn.
type AckRequest struct {
	// Stream is what the ready frame has named the stream by.
	Stream  string      `json:"stream"`
	ID      string      `json:"id"`
	Outcome tab.Outcome `json:"outcome"`
}

// handleAck takes an acknowledgement for a stream. Who knows its name is its tab.
func (s *Service) handleAck(w http.ResponseWriter, r *http.Request) {
	var q AckRequest
	if _, ok := s.readOfPage(w, r, &q); !ok {
		return
	}
	frame, err := tab.EncodeAck(tab.Ack{ID: q.ID, Outcome: q.Outcome})
	if err == nil {
		_, _, err = tab.DecodeAck(frame)
	}
	if err != nil {
		s.refuse(w, problem.Invalid(problem.Fault{Field: "outcome", Detail: "want the id of a notice, and signed_out, already or ignored"}))
		return
	}
	process, number, ok := s.streamOf(q.Stream)
	if !ok {
		s.refuse(w, problem.Invalid(problem.Fault{Field: "stream", Detail: "isn't the name of a stream: send that of the ready frame"}))
		return
	}
	ack := tab.Ack{ID: q.ID, Outcome: q.Outcome}
	taken := process == s.process && s.ackOnStream(number, ack) || process != s.process && s.passOn(q.Stream, ack)
	if !taken {
		s.refuse(w, problem.New(http.StatusNotFound, "notice_unknown", "No open stream of that name waits for the acknowledgement of that notice."))
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusNoContent)
}

// streamOf reads the name of a stream.
func (s *Service) streamOf(name string) (process, number uint64, ok bool) {
	body, err := s.tickets.unseal(name, forName)
	if err != nil {
		return 0, 0, false
	}
	a, b, _ := bytes.Cut(body, []byte("."))
	process, err = strconv.ParseUint(string(a), 36, 64)
	number, err2 := strconv.ParseUint(string(b), 36, 64)
	return process, number, err == nil && err2 == nil
}

// ackOnStream takes an acknowledgement as if it had come on the stream, and reports whether it was waited for.
func (s *Service) ackOnStream(number uint64, a tab.Ack) bool {
	s.mu.Lock()
	c := s.streams[number]
	s.mu.Unlock()
	return c != nil && c.acked(a)
}

// passOn has the gateway that holds a stream take its acknowledgement, if there is one: a name may outlive its gateway.
func (s *Service) passOn(stream string, a tab.Ack) bool {
	if s.cfg.Gateway == nil {
		return false
	}
	err := s.cfg.Gateway.PassOn(gateways.PassedAck{Stream: stream, Notice: a.ID, Outcome: a.Outcome})
	return err == nil
}

// Passed takes an acknowledgement that came to another gateway, if its stream is held here.
func (s *Service) Passed(a gateways.PassedAck) {
	if process, number, ok := s.streamOf(a.Stream); ok && process == s.process {
		s.ackOnStream(number, tab.Ack{ID: a.Notice, Outcome: a.Outcome})
	}
}

// readOfPage reads the body of JSON that a page sends, and lets the page read the answer. It returns the page's origin, or refuses the request and reports false.
func (s *Service) readOfPage(w http.ResponseWriter, r *http.Request, v any) (origin string, ok bool) {
	origin, p := s.originOf(r)
	if p.Status == 0 {
		allow(w.Header(), origin)
		p = problem.Read(w, r, v)
	}
	if p.Status != 0 {
		s.refuse(w, p)
		return "", false
	}
	return origin, true
}
