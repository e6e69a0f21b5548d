package gate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/problem"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationhttp"
)

// MaxBatch is how many sessions one call may ask for.
const MaxBatch = 1000

// Question asks for one session.
type Question struct {
	Session  string     `json:"session,omitempty"`
	User     string     `json:"user,omitempty"`
	Device   string     `json:"device,omitempty"`
	Client   string     `json:"client,omitempty"`
	AuthTime *time.Time `json:"auth_time,omitempty"`
	// MaxStalenessMS narrows the replica's staleness budget, in milliseconds.
	MaxStalenessMS int64 `json:"max_staleness_ms,omitempty"`
	// Position must have been applied; the call waits up to a second for it.
	Position uint64 `json:"position,omitempty"`
	// AllowMissing names what may be missing: session, user, auth_time.
	AllowMissing []string `json:"allow_missing,omitempty"`
}

// Verdict answers one question.
type Verdict struct {
	State string `json:"state"`
	// Scope, Reason, Event and At are there for a revoked session.
	Scope  string     `json:"scope,omitempty"`
	Reason string     `json:"reason,omitempty"`
	Event  string     `json:"event,omitempty"`
	At     *time.Time `json:"at,omitempty"`
	// Cause says why a session is undetermined.
	Cause    string `json:"cause,omitempty"`
	Position uint64 `json:"position"`
	// StalenessMS is the age of the replica's proof, in milliseconds; negative when there is none.
	StalenessMS float64 `json:"staleness_ms"`
}

func verdict(d revocation.Decision) Verdict {
	v := Verdict{
		State: d.State.String(), Scope: string(d.Scope), Reason: string(d.Reason), Event: d.Event, Position: d.Position,
		StalenessMS: float64(d.Staleness.Microseconds()) / 1000,
	}
	if d.State == revocation.Revoked {
		at := d.At.UTC()
		v.At = &at
	}
	if d.Cause != nil {
		v.Cause = d.Cause.Error()
	}
	return v
}

// faults returns what is wrong with a question.
func (q Question) faults() []problem.Fault {
	var faults []problem.Fault
	for _, id := range []struct{ field, value string }{{"session", q.Session}, {"user", q.User}, {"device", q.Device}, {"client", q.Client}} {
		if id.value == "" {
			continue
		}
		if fault := events.IDFault(id.value); fault != "" {
			faults = append(faults, problem.Fault{Field: id.field, Detail: fault})
		}
	}
	if q.MaxStalenessMS < 0 {
		faults = append(faults, problem.Fault{Field: "max_staleness_ms", Detail: "can't be negative: leave it out for the server's budget"})
	}
	for _, m := range q.AllowMissing {
		if m != "session" && m != "user" && m != "auth_time" {
			faults = append(faults, problem.Fault{Field: "allow_missing", Detail: "must hold some of session, user, auth_time"})
		}
	}
	return faults
}

// ask checks one session of the key's tenant.
func (s *Service) ask(tenant string, q Question) revocation.Decision {
	session := revocation.Session{Tenant: tenant, ID: q.Session, User: q.User, Device: q.Device, Client: q.Client}
	if q.AuthTime != nil {
		session.AuthTime = *q.AuthTime
	}
	require := revocation.Require{MaxStaleness: time.Duration(q.MaxStalenessMS) * time.Millisecond, Position: q.Position}
	for _, m := range q.AllowMissing {
		switch m {
		case "session":
			require.DangerouslyAllowMissingSession = true
		case "user":
			require.DangerouslyAllowMissingUser = true
		case "auth_time":
			require.DangerouslyAllowMissingAuthTime = true
		}
	}
	d := s.cfg.Replica.CheckWith(session, require)
	s.count(d)
	return d
}

func (s *Service) handleCheck(w http.ResponseWriter, r *http.Request) {
	body, p := problem.ReadBody(w, r)
	if p.Status != 0 {
		s.refuse(w, p)
		return
	}
	array := bytes.HasPrefix(bytes.TrimSpace(body), []byte("["))
	batch := make([]Question, 1)
	var err error
	if array {
		err = problem.DecodeStrict(body, &batch)
	} else {
		err = problem.DecodeStrict(body, &batch[0])
	}
	if err != nil {
		s.refuse(w, problem.New(http.StatusBadRequest, "malformed_body", "The body can't be read: "+err.Error()+"."))
		return
	}
	if len(batch) > MaxBatch {
		s.refuse(w, problem.New(http.StatusUnprocessableEntity, "invalid_request", fmt.Sprintf("The array holds more than %d sessions: ask in several calls.", MaxBatch)))
		return
	}
	var faults []problem.Fault
	var position uint64
	for i, q := range batch {
		for _, f := range q.faults() {
			if array {
				f.Index = &i
			}
			faults = append(faults, f)
		}
		position = max(position, q.Position)
	}
	if len(faults) > 0 {
		s.refuse(w, problem.Invalid(faults...))
		return
	}
	s.catchUp(r, position)
	verdicts := make([]Verdict, len(batch))
	key, _ := access.KeyFrom(r.Context())
	for i, q := range batch {
		verdicts[i] = verdict(s.ask(key.Tenant, q))
	}
	if array {
		problem.JSON(w, http.StatusOK, map[string]any{"decisions": verdicts})
		return
	}
	problem.JSON(w, http.StatusOK, verdicts[0])
}

// catchUp waits for the replica to get to a position, for a moment; Check says whether it has.
func (s *Service) catchUp(r *http.Request, position uint64) {
	if position == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), time.Second)
	defer cancel()
	_ = s.cfg.Replica.WaitFor(ctx, position)
}

// handleCheckOne tells the state by the status code, for callers that look at nothing else.
func (s *Service) handleCheckOne(w http.ResponseWriter, r *http.Request) {
	q, err := questionOf(r)
	if err != nil {
		s.refuse(w, problem.New(http.StatusBadRequest, "invalid_parameter", "Nothing was checked: "+err.Error()+"."))
		return
	}
	if faults := q.faults(); len(faults) > 0 {
		s.refuse(w, problem.Invalid(faults...))
		return
	}
	key, _ := access.KeyFrom(r.Context())
	s.catchUp(r, q.Position)
	d := s.ask(key.Tenant, q)
	if d.State == revocation.Active {
		problem.JSON(w, http.StatusOK, verdict(d))
		return
	}
	// The problem's members and the verdict's stand side by side in one object.
	p := revocationhttp.Answer(d)
	merged, err := merge(p, verdict(d))
	if err != nil {
		p.Write(w)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	if p.Authenticate != "" {
		h.Set("WWW-Authenticate", p.Authenticate)
	}
	if p.RetryAfter > 0 {
		h.Set("Retry-After", strconv.FormatInt(int64((p.RetryAfter+time.Second-1)/time.Second), 10))
	}
	w.WriteHeader(p.Status)
	_, _ = w.Write(merged)
}

func merge(parts ...any) ([]byte, error) {
	all := map[string]any{}
	for _, part := range parts {
		b, err := json.Marshal(part)
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(b, &all); err != nil {
			return nil, err
		}
	}
	return json.Marshal(all)
}

// questionOf reads the parameters session, user, device, client, auth_time, max_staleness_ms, position and allow_missing. The position may also
// come as the header Curfew-Position.
func questionOf(r *http.Request) (Question, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return Question{}, errors.New("the query can't be read")
	}
	q := Question{Session: query.Get("session"), User: query.Get("user"), Device: query.Get("device"), Client: query.Get("client")}
	if position := r.Header.Get(revocationhttp.PositionHeader); position != "" {
		query.Add("position", position)
	}
	for name, values := range query {
		if len(values) != 1 {
			return q, errors.New("each parameter must be given once")
		}
		v := values[0]
		var err error
		switch name {
		case "session", "user", "device", "client":
		case "auth_time":
			var t time.Time
			t, err = time.Parse(time.RFC3339, v)
			q.AuthTime = &t
		case "max_staleness_ms":
			q.MaxStalenessMS, err = strconv.ParseInt(v, 10, 32)
		case "position":
			q.Position, err = strconv.ParseUint(v, 10, 63)
		case "allow_missing":
			q.AllowMissing = strings.Split(v, ",")
		default:
			return q, errors.New("the query knows the parameters session, user, device, client, auth_time, max_staleness_ms, position and allow_missing")
		}
		if err != nil {
			return q, errors.New(name + " can't be read: auth_time is RFC 3339, max_staleness_ms and position are whole numbers")
		}
	}
	return q, nil
}
