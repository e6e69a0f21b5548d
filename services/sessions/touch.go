package sessions

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/gateways"
	"github.com/curfewhq/curfew/internal/problem"
	"github.com/curfewhq/curfew/internal/sessionstore"
	"github.com/curfewhq/curfew/revocation"
)

// TouchRequest says that somebody is there.
type TouchRequest struct {
	// AtMS is when, in milliseconds. Left out, or in the future, it is now.
	AtMS *int64 `json:"at_ms,omitempty"`
}

// TouchesRequest says it of many sessions.
type TouchesRequest struct {
	Touches []SessionTouch `json:"touches"`
}

// SessionTouch is one of them.
type SessionTouch struct {
	Session string `json:"session"`
	AtMS    *int64 `json:"at_ms,omitempty"`
}

// Touch results.
const (
	ResultTouched = "touched"
	ResultEnded   = "ended"
	ResultUnknown = "unknown"
)

// TouchResult is what became of a touch.
type TouchResult struct {
	Session string `json:"session"`
	// Result is touched, ended or unknown.
	Result     string    `json:"result"`
	LastSeenAt time.Time `json:"last_seen_at,omitzero"`
	// IdleExpiresAt is when the session ends unless it is touched again, told of a single touch; left out where sessions don't end so.
	IdleExpiresAt time.Time `json:"idle_expires_at,omitzero"`
}

// TouchResults are in the order of the touches.
type TouchResults struct {
	Results []TouchResult `json:"results"`
}

func (s *Service) handleTouch(w http.ResponseWriter, r *http.Request) {
	key, _ := access.KeyFrom(r.Context())
	body, p := problem.ReadBody(w, r)
	if p.Status != 0 {
		s.refuse(w, p)
		return
	}
	var q TouchRequest
	if len(body) > 0 {
		if err := problem.DecodeStrict(body, &q); err != nil {
			s.refuse(w, problem.Malformed(err))
			return
		}
	}
	id := r.PathValue("session")
	if faults := idFaults(nil, "session", id, true); len(faults) > 0 {
		s.refuse(w, problem.Invalid(faults...))
		return
	}
	results, p := s.touch(r.Context(), key.Tenant, []SessionTouch{{Session: id, AtMS: q.AtMS}})
	switch {
	case p.Status != 0:
		s.refuse(w, p)
	case results[0].Result == ResultUnknown:
		s.refuse(w, unknown())
	case results[0].Result == ResultEnded:
		s.refuse(w, problem.New(http.StatusConflict, "session_ended", "This session is over, and stays so: let the user sign in again."))
	default:
		s.touched(w, r, sessionstore.Key{Tenant: key.Tenant, ID: id}, results[0])
	}
}

// touched answers a touch that was taken, unless the session is over by what the store hasn't been told.
func (s *Service) touched(w http.ResponseWriter, r *http.Request, key sessionstore.Key, result TouchResult) {
	session, err := s.cfg.Store.Session(r.Context(), key)
	if err != nil {
		problem.JSON(w, http.StatusOK, result) // it was taken
		return
	}
	if d := s.check(session); d.State == revocation.Revoked || !time.Now().Before(s.cfg.Timing.absolute(session)) {
		s.refuse(w, problem.New(http.StatusConflict, "session_ended", "This session is over, and stays so: let the user sign in again."))
		return
	}
	result.IdleExpiresAt = s.cfg.Timing.idleExpires(session)
	problem.JSON(w, http.StatusOK, result)
}

func (s *Service) handleTouches(w http.ResponseWriter, r *http.Request) {
	key, _ := access.KeyFrom(r.Context())
	var q TouchesRequest
	if p := problem.Read(w, r, &q); p.Status != 0 {
		s.refuse(w, p)
		return
	}
	if faults := q.faults(); len(faults) > 0 {
		s.refuse(w, problem.Invalid(faults...))
		return
	}
	results, p := s.touch(r.Context(), key.Tenant, q.Touches)
	if p.Status != 0 {
		s.refuse(w, p)
		return
	}
	problem.JSON(w, http.StatusOK, TouchResults{Results: results})
}

func (q TouchesRequest) faults() []problem.Fault {
	if len(q.Touches) == 0 || len(q.Touches) > sessionstore.MaxTouches {
		return []problem.Fault{{Field: "touches", Detail: "must be 1 to 1000 touches: send more in several calls"}}
	}
	var faults []problem.Fault
	for i, touch := range q.Touches {
		faults = idFaults(faults, "touches["+strconv.Itoa(i)+"].session", touch.Session, true)
	}
	return faults
}

// touch takes touches, and tells the tabs of a session that was about to end.
func (s *Service) touch(ctx context.Context, tenant string, asked []SessionTouch) ([]TouchResult, problem.Problem) {
	now := events.Floor(time.Now())
	touches := make([]sessionstore.Touch, len(asked))
	for i, a := range asked {
		touches[i] = sessionstore.Touch{ID: a.Session, At: now}
		if a.AtMS != nil && *a.AtMS < now.UnixMilli() {
			touches[i].At = time.UnixMilli(max(*a.AtMS, 0)).UTC()
		}
	}
	touched, err := s.cfg.Store.Touch(ctx, tenant, touches)
	if err != nil {
		s.cfg.Metrics.Touches.WithLabelValues("unavailable").Add(float64(len(asked)))
		return nil, s.unavailable("The touches may not be noted: send them again.", err)
	}
	results := make([]TouchResult, len(asked))
	for i, t := range touched {
		results[i] = TouchResult{Session: asked[i].Session, Result: ResultUnknown, LastSeenAt: t.SeenAt}
		switch t.Outcome {
		case sessionstore.Over:
			results[i].Result = ResultEnded
		case sessionstore.Taken:
			results[i].Result = ResultTouched
		}
		s.cfg.Metrics.Touches.WithLabelValues(results[i].Result).Inc()
		if t.Renewed {
			s.renewed(ctx, sessionstore.Key{Tenant: tenant, ID: asked[i].Session}, now)
		}
	}
	return results, problem.Problem{}
}

// renewed tells the tabs of a session that it doesn't end any more, unless something ends it soon that no touch calls off.
func (s *Service) renewed(ctx context.Context, key sessionstore.Key, now time.Time) {
	session, err := s.cfg.Store.Session(ctx, key)
	if err != nil {
		return // it will be warned again, or end
	}
	if end, _ := s.cfg.Timing.end(session); end.Add(-s.cfg.Timing.Notice).After(now) {
		s.tell(gateways.Hint{Kind: gateways.HintRenewed, Tenant: key.Tenant, User: session.User, Session: key.ID})
	}
	if err := s.cfg.Store.Postpone(ctx, key, s.cfg.Timing.Due(session)); err != nil {
		s.cfg.Log.WithError(err).Debug("a session that was touched is looked at later than it could be")
	}
}
