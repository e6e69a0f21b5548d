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
)

// Replicas are those that there are.
type Replicas struct {
	// Replicas have answered in time.
	Replicas []replicas.Answer `json:"replicas"`
	// Silent have reported in the last hour and haven't answered.
	Silent []SilentReplica `json:"silent"`
}

// SilentReplica is what a replica's last report told.
type SilentReplica struct {
	Name     string    `json:"name"`
	Group    string    `json:"group,omitempty"`
	Version  string    `json:"version,omitempty"`
	Position uint64    `json:"position"`
	Heard    time.Time `json:"heard_at"`
	// LeaseEnded is whether it fails closed, and FailsClosedSince from when on it does so if nothing more is heard.
	LeaseEnded       bool      `json:"lease_ended"`
	FailsClosedSince time.Time `json:"fails_closed_since"`
}

// silent returns those of members that aren't among the answers.
func silent(members []replicas.Member, answers []replicas.Answer) []SilentReplica {
	answered := map[string]bool{}
	for _, a := range answers {
		answered[replicas.ProcessOf(a)] = true
	}
	out := []SilentReplica{}
	for _, m := range replicas.Silent(members, answered) {
		out = append(out, SilentReplica{
			Name: m.Name, Group: m.Group, Version: m.Version, Position: m.Position, Heard: m.Heard.UTC(), LeaseEnded: m.Ended, FailsClosedSince: m.FailsClosedSince().UTC(),
		})
	}
	return out
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
		all := Replicas{Replicas: answers, Silent: []SilentReplica{}}
		if s.cfg.Reporting != nil {
			all.Silent = silent(s.cfg.Reporting(), answers)
		}
		for i := range all.Replicas {
			all.Replicas[i].ID = "" // it is for telling processes apart, and no caller's to know
		}
		if !key.Has(access.ScopeOperator) {
			all.nameless()
		}
		problem.JSON(w, http.StatusOK, all)
	}
}

// nameless numbers processes in the order of their names, which tell of machines and of what else the deployment runs: those are for operators.
func (all Replicas) nameless() {
	slices.SortFunc(all.Replicas, func(a, b replicas.Answer) int { return strings.Compare(a.Name, b.Name) })
	for i := range all.Replicas {
		a := &all.Replicas[i]
		a.Name, a.Group, a.Version = strconv.Itoa(i+1), "", ""
	}
	for i := range all.Silent {
		one := &all.Silent[i]
		one.Name, one.Group, one.Version = strconv.Itoa(len(all.Replicas)+i+1), "", ""
	}
}
