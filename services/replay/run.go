package replay

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/time/rate"

	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/lease"
	"github.com/curfewhq/curfew/internal/ledger"
	"github.com/curfewhq/curfew/internal/telemetry"
	"github.com/curfewhq/curfew/services/replay/target"
)

const (
	// checkpointEvery is how often it is written down how far a replay is.
	checkpointEvery = 500 * time.Millisecond
	// goes is how often a replay that makes no progress is tried again, in about a minute and a half.
	goes        = 8
	longestWait = 20 * time.Second
	// lastWords is how long writing down how a replay has ended may take.
	lastWords = 5 * time.Second
	// slow is below how many events a second the ledger is read in parts of some seconds, so that no reading waits for longer.
	slow, slowSeconds, slowMost = 2_000, 5, 1_500
)

var (
	// errTaken: another process runs it, or it is over.
	errTaken      = errors.New("another process has the replay, or it is over")
	errKeyGone    = errors.New("the API key that has asked for it was revoked: resume it with another")
	errOtherMade  = errors.New("the ledger was made anew since it was asked for, and counts its positions anew: ask for another replay")
	errPartIsOver = errors.New("there is more")
)

// running is a replay that this process runs. It is used by one goroutine.
type running struct {
	svc    *Service
	task   stored
	filter *filter
	to     target.Target
	limit  *rate.Limiter
	// sent and unreadable are what was counted up to position, which is ahead of the task's until the next checkpoint.
	position, sent, unreadable uint64
	written                    time.Time
}

// runOne runs a replay, and reports whether it is over as of a revision of its record. It calls begun with the revision at which it has taken it up.
func (s *Service) runOne(ctx context.Context, id string, begun func(revision uint64)) (revision uint64, over bool) {
	r := &running{svc: s}
	var err error
	r.task, err = s.tasks.change(ctx, id, func(t *stored) error {
		if t.State.over() {
			return errTaken
		}
		t.State, t.StartedAt, t.Error, t.Process = StateRunning, time.Now().UTC(), "", lease.ThisProcess()
		t.Runs++
		return nil
	})
	if err != nil {
		return r.task.revision, errors.Is(err, errTaken) || errors.Is(err, errUnknownReplay)
	}
	begun(r.task.revision)
	s.logOf(r.task).Info("a replay runs")
	over = r.end(ctx, r.run(ctx))
	return r.task.revision, over
}

// run sends everything, again from the last checkpoint if need be.
func (r *running) run(ctx context.Context) error {
	for failed, at := 0, r.task.Position; ; {
		err := r.pass(ctx)
		if r.to != nil {
			r.to.Close()
			r.to = nil
		}
		switch {
		case err == nil, errors.Is(err, target.ErrFinal), errors.Is(err, errTaken), errors.Is(err, errKeyGone), errors.Is(err, errOtherMade):
			return err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case r.task.Position > at:
			failed, at = 0, r.task.Position
		}
		if failed++; failed == goes {
			return fmt.Errorf("%w (after %d attempts)", err, goes)
		}
		wait := min(time.Second<<(failed-1), longestWait)
		// What can't be written down for a moment, since NATS is away, is no reason to end.
		if unwritten := r.note(ctx, fmt.Sprintf("tried again in %v: %v", wait, err)); errors.Is(unwritten, errTaken) {
			return unwritten
		} else if unwritten != nil {
			r.svc.logOf(r.task).WithError(unwritten).Warn("what a replay waits for can't be written down")
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(wait*3/4 + rand.N(wait/2)):
		}
	}
}

// allowed returns errKeyGone once the key is revoked. It is asked before anything is sent.
func (r *running) allowed() error {
	if r.svc.cfg.Keys.Revoked(r.task.orderedBy()) {
		return errKeyGone
	}
	return nil
}

// begin finds out whether the replay can be run.
func (r *running) begin(ctx context.Context) error {
	if err := r.allowed(); err != nil {
		return err
	}
	head, err := r.svc.cfg.Ledger.Head(ctx)
	if err != nil {
		return err
	}
	if !head.Made.Equal(r.task.Made) {
		return errOtherMade
	}
	// Whoever asked for it had the right, and its tenant stands in the filter.
	f, _, fault := r.task.Filter.read(access.Key{Tenant: r.task.Filter.Whose(), Scopes: []access.Scope{access.ScopeOperator}})
	if fault != nil {
		return fmt.Errorf("%s %s", fault.Field, fault.Detail)
	}
	f.span.Before = r.task.To + 1
	r.filter = f
	r.limit = rate.NewLimiter(rate.Limit(r.task.Rate), max(r.task.Rate/10, 1))
	return nil
}

// open opens the target where the last checkpoint left it.
func (r *running) open(ctx context.Context) (err error) {
	r.to, err = r.svc.cfg.Targets.Open(ctx, r.task.ID, r.task.Target, r.task.Checkpoint)
	if errors.Is(err, target.ErrBeginAnew) {
		r.svc.logOf(r.task).WithError(err).Warn("a replay begins anew")
		r.task.Position, r.task.Sent, r.task.Unreadable, r.task.Checkpoint = 0, 0, 0, nil
		// Before anything is written: or a process that is killed now leaves a checkpoint of what was there before, and another file that is as long.
		r.position, r.sent, r.unreadable = 0, 0, 0
		if err := r.write(ctx, func(*stored) {}); err != nil {
			return err
		}
		r.to, err = r.svc.cfg.Targets.Open(ctx, r.task.ID, r.task.Target, nil)
	}
	r.position, r.sent, r.unreadable, r.written = r.task.Position, r.task.Sent, r.task.Unreadable, time.Now()
	return err
}

// pass sends everything that is left.
func (r *running) pass(ctx context.Context) error {
	if err := r.begin(ctx); err != nil {
		return err
	}
	if err := r.open(ctx); err != nil {
		return err
	}
	if whole, ok := r.to.(target.Whole); ok {
		var unwritten error
		if err := r.allowed(); err != nil {
			return err
		}
		err := whole.Do(ctx, func(done, of int) {
			r.position, r.task.To = uint64(done), uint64(of)
			unwritten = r.checkpoint(ctx)
		})
		return errors.Join(err, unwritten, r.checkpoint(ctx))
	}
	for {
		err := r.part(ctx)
		if errors.Is(err, errPartIsOver) {
			continue
		}
		if err != nil {
			return err
		}
		r.position = max(r.position, r.task.To)
		if err := r.checkpoint(ctx); err != nil {
			return err
		}
		if err := r.to.Finish(ctx); err != nil {
			return err
		}
		c := target.CheckpointOf(r.to)
		r.task.Checkpoint = &c
		return nil
	}
}

// part sends what is left, or a part of it, and errPartIsOver if it isn't all.
func (r *running) part(ctx context.Context) error {
	span := r.filter.span
	span.After = max(span.After, r.position)
	most, count, more := 0, 0, false
	if r.task.Rate < slow {
		most = min(slowSeconds*r.task.Rate, slowMost)
	}
	err := r.svc.cfg.Ledger.Read(ctx, span, func(entry ledger.Entry) error {
		if most > 0 && count == most {
			more = true
			return ledger.ErrStop
		}
		if entry.Event == nil {
			r.unreadable++
		} else if r.filter.match(entry.Event) {
			count++
			if err := r.send(ctx, entry); err != nil {
				return err
			}
		}
		r.position = entry.Position
		if time.Since(r.written) < checkpointEvery {
			return nil
		}
		return r.checkpoint(ctx)
	}, nil)
	if err == nil && more {
		return errPartIsOver
	}
	return err
}

func (r *running) send(ctx context.Context, entry ledger.Entry) error {
	if err := r.limit.Wait(ctx); err != nil {
		return err
	}
	if err := r.allowed(); err != nil {
		return err
	}
	m, err := target.Mark(entry.Event, r.task.ID, entry.Position, entry.Stored)
	if err != nil {
		return err
	}
	if err := r.to.Send(ctx, m); err != nil {
		return err
	}
	r.sent++
	return nil
}

// checkpoint writes down how far the replay is, once everything up to there has arrived.
func (r *running) checkpoint(ctx context.Context) error {
	if err := r.allowed(); err != nil {
		return err
	}
	if err := r.to.Flush(ctx); err != nil {
		return err
	}
	return r.write(ctx, func(t *stored) { t.Error = "" })
}

// note writes down what a replay waits for.
func (r *running) note(ctx context.Context, why string) error {
	r.position, r.sent, r.unreadable = r.task.Position, r.task.Sent, r.task.Unreadable
	return r.write(ctx, func(t *stored) { t.Error = why })
}

// write stores the counts and what change adds, if the replay is still this process's to run. It keeps the state, but of one that was cancelled and resumed before anybody here heard of it: that runs.
func (r *running) write(ctx context.Context, change func(*stored)) error {
	checkpoint := r.task.Checkpoint
	if r.to != nil {
		c := target.CheckpointOf(r.to)
		checkpoint = &c
	}
	before := r.task.Sent
	task, err := r.svc.tasks.change(ctx, r.task.ID, func(t *stored) error {
		if t.Runs != r.task.Runs {
			return errTaken
		}
		t.To, t.Position, t.Sent, t.Unreadable, t.Checkpoint = r.task.To, r.position, r.sent, r.unreadable, checkpoint
		if checkpoint != nil {
			t.Result = checkpoint.Result
		}
		if t.State == StateWaiting {
			t.State = StateRunning
		}
		change(t)
		return nil
	})
	if err != nil {
		return err
	}
	r.task, r.written = task, time.Now()
	if task.Sent > before {
		r.svc.cfg.Metrics.ReplaysSent.WithLabelValues(string(task.Target.Kind)).Add(float64(task.Sent - before))
	}
	if task.State.over() {
		return errTaken
	}
	return nil
}

// end writes down how it has ended, and reports whether it is over. A process that stops, or isn't the elected one any more, leaves it to the next.
func (r *running) end(ctx context.Context, err error) bool {
	stopped := ctx.Err() != nil && !errors.Is(context.Cause(ctx), errCancelled)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
	defer cancel()
	r.position, r.sent, r.unreadable = r.task.Position, r.task.Sent, r.task.Unreadable
	unwritten := r.write(ctx, func(t *stored) {
		switch {
		case t.State.over():
			return
		case stopped, errors.Is(err, errCancelled): // and resumed since
			t.State = StateWaiting
			return
		case err == nil:
			t.State = StateDone
		default:
			t.State, t.Error = StateFailed, err.Error()
		}
		t.EndedAt = time.Now().UTC()
	})
	if unwritten != nil && !errors.Is(unwritten, errTaken) {
		r.svc.logOf(r.task).WithError(unwritten).Warn("how far a replay came can't be written down: it goes on from before")
		return false
	}
	if !r.task.State.over() {
		return false
	}
	log := r.svc.logOf(r.task).WithField(telemetry.FieldDuration, r.task.EndedAt.Sub(r.task.CreatedAt).Milliseconds())
	r.svc.cfg.Metrics.ReplaysEnded.WithLabelValues(string(r.task.State)).Inc()
	if r.task.State == StateFailed {
		log.WithField(telemetry.FieldHint, r.task.view().Next).WithError(err).Error("a replay has failed")
	} else {
		log.Info("a replay has ended")
	}
	return true
}

// logOf is a line about a replay. It tells nobody's id.
func (s *Service) logOf(t stored) *logrus.Entry {
	return s.cfg.Log.WithFields(logrus.Fields{
		telemetry.FieldReplay: t.ID, telemetry.FieldKey: t.orderedBy(), telemetry.FieldTenant: t.Filter.Whose(), telemetry.FieldTarget: string(t.Target.Kind), telemetry.FieldState: string(t.State),
		telemetry.FieldPosition: t.Position, telemetry.FieldSent: t.Sent,
	})
}
