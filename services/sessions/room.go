package sessions

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/curfewhq/curfew/internal/problem"
	"github.com/curfewhq/curfew/internal/sessionstore"
)

// errTooMany is returned when a user has as many sessions that go on as one may have.
var errTooMany = errors.New("the user has as many sessions as one may have")

// create stores a session unless it is there already, which it returns then, or errTooMany. It counts before it stores, and nobody keeps others from storing in between: registrations
// at the same time, by this process or by several, may pass the bound by a few.
func (s *Service) create(ctx context.Context, session sessionstore.Session) (stored sessionstore.Session, created bool, err error) {
	full, err := s.full(ctx, session.Tenant, session.User)
	if err != nil {
		return sessionstore.Session{}, false, err
	}
	if full {
		// One that is registered already isn't one more.
		if _, err := s.cfg.Store.Session(ctx, session.Key()); errors.Is(err, sessionstore.ErrUnknown) {
			return sessionstore.Session{}, false, errTooMany
		} else if err != nil {
			return sessionstore.Session{}, false, err
		}
	}
	return s.cfg.Store.Create(ctx, session, s.cfg.Timing.Due(session))
}

// full reports whether a user has as many sessions that go on as one may have. What the replica knows to be over isn't counted, whether that is noted or not.
func (s *Service) full(ctx context.Context, tenant, user string) (bool, error) {
	if s.cfg.MaxPerUser < 0 {
		return false, nil
	}
	list, _, err := s.cfg.Store.Sessions(ctx, tenant, user, sessionstore.MaxListed)
	if errors.Is(err, sessionstore.ErrUnavailable) {
		return false, err
	}
	// An entry that can't be read keeps nobody from signing in.
	live, now := 0, time.Now()
	for _, session := range list {
		if s.view(session, now).State != StateEnded {
			live++
		}
	}
	return live >= s.cfg.MaxPerUser, nil
}

func (s *Service) tooMany() problem.Problem {
	return problem.New(http.StatusTooManyRequests, "too_many_sessions", "The user has "+strconv.Itoa(s.cfg.MaxPerUser)+" sessions that go on, as many as sessions.max_per_user allows: end one with "+
		"DELETE /v1/sessions/{session}, or all of them with 'curfew revoke user USER', or raise the setting.")
}
