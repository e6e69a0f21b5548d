package publisher

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/problem"
	"github.com/curfewhq/curfew/internal/receipts"
)

// MaxBatch is how many revocations one call may carry.
const MaxBatch = 1000

// Stored tells a caller what became of one revocation.
type Stored struct {
	ID       string      `json:"id"`
	Scope    events.Kind `json:"scope"`
	Position uint64      `json:"position"`
	// Time is when the publisher accepted it.
	Time      time.Time `json:"time"`
	Cutoff    time.Time `json:"cutoff,omitzero"`
	ExpiresAt time.Time `json:"expires_at,omitzero"`
	// Duplicate is true when an earlier call with the same Idempotency-Key stored it.
	Duplicate bool `json:"duplicate"`
	// Receipt is nil unless the call waits for more than the stream.
	Receipt *receipts.Answer `json:"receipt,omitempty"`
}

func storedOf(e events.Event, position uint64, duplicate bool) Stored {
	c := e.Meta()
	cutoff, _ := events.Cutoff(e)
	return Stored{ID: c.ID, Scope: e.Kind(), Position: position, Time: c.Time, Cutoff: cutoff, ExpiresAt: c.ExpiresAt, Duplicate: duplicate}
}

func (s *Service) handleRevoke(w http.ResponseWriter, r *http.Request) {
	key, _ := access.KeyFrom(r.Context())
	body, p := problem.ReadBody(w, r)
	if p.Status != 0 {
		s.refuse(w, p)
		return
	}
	var batch []Revocation
	array := bytes.HasPrefix(bytes.TrimSpace(body), []byte("["))
	var err error
	if array {
		err = problem.DecodeStrict(body, &batch)
	} else {
		batch = make([]Revocation, 1)
		err = problem.DecodeStrict(body, &batch[0])
	}
	switch {
	case err != nil:
		s.refuse(w, problem.Malformed(err))
		return
	case len(batch) == 0:
		s.refuse(w, problem.New(http.StatusUnprocessableEntity, "invalid_request", "The array is empty: send at least one revocation."))
		return
	case len(batch) > MaxBatch:
		s.refuse(w, problem.New(http.StatusUnprocessableEntity, "invalid_request", fmt.Sprintf("The array holds more than %d revocations: send them in several calls.", MaxBatch)))
		return
	}
	answers, held, p := s.revoke(r, key, batch, array)
	switch {
	case p.Status != 0:
		s.refuse(w, p)
	case held != nil:
		problem.JSON(w, http.StatusAccepted, map[string]any{"approval": held})
	case array:
		problem.JSON(w, http.StatusOK, map[string]any{"revocations": answers, "position": lastPosition(answers)})
	default:
		problem.JSON(w, http.StatusOK, answers[0])
	}
}

func lastPosition(answers []Stored) uint64 {
	var last uint64
	for _, r := range answers {
		last = max(last, r.Position)
	}
	return last
}

// revoke validates all, then publishes all. The problem has status 0 when every revocation is stored, or, where held isn't nil, none is before a second person has approved.
func (s *Service) revoke(r *http.Request, key access.Key, batch []Revocation, array bool) (answers []Stored, held *Approval, p problem.Problem) {
	call, p := s.parseCall(r)
	if p.Status != 0 {
		return nil, nil, p
	}
	evs, p := s.eventsOf(r, key, batch, array)
	if p.Status != 0 {
		return nil, nil, p
	}
	if call.aim != "" && len(batch) > maxWaited {
		return nil, nil, problem.New(http.StatusUnprocessableEntity, "invalid_request", fmt.Sprintf("At most %d revocations of one call can be waited for: send fewer, or wait=stored.", maxWaited))
	}
	held, p = s.hold(r, key, call, batch, evs, array)
	switch {
	case p.Status != 0:
		return nil, nil, p
	case held != nil && held.Stored == nil:
		return nil, held, p
	case held != nil:
		stored := *held.Stored
		stored.Duplicate = true
		answers = []Stored{stored}
	default:
		answers, p = s.store(r, key, call, batch, evs)
	}
	if p.Status == 0 && call.aim != "" {
		s.wait(r.Context(), key, call, answers)
	}
	return answers, nil, p
}

// eventsOf turns what is asked into stamped events. The problem has status 0 when all of it is valid and may be asked by the key.
func (s *Service) eventsOf(r *http.Request, key access.Key, batch []Revocation, array bool) ([]events.Event, problem.Problem) {
	// Before the stamp. A repeated call is held to what was asked, not to what was known by then.
	known := s.withRegistered(r.Context(), key.Tenant, s.withKnown(r.Context(), key.Tenant, batch))
	st := s.stamp(r, key)
	evs := make([]events.Event, len(batch))
	var faults []problem.Fault
	for i, q := range known {
		if q.Scope == events.KindTenant && !key.Has(access.ScopeAdmin) {
			p := problem.New(http.StatusForbidden, "api_key_scope", "Logging out a whole tenant takes an API key with the scope admin.")
			p.Authenticate = `Bearer realm="curfew", error="insufficient_scope", scope="admin"`
			return nil, p
		}
		e, err := st.event(q)
		if err != nil {
			for _, f := range faultsOf(err) {
				fault := problem.Fault{Field: f.Field, Detail: f.Remedy}
				if array {
					fault.Index = &i
				}
				faults = append(faults, fault)
			}
			continue
		}
		evs[i] = e
	}
	if len(faults) > 0 {
		return nil, problem.Invalid(faults...)
	}
	return evs, problem.Problem{}
}

// faultsOf returns the faults of an invalid event; any other error becomes one fault without a field.
func faultsOf(err error) []events.FieldFault {
	var invalid *events.InvalidError
	if errors.As(err, &invalid) {
		return invalid.Faults
	}
	return []events.FieldFault{{Remedy: err.Error()}}
}

func (s *Service) refuse(w http.ResponseWriter, p problem.Problem) {
	s.cfg.Metrics.Refused.WithLabelValues(p.Code).Inc()
	p.Write(w)
}

// call holds the options of one call.
type call struct {
	idempotencyKey string
	// timeout is for all, from began on.
	timeout time.Duration
	began   time.Time
	// aim is what is waited for once all is stored; empty for nothing.
	aim receipts.Aim
}

func (s *Service) parseCall(r *http.Request) (call, problem.Problem) {
	c := call{timeout: 5 * time.Second, began: time.Now()}
	keys := r.Header.Values("Idempotency-Key")
	if len(keys) > 1 || len(keys) == 1 && !validIdempotencyKey(keys[0]) {
		return c, problem.New(http.StatusBadRequest, "invalid_idempotency_key", "Idempotency-Key must be given once, as 1 to 255 visible ASCII characters.")
	}
	if len(keys) == 1 {
		c.idempotencyKey = keys[0]
	}
	var p problem.Problem
	// url.ParseQuery, because URL.Query drops what it can't read.
	query, err := url.ParseQuery(r.URL.RawQuery)
	for name, values := range query {
		if name != "wait" && name != "timeout" || len(values) != 1 {
			err = errors.New("unknown or repeated")
		}
	}
	if err != nil {
		return c, problem.New(http.StatusBadRequest, "unknown_parameter", "This call knows the parameters wait and timeout, each once.")
	}
	if query.Has("wait") {
		if c.aim, p = s.parseAim(query.Get("wait"), true); p.Status != 0 {
			return c, p
		}
	}
	if query.Has("timeout") {
		c.timeout, p = parseTimeout(query.Get("timeout"))
	}
	return c, p
}

func parseTimeout(text string) (time.Duration, problem.Problem) {
	d, err := time.ParseDuration(text)
	if err != nil || d < time.Millisecond || d > 30*time.Second {
		return 0, problem.New(http.StatusUnprocessableEntity, "invalid_timeout", "timeout must be a duration between 1ms and 30s, such as 2s.")
	}
	return d, problem.Problem{}
}

func validIdempotencyKey(k string) bool {
	if len(k) == 0 || len(k) > 255 {
		return false
	}
	for i := range len(k) {
		if k[i] < 0x21 || k[i] > 0x7e {
			return false
		}
	}
	return true
}
