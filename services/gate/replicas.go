package gate

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/problem"
	"github.com/curfewhq/curfew/internal/replicas"
	"github.com/curfewhq/curfew/revocation"
)

// Replicas are those that have answered in time.
type Replicas struct {
	Replicas []replicas.Answer `json:"replicas"`
}

// replicaStates is what a replica says of itself; *revocation.Replica does.
type replicaStates interface {
	Status() revocation.Status
	Check(revocation.Session) revocation.Decision
}

// AnswerFor returns what a replica answers to replicas.Ask.
func AnswerFor(r replicaStates) func(replicas.Question) replicas.Answer {
	return func(q replicas.Question) replicas.Answer {
		st := r.Status()
		a := replicas.Answer{Position: st.Position, Fresh: st.Fresh, StalenessMS: stalenessMS(st.Staleness)}
		if !q.NamesSession() {
			return a
		}
		v := verdict(r.Check(revocation.Session{Tenant: q.Tenant, ID: q.Session, User: q.User, Device: q.Device, Client: q.Client, AuthTime: q.AuthTime}))
		a.State, a.Scope, a.Reason, a.EventPosition, a.Cause = v.State, v.Scope, v.Reason, v.EventPosition, v.Cause
		return a
	}
}

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

// handleReplicas asks all replicas of the deployment's own processes, and, if the call names a session, what they know of it.
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
		if !key.Has(access.ScopeOperator) {
			nameless(answers)
		}
		problem.JSON(w, http.StatusOK, Replicas{Replicas: answers})
	}
}

// nameless numbers the answers of processes in the order of their names, which tell of machines: those are for operators.
func nameless(answers []replicas.Answer) {
	slices.SortFunc(answers, func(a, b replicas.Answer) int { return strings.Compare(a.Name, b.Name) })
	for i := range answers {
		answers[i].Name = strconv.Itoa(i + 1)
	}
}
