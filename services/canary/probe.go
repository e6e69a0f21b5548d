package canary

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/sirupsen/logrus"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/replicas"
	"github.com/curfewhq/curfew/internal/telemetry"
)

const (
	// lifetime is after how long the session is over by itself.
	lifetime = time.Minute
	// publishTimeout is that of POST /v1/revocations.
	publishTimeout = 5 * time.Second
	// answerTime is how long replicas have to answer a question.
	answerTime = 300 * time.Millisecond
	// minPause and maxPause are between two questions.
	minPause, maxPause = time.Millisecond, 250 * time.Millisecond

	active, revoked = "active", "revoked"
)

// probe looks at one tenant, and reports whether everything was as it should be. What isn't is told here.
func (s *Service) probe(ctx context.Context, tenant string) bool {
	id, err := events.NewID()
	if err != nil {
		s.alarm(ctx, tenant, "not_published", nil, "no id can be made for the canary", err)
		return false
	}
	now := events.Floor(time.Now())
	q := replicas.Question{Tenant: tenant, Session: sessionPrefix + id, User: User, AuthTime: now}
	waiting, ok := s.before(ctx, q)
	if !ok {
		return false
	}
	began := time.Now()
	ack, err := s.publish(ctx, id, q)
	if err != nil {
		s.alarm(ctx, tenant, "not_published", nil, "the canary's revocation couldn't be stored: nobody's can", err)
		return false
	}
	waitingFor, cancel := context.WithDeadline(ctx, began.Add(s.cfg.Patience))
	defer cancel()
	http := make(chan string, 1)
	go func() { http <- s.awaitCheck(waitingFor, q, began) }()
	late := make(chan []string, 1)
	go func() { late <- s.awaitReports(waitingFor, ack.Position, began) }()
	s.await(waitingFor, q, began, waiting)
	return s.judge(ctx, tenant, ack.Position, waiting, <-http, <-late)
}

// said is what a replica has said last.
type said struct{ name, state string }

// told is what each replica has said, by its process: those of a service may all have one name, and none stands for another.
type told map[string]said

// before returns what each replica has answered, all of which call the session active, as the check over HTTP does.
func (s *Service) before(ctx context.Context, q replicas.Question) (waiting told, ok bool) {
	waiting = told{}
	asking, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	err := s.cfg.Ask(asking, q, func(a replicas.Answer) bool {
		waiting[replicas.ProcessOf(a)] = said{a.Name, a.State}
		return true
	})
	switch names := waiting.names(waiting.but(active)); {
	case err != nil:
		s.alarm(ctx, q.Tenant, "nobody", nil, "the replicas can't be asked about the canary", err)
		return nil, false
	case len(waiting) == 0:
		s.alarm(ctx, q.Tenant, "nobody", nil, "no replica answers about the canary", nil)
		return nil, false
	case len(names) > 0:
		s.alarm(ctx, q.Tenant, "not_active", names, "a session that nobody has revoked isn't active: these replicas turn everybody away", nil)
		return nil, false
	case s.cfg.Check == nil:
		return waiting, true
	}
	state, err := s.cfg.Check(ctx, q)
	if err == nil && state == active {
		return waiting, true
	}
	s.alarm(ctx, q.Tenant, "http", nil, "the check of a session that nobody has revoked isn't answered with active, but with: "+state, err)
	return nil, false
}

// but returns the processes that are in another state.
func (t told) but(state string) (processes []string) {
	for process, s := range t {
		if s.state != state {
			processes = append(processes, process)
		}
	}
	return processes
}

// names are those of some processes, sorted.
func (t told) names(processes []string) (names []string) {
	for _, process := range processes {
		names = append(names, t[process].name)
	}
	slices.Sort(names)
	return names
}

func (s *Service) publish(ctx context.Context, id string, q replicas.Question) (bus.Ack, error) {
	e := &events.SessionRevoked{
		Common: events.Common{
			ID: id, Time: q.AuthTime, Source: "curfew/canary", Tenant: q.Tenant, Reason: events.ReasonPolicy,
			Initiator: events.Initiator{Type: events.InitiatorSystem, ID: Initiator}, ExpiresAt: q.AuthTime.Add(lifetime + s.cfg.Leeway),
		},
		Session: q.Session, User: q.User, AuthTime: q.AuthTime, SessionExpiresAt: q.AuthTime.Add(lifetime),
	}
	data, err := events.Encode(e)
	if err != nil {
		return bus.Ack{}, err
	}
	msg := message.NewMessage(id, data)
	msg.Metadata.Set("Content-Type", events.ContentType)
	// Ids of the publisher's messages begin with that of an API key, which this is not.
	msg.Metadata.Set(bus.MsgIDKey, "canary/"+id)
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	return s.cfg.Publisher.PublishAck(ctx, events.TopicOf(e).String(), msg)
}

// unheard is the state of a replica that hasn't answered since.
const unheard = ""

// await asks until each replica refuses the session, or ctx ends. It puts into waiting what each has said last.
func (s *Service) await(ctx context.Context, q replicas.Question, began time.Time, waiting told) {
	for process, before := range waiting {
		waiting[process] = said{before.name, unheard}
	}
	for pause := minPause; ; pause = min(2*pause, maxPause) {
		left := waiting.but(revoked)
		if len(left) == 0 {
			return
		}
		asking, cancel := context.WithTimeout(ctx, answerTime)
		// What can't be asked is asked again; in the end nobody has answered.
		_ = s.cfg.Ask(asking, q, func(a replicas.Answer) bool {
			process := replicas.ProcessOf(a)
			before, known := waiting[process]
			if !known || before.state == revoked {
				return true
			}
			if waiting[process] = (said{a.Name, a.State}); a.State == revoked {
				s.cfg.Metrics.Refused.WithLabelValues("replica").Observe(time.Since(began).Seconds())
			}
			i := slices.Index(left, process)
			if i >= 0 {
				left = slices.Delete(left, i, i+1)
			}
			return len(left) > 0
		})
		cancel()
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// awaitCheck asks over HTTP until the session is refused, or ctx ends. It returns the last answer, or revoked where nobody asks.
func (s *Service) awaitCheck(ctx context.Context, q replicas.Question, began time.Time) (last string) {
	if s.cfg.Check == nil {
		return revoked
	}
	for pause := minPause; ; pause = min(2*pause, maxPause) {
		state, err := s.cfg.Check(ctx, q)
		switch {
		case err == nil && state == revoked:
			s.cfg.Metrics.Refused.WithLabelValues("http").Observe(time.Since(began).Seconds())
			return revoked
		case err == nil:
			last = state
		case last == "":
			last = "no answer: " + err.Error()
		}
		select {
		case <-ctx.Done():
			return last
		case <-time.After(pause):
		}
	}
}

// maxNamed bounds how many replicas one line of the log names.
const maxNamed = 20

// awaitReports waits until all that report have applied the event, or ctx ends. It returns the names of those that haven't though they hold a lease.
func (s *Service) awaitReports(ctx context.Context, position uint64, began time.Time) (late []string) {
	if s.cfg.Applied == nil {
		return nil
	}
	progress, err := s.cfg.Applied(ctx, position, began)
	if err != nil {
		return nil // too many wait: what the questions have shown counts
	}
	for _, a := range progress.Applied {
		s.cfg.Metrics.Refused.WithLabelValues("report").Observe(max(a.After.Seconds(), 0))
	}
	for _, m := range progress.Late[:min(len(progress.Late), maxNamed)] {
		late = append(late, m.Group+"/"+m.Name)
	}
	return late
}

// judge tells what came of a probe.
func (s *Service) judge(ctx context.Context, tenant string, position uint64, waiting told, http string, notApplied []string) bool {
	byState := map[string][]string{}
	for _, process := range waiting.but(revoked) {
		byState[waiting[process].state] = append(byState[waiting[process].state], process)
	}
	good := true
	fail := func(result string, names []string, text string) {
		good = false
		s.alarmAt(ctx, position, tenant, result, names, text, nil)
	}
	for state, processes := range byState {
		names := waiting.names(processes)
		switch state {
		case unheard:
			s.cfg.Metrics.Probes.WithLabelValues("silent").Inc()
			s.cfg.Log.WithFields(logrus.Fields{telemetry.FieldTenant: tenant, telemetry.FieldPosition: position, "replicas": names}).Warn("replicas that had answered before don't any more: they have ended, or are cut off")
		case active:
			fail("late", names, "THE CANARY ISN'T REFUSED: revocations don't reach these replicas, which call everybody active")
		default:
			fail("undetermined", names, "revocations don't reach these replicas; they know, and turn everybody away")
		}
	}
	if len(byState[unheard]) == len(waiting) {
		fail("nobody", waiting.names(byState[unheard]), "no replica answers about the canary any more")
	}
	if len(notApplied) > 0 {
		fail("not_applied", notApplied, "replicas that hold a lease, and may call everybody active, haven't reported that they have applied the canary's revocation; one that has ended without a word is named until its lease is over")
	}
	if http != revoked {
		fail("http", nil, "the check of a session that was revoked isn't answered with revoked, but with: "+http)
	}
	if good {
		s.cfg.Metrics.Probes.WithLabelValues("ok").Inc()
	}
	return good
}

// alarm tells what a human must look at before there is an event. The end of ctx is no reason for one.
func (s *Service) alarm(ctx context.Context, tenant, result string, names []string, text string, err error) {
	s.alarmAt(ctx, 0, tenant, result, names, text, err)
}

// alarmAt is alarm once there is an event.
func (s *Service) alarmAt(ctx context.Context, position uint64, tenant, result string, names []string, text string, err error) {
	if ctx.Err() != nil {
		return
	}
	s.cfg.Metrics.Probes.WithLabelValues(result).Inc()
	log := s.cfg.Log.WithFields(logrus.Fields{telemetry.FieldTenant: tenant, "result": result, telemetry.FieldHint: "curfew doctor"})
	if position > 0 {
		log = log.WithField(telemetry.FieldPosition, position).WithField(telemetry.FieldHint, fmt.Sprintf("'curfew doctor' at each process that is named; 'curfew events get %d' is the event that must have arrived", position))
	}
	if len(names) > 0 {
		log = log.WithField("replicas", names)
	}
	if err != nil {
		log = log.WithError(err)
	}
	log.Error(text)
}
