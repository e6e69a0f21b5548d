package replay

import (
	"errors"
	"net/http"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/problem"
	"github.com/curfewhq/curfew/internal/telemetry"
	"github.com/curfewhq/curfew/services/replay/target"
)

// maxWaiting is how many replays may wait or run.
const maxWaiting = 100

// Replays are some replays, the newest first.
type Replays struct {
	Replays []Replay `json:"replays"`
}

// handleReplay answers with a plan, or stores a replay for a process to take up.
func (s *Service) handleReplay(w http.ResponseWriter, r *http.Request) {
	key, _ := access.KeyFrom(r.Context())
	var q ReplayRequest
	if p := problem.Read(w, r, &q); p.Status != 0 {
		s.answer(w, p)
		return
	}
	f, fault := q.read(key, s.cfg.Targets)
	if fault != nil {
		s.answer(w, problem.Invalid(*fault))
		return
	}
	if q.Execute {
		s.accept(w, r, key, &q, f)
		return
	}
	s.oneOfFew(func(w http.ResponseWriter, r *http.Request) {
		plan, err := s.makePlan(r.Context(), &q, f)
		if err != nil {
			s.unreadable(w, r, err)
			return
		}
		s.tell(w, plan)
	})(w, r)
}

// accept stores a replay. What it covers ends where the ledger ends now.
func (s *Service) accept(w http.ResponseWriter, r *http.Request, key access.Key, q *ReplayRequest, f *filter) {
	head, err := s.cfg.Ledger.Head(r.Context())
	if err != nil {
		s.unreadable(w, r, err)
		return
	}
	list, err := s.tasks.list(r.Context())
	if err != nil {
		s.unkept(w, r, err)
		return
	}
	waiting := 0
	for _, other := range list {
		if other.State.over() {
			continue
		}
		waiting++
		if q.Target.Name != "" && other.Target.Name == q.Target.Name {
			s.answer(w, problem.Invalid(problem.Fault{Field: "target.name", Detail: "is what replay " + other.ID + " writes: give another one"}))
			return
		}
	}
	if waiting >= maxWaiting {
		p := problem.New(http.StatusTooManyRequests, "too_many_replays", "A hundred replays wait or run already: let some come to their end, or cancel some; 'curfew replay status' lists them.")
		p.Retry, p.RetryAfter = true, time.Minute
		s.answer(w, p)
		return
	}
	task, err := newTask(key, q, f, head.First, head.Last, head.Made)
	if err == nil {
		err = s.tasks.create(r.Context(), &task)
	}
	if err != nil {
		s.unkept(w, r, err)
		return
	}
	s.logOf(task).Info("a replay was asked for")
	out := task.view()
	if q.Target.Kind == target.KindWebhook {
		out.WebhookSecret = s.cfg.Targets.Secret(q.Target.URL)
	}
	problem.JSON(w, http.StatusAccepted, out)
}

func newTask(key access.Key, q *ReplayRequest, f *filter, first, last uint64, made time.Time) (stored, error) {
	id, err := events.NewID()
	if err != nil {
		return stored{}, err
	}
	t := stored{Replay: Replay{
		ID: id, State: StateWaiting, Filter: q.Filter, Target: q.Target, Rate: q.Rate, KeyID: key.ID, KeyTenant: key.Tenant, CreatedAt: time.Now().UTC(),
		From: max(f.span.After+1, first), To: last,
	}, Made: made}
	if f.span.Before > 0 {
		t.To = min(t.To, f.span.Before-1)
	}
	if q.Target.Kind == target.KindReplicas {
		t.From, t.To = 0, 0
	}
	return t, nil
}

func (s *Service) handleReplays(w http.ResponseWriter, r *http.Request) {
	limit := 100
	_, fault := problem.ReadQuery(r.URL.RawQuery, func(name, v string) string {
		if name == "limit" {
			return setLimit(&limit, v)
		}
		return "isn't a parameter of this call: it knows limit"
	})
	if fault != nil {
		s.refuse(w, *fault)
		return
	}
	list, err := s.tasks.list(r.Context())
	if err != nil {
		s.unkept(w, r, err)
		return
	}
	out := Replays{Replays: []Replay{}}
	for _, task := range list[:min(limit, len(list))] {
		out.Replays = append(out.Replays, task.view())
	}
	s.tell(w, out)
}

func (s *Service) handleReplayStatus(w http.ResponseWriter, r *http.Request) {
	task, err := s.tasks.get(r.Context(), r.PathValue("id"))
	if err != nil {
		s.unkept(w, r, err)
		return
	}
	s.tell(w, task.view())
}

var errEnded, errGoesOn = errors.New("it has ended"), errors.New("it goes on")

// handleCancel writes down that a replay is cancelled. The process that runs it hears of it, ends it, and writes down how far it came.
func (s *Service) handleCancel(w http.ResponseWriter, r *http.Request) {
	key, _ := access.KeyFrom(r.Context())
	s.changeReplay(w, r, http.StatusOK, func(t *stored) error {
		if t.State == StateDone || t.State == StateFailed {
			return errEnded
		}
		if t.State != StateCancelled {
			t.State, t.CancelledBy, t.EndedAt, t.Error = StateCancelled, key.ID, time.Now().UTC(), ""
		}
		return nil
	})
}

// handleResume has a replay that was cancelled or has failed go on from its checkpoint, on the order of who resumes it.
func (s *Service) handleResume(w http.ResponseWriter, r *http.Request) {
	key, _ := access.KeyFrom(r.Context())
	s.changeReplay(w, r, http.StatusAccepted, func(t *stored) error {
		switch t.State {
		case StateDone:
			return errEnded
		case StateWaiting, StateRunning:
			return errGoesOn
		}
		t.State, t.Error, t.EndedAt, t.ResumedBy = StateWaiting, "", time.Time{}, key.ID
		return nil
	})
}

func (s *Service) changeReplay(w http.ResponseWriter, r *http.Request, status int, fn func(*stored) error) {
	task, err := s.tasks.change(r.Context(), r.PathValue("id"), fn)
	switch {
	case errors.Is(err, errEnded):
		s.answer(w, problem.New(http.StatusConflict, "replay_ended", "The replay is "+string(task.State)+": there is nothing left to do. 'curfew replay status "+task.ID+"' tells how it ended."))
	case errors.Is(err, errGoesOn):
		s.answer(w, problem.New(http.StatusConflict, "replay_goes_on", "The replay is "+string(task.State)+", and goes on: 'curfew replay status "+task.ID+"' tells how far it is."))
	case err != nil:
		s.unkept(w, r, err)
	default:
		s.logOf(task).WithField(telemetry.FieldKey, callerOf(r)).Info("a replay was changed on order")
		beforeLong(w)
		problem.JSON(w, status, task.view())
	}
}

func callerOf(r *http.Request) string {
	key, _ := access.KeyFrom(r.Context())
	return key.ID
}

// unkept answers that a replay's record can't be read or written.
func (s *Service) unkept(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, errUnknownReplay) {
		s.answer(w, problem.New(http.StatusNotFound, "replay_unknown", "There is no such replay, or it is older than 90 days: 'curfew replay status' lists those that there are."))
		return
	}
	if r.Context().Err() == nil {
		s.cfg.Log.WithError(err).Warn("replays can't be read or written")
	}
	s.answer(w, problem.Unavailable("replays_unavailable", "The records of replays can't be read or written: is NATS up? 'curfew doctor' tells.", time.Second))
}
