package fanout

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/curfewhq/curfew/internal/problem"
	"github.com/curfewhq/curfew/revocation/revocationhttp"
)

// originOf returns a request's Origin, and refuses one that isn't allowed. A program sends none.
func (s *Service) originOf(r *http.Request) (string, problem.Problem) {
	origins := r.Header.Values("Origin")
	switch {
	case len(origins) == 0:
		return "", problem.Problem{}
	case len(origins) > 1 || !slices.Contains(s.cfg.AllowedOrigins, origins[0]):
		return "", problem.New(http.StatusForbidden, "origin_not_allowed", "This Origin isn't allowed to connect: add it to allowed_origins.")
	}
	return origins[0], problem.Problem{}
}

// identify tells who a request is for, by its ticket or by what the browser sends by itself: nobody, without a problem, if it brings neither.
func (s *Service) identify(r *http.Request, ticket, origin string) (*identity, problem.Problem) {
	if ticket != "" {
		return s.identifyByTicket(ticket, origin)
	}
	if s.cfg.Session == nil {
		return nil, problem.Problem{}
	}
	session, err := s.cfg.Session(r)
	switch {
	case errors.Is(err, revocationhttp.ErrNoSession):
		return nil, problem.Problem{}
	case err != nil:
		answer := revocationhttp.AnswerError(err)
		p := problem.New(answer.Status, answer.Code, answer.Detail)
		p.RetryAfter = answer.RetryAfter
		p.Retry = answer.RetryAfter > 0
		return nil, p
	case s.ambient(r, origin):
		// What a browser sends by itself says nothing about who asked it to (cross-site WebSocket hijacking).
		return nil, problem.New(http.StatusForbidden, "origin_missing", "A conn that is opened by a cookie must come from an allowed Origin: browsers send it.")
	}
	return &identity{session: session}, problem.Problem{}
}

// ambient reports whether nothing tells that a page of ours has made the request: no allowed Origin, nor the browser's word that it comes from the gateway's own.
// A bearer token is something that no browser sends by itself, unlike other schemes of Authorization.
func (s *Service) ambient(r *http.Request, origin string) bool {
	site := r.Header.Get("Sec-Fetch-Site")
	program := site == "" && strings.HasPrefix(strings.ToLower(r.Header.Get("Authorization")), "bearer ")
	return origin == "" && site != "same-origin" && !program
}

func (s *Service) identifyByTicket(ticket, origin string) (*identity, problem.Problem) {
	t, err := s.redeem(ticket, origin)
	if p := ticketProblem(err); p.Status != 0 {
		return nil, p
	}
	return t.identity(), problem.Problem{}
}

// ticketProblem is the answer to a ticket that can't be redeemed. It doesn't tell why it is no good.
func ticketProblem(err error) problem.Problem {
	switch {
	case errors.Is(err, errTicketUnknown):
		return problem.Unavailable("tickets_unavailable", "Whether the ticket was used before can't be told now: try again.", time.Second)
	case err != nil:
		return problem.New(http.StatusUnauthorized, "ticket_refused", "The ticket is no good, or no longer: get a new one from the application.")
	}
	return problem.Problem{}
}
