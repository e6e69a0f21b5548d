package gate

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/problem"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationhttp"
)

// MaxBatch is how many sessions one call may ask for.
const MaxBatch = 1000

// Verdict answers one question.
type Verdict struct {
	// Tenant is the key's: whoever asks can hold it against the one that it means, for the same ids are other people elsewhere.
	Tenant string `json:"tenant"`
	State  string `json:"state"`
	// Scope and Reason are there for a revoked session.
	Scope  string `json:"scope,omitempty"`
	Reason string `json:"reason,omitempty"`
	// EventPosition is where the event that ends a revoked session lies in the stream. It is missing for max age, and where the replica
	// doesn't know it.
	EventPosition uint64 `json:"event_position,omitempty"`
	// Event is that event's id and At its time. Both are missing where it couldn't be read in a moment. For max age At is when it was reached, and missing where the session is over
	// because the ledger may have lost what ended it.
	Event string     `json:"event,omitempty"`
	At    *time.Time `json:"at,omitempty"`
	// Cause says why a session is undetermined.
	Cause    string `json:"cause,omitempty"`
	Position uint64 `json:"position"`
	// StalenessMS is the age of the replica's proof, in milliseconds; -1 when there is none.
	StalenessMS float64 `json:"staleness_ms"`
}

func verdict(d revocation.Decision) Verdict {
	v := Verdict{
		State: d.State.String(), Scope: string(d.Scope), Reason: string(d.Reason), EventPosition: d.EventPosition, Position: d.Position,
		StalenessMS: stalenessMS(d.Staleness),
	}
	if d.Cause != nil {
		v.Cause = d.Cause.Error()
	}
	return v
}

// stalenessMS is a proof's age in milliseconds; -1 where there is none.
func stalenessMS(age time.Duration) float64 {
	if age < 0 {
		// It is a nanosecond, which as milliseconds would read as the best proof there can be.
		return -1
	}
	return float64(age.Microseconds()) / 1000
}

// answered is a session of the key's tenant and the answer about it.
type answered struct {
	session  revocation.Session
	decision revocation.Decision
}

// ask checks one session of the key's tenant, for a call on a route.
func (s *Service) ask(tenant string, q Question, route string) answered {
	session := q.session(tenant)
	d := s.cfg.Replica.CheckWith(session, q.require())
	s.count(d)
	if d.State == revocation.Active {
		s.cfg.Passes.Record(session, route, d)
	}
	return answered{session, d}
}

// verdicts tells the answers, with the events behind them as far as they can be read in a moment.
func (s *Service) verdicts(ctx context.Context, all []answered) []Verdict {
	var positions []uint64
	for _, a := range all {
		if p := a.decision.EventPosition; p > 0 {
			positions = append(positions, p)
		}
	}
	read := s.recall.read(ctx, positions)
	told := make([]Verdict, len(all))
	for i, a := range all {
		told[i] = verdict(a.decision)
		told[i].Tenant = a.session.Tenant
		if a.decision.Scope == revocation.ScopeMaxAge {
			// A session that is over because the ledger may have lost what ended it hasn't reached max age yet, and no date ahead is told for what is over.
			if at := a.session.AuthTime.Add(s.cfg.Replica.MaxAge()).UTC(); !at.After(time.Now()) {
				told[i].At = &at
			}
			continue
		}
		e, ok := read[a.decision.EventPosition]
		switch {
		case !ok:
		case a.decision.NamedBy(e, a.session):
			at := e.Meta().Time.UTC()
			told[i].Event, told[i].At = e.Meta().ID, &at
		default:
			// The stream was put back, and another event lies there, which may be another person's: nothing of it is told.
			s.recall.forget(a.decision.EventPosition)
		}
	}
	return told
}

func (s *Service) handleCheck(w http.ResponseWriter, r *http.Request) {
	position, _, err := revocationhttp.PositionOf(r)
	if err != nil {
		s.refuse(w, answer(err))
		return
	}
	body, p := problem.ReadBody(w, r)
	if p.Status != 0 {
		s.refuse(w, p)
		return
	}
	array := bytes.HasPrefix(bytes.TrimSpace(body), []byte("["))
	batch := make([]Question, 1)
	if array {
		err = problem.DecodeStrict(body, &batch)
	} else {
		err = problem.DecodeStrict(body, &batch[0])
	}
	if err != nil {
		s.refuse(w, problem.Malformed(err))
		return
	}
	if len(batch) > MaxBatch {
		s.refuse(w, problem.New(http.StatusUnprocessableEntity, "invalid_request", fmt.Sprintf("The array holds more than %d sessions: ask in several calls.", MaxBatch)))
		return
	}
	var faults []problem.Fault
	latest := position
	for i := range batch {
		for _, f := range batch[i].faults() {
			if array {
				f.Index = &i
			}
			faults = append(faults, f)
		}
		batch[i].Position = max(batch[i].Position, position)
		latest = max(latest, batch[i].Position)
	}
	if len(faults) > 0 {
		s.refuse(w, problem.Invalid(faults...))
		return
	}
	s.catchUp(r, latest)
	all := make([]answered, len(batch))
	key, _ := access.KeyFrom(r.Context())
	for i, q := range batch {
		all[i] = s.ask(key.Tenant, q, r.Pattern)
	}
	verdicts := s.verdicts(r.Context(), all)
	if array {
		problem.JSON(w, http.StatusOK, map[string]any{"decisions": verdicts})
		return
	}
	problem.JSON(w, http.StatusOK, verdicts[0])
}

// catchUp waits for the replica to get to a position, for a moment, or not at all if too many do; Check says whether it has.
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
	position, _, err := revocationhttp.PositionOf(r)
	if err != nil {
		s.refuse(w, answer(err))
		return
	}
	q, err := questionOf(r)
	if err != nil {
		s.refuse(w, problem.New(http.StatusBadRequest, "invalid_parameter", "Nothing was checked: "+err.Error()+"."))
		return
	}
	if faults := q.faults(); len(faults) > 0 {
		s.refuse(w, problem.Invalid(faults...))
		return
	}
	q.Position = max(q.Position, position)
	s.catchUp(r, q.Position)
	key, _ := access.KeyFrom(r.Context())
	a := s.ask(key.Tenant, q, r.Pattern)
	d, v := a.decision, s.verdicts(r.Context(), []answered{a})[0]
	if d.State == revocation.Active {
		problem.JSON(w, http.StatusOK, v)
		return
	}
	p := fromSDK(revocationhttp.Answer(d))
	if d.State == revocation.Undetermined && !p.Retry {
		// The SDK's 401 is right for a token that lacks a claim. Here the question lacks it, which says nothing of the session, and a
		// caller that looks at the status alone would sign people out.
		p = problem.New(http.StatusUnprocessableEntity, p.Code, "The question lacks what its answer depends on, or has it wrong; cause says what.")
		s.cfg.Metrics.Refused.WithLabelValues(p.Code).Inc()
	}
	p.WriteBody(w, refusal{p, v})
}

// refusal holds the members of a problem and of a verdict side by side.
type refusal struct {
	problem.Problem
	Verdict
}

// answer is the SDK's answer to an error.
func answer(err error) problem.Problem { return fromSDK(revocationhttp.AnswerError(err)) }

func fromSDK(p revocationhttp.Problem) problem.Problem {
	return problem.Problem{
		Type: p.Type, Title: p.Title, Status: p.Status, Detail: p.Detail, Code: p.Code, Retry: p.Retry, RetryAfter: p.RetryAfter,
		Authenticate: p.Authenticate,
	}
}
