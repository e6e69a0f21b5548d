package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationhttp"
)

// sessionReader reads the session that a caller's token or cookie speaks of, with the errors of revocationhttp.
type sessionReader func(*http.Request) (revocation.Session, error)

// sessionOf returns what reads callers' sessions as the configuration says, or nil if it says nothing of them. The first call makes it; it is
// for the steps of a start, one after the other.
func (s *Server) sessionOf() (sessionReader, error) {
	if s.session != nil {
		return s.session, nil
	}
	jwt, jwtErr := newJWT(s.cfg.JWT)
	if jwt != nil {
		s.parts.Push("token keys", func(context.Context) error { return jwt.Close() })
	}
	authjs, authjsErr := newAuthJS(s.cfg.AuthJS)
	if err := errors.Join(jwtErr, authjsErr); err != nil {
		return nil, err
	}
	switch {
	case jwt != nil && authjs != nil:
		s.session = either(jwt.Session, authjs.Session)
	case jwt != nil:
		s.session = jwt.Session
	case authjs != nil:
		s.session = authjs.Session
	}
	return s.session, nil
}

// either takes the session that a request brings in one of two ways. One that brings both is refused unless they are the same session: what
// serves it may go by the other one than what was checked. A bad token isn't covered by a good cookie, nor the other way round.
func either(a, b sessionReader) sessionReader {
	return func(r *http.Request) (revocation.Session, error) {
		ofA, errA := a(r)
		ofB, errB := b(r)
		switch {
		case errors.Is(errA, revocationhttp.ErrNoSession):
			return ofB, errB
		case errA != nil:
			return revocation.Session{}, errA
		case errors.Is(errB, revocationhttp.ErrNoSession):
			return ofA, nil
		case errB != nil:
			return revocation.Session{}, errB
		case !ofA.AuthTime.Equal(ofB.AuthTime):
			return revocation.Session{}, errTwoSessions
		}
		ofB.AuthTime = ofA.AuthTime
		if ofA != ofB {
			return revocation.Session{}, errTwoSessions
		}
		return ofA, nil
	}
}

var errTwoSessions = fmt.Errorf("%w: the token and the cookie of Auth.js hold different sessions", revocationhttp.ErrInvalidToken)
