package gate

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/problem"
	"github.com/curfewhq/curfew/internal/replicas"
)

// replicasQuestion reads what replicas are asked, and how long they have to answer. A problem of status 0 is none.
func replicasQuestion(tenant, rawQuery string) (q replicas.Question, patience time.Duration, p problem.Problem) {
	q, patience = replicas.Question{Tenant: tenant}, replicas.DefaultPatience
	members := map[string]*string{"session": &q.Session, "user": &q.User, "device": &q.Device, "client": &q.Client}
	values, err := url.ParseQuery(rawQuery)
	for name, v := range values {
		if known := members[name] != nil || name == "auth_time" || name == "timeout"; !known || len(v) != 1 {
			err = errors.New("unknown or repeated")
		}
	}
	if err != nil {
		return q, 0, problem.New(http.StatusBadRequest, "unknown_parameter", "This call knows the parameters session, user, device, client, auth_time and timeout, each once.")
	}
	for name, member := range members {
		*member = values.Get(name)
	}
	if values.Has("auth_time") {
		if q.AuthTime, err = time.Parse(time.RFC3339, values.Get("auth_time")); err != nil {
			return q, 0, problem.New(http.StatusBadRequest, "invalid_parameter", "auth_time must be an RFC 3339 time, such as 2006-01-02T15:04:05.678Z.")
		}
	}
	if values.Has("timeout") {
		if patience, err = time.ParseDuration(values.Get("timeout")); err != nil || patience < 50*time.Millisecond || patience > 5*time.Second {
			return q, 0, problem.New(http.StatusUnprocessableEntity, "invalid_timeout", "timeout must be a duration between 50ms and 5s.")
		}
	}
	return q, patience, problem.Problem{}
}

// handleReplicas asks all replicas that answer, and, if the call names a session, what they know of it.
func (s *Service) handleReplicas(w http.ResponseWriter, r *http.Request) {
	key, _ := access.KeyFrom(r.Context())
	q, patience, p := replicasQuestion(key.Tenant, r.URL.RawQuery)
	if p.Status != 0 {
		s.refuse(w, p)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	answers, err := s.cfg.AskReplicas(ctx, q)
	switch {
	case errors.Is(err, replicas.ErrInvalid):
		s.refuse(w, problem.New(http.StatusUnprocessableEntity, "invalid_request", "session, user, device and client must be 1 to 256 bytes of UTF-8 without control characters."))
	case err != nil && r.Context().Err() == nil:
		s.cfg.Log.WithError(err).Warn("replicas can't be asked")
		s.refuse(w, problem.Unavailable("replicas_unavailable", "The replicas can't be asked: is NATS up? 'curfew doctor' tells.", time.Second))
	case err == nil:
		var members []replicas.Member
		if s.cfg.Reporting != nil {
			members = s.cfg.Reporting()
		}
		all := replicas.SurveyOf(answers, members)
		if !key.Has(access.ScopeOperator) {
			all.Nameless()
		}
		problem.JSON(w, http.StatusOK, all)
	}
}
