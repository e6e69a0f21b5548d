package sessions

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sync/errgroup"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/gateways"
	"github.com/curfewhq/curfew/internal/sessionstore"
	"github.com/curfewhq/curfew/internal/telemetry"
	"github.com/curfewhq/curfew/revocation"
)

const (
	// sweptAtOnce is how many due sessions are fetched, and sweepers how many of them are dealt with at a time.
	sweptAtOnce = 500
	sweepers    = 16
	// askAgain is after how long a session is looked at again that the replica can't tell about, and failAgain one that couldn't be dealt with.
	askAgain  = 5 * time.Second
	failAgain = 30 * time.Second
	// maxFailures is after how many sessions that couldn't be dealt with the others of a turn are left for the next: it is the store then, or the ledger.
	maxFailures = 32
)

// Sweep ends sessions that are due, and tells the tabs of those that soon will be, until ctx ends. Every process does that, none has to be elected, and each session is
// still ended once: who wants to end one claims it first.
func (s *Service) Sweep(ctx context.Context) error {
	hastened, failing := false, false
	for ctx.Err() == nil {
		var err error
		if !hastened {
			// Sessions may have been stored by processes that had another idle timeout.
			err = s.answered(s.cfg.Store.Hasten(ctx, time.Now().Add(s.longest())))
			hastened = err == nil
		}
		if err == nil {
			err = s.sweep(ctx)
		}
		if err != nil && ctx.Err() == nil {
			s.cfg.Metrics.Sweeps.WithLabelValues("failed").Inc()
			if !failing {
				s.unswept(err)
			}
		} else if err == nil {
			s.cfg.Metrics.Sweeps.WithLabelValues("ok").Inc()
		}
		failing = err != nil
		select {
		case <-ctx.Done():
		case <-time.After(s.cfg.SweepInterval/2 + rand.N(s.cfg.SweepInterval)): // processes that began together shouldn't go on so
		}
	}
	return nil
}

// unswept tells what the sweeper can't do. A human must act where sessions have to end for nobody's being there: services refuse those past their end by themselves.
func (s *Service) unswept(err error) {
	if s.cfg.Timing.IdleTimeout > 0 {
		s.cfg.Log.WithError(err).Error("idle sessions aren't ended: the store, or the ledger, can't be reached")
		return
	}
	s.cfg.Log.WithError(err).Warn("the tabs of sessions past their end aren't told: the store, or the ledger, can't be reached")
}

// answered takes whether the store has answered the sweeper, which asks it about each second, and tells once after each time in which it was away that it is back.
func (s *Service) answered(err error) error {
	switch {
	case err != nil && s.storeAway.IsZero():
		s.storeAway = time.Now()
	case err == nil && !s.storeAway.IsZero():
		s.cfg.Log.WithField(telemetry.FieldDuration, time.Since(s.storeAway).Milliseconds()).Info("the session registry is back")
		s.storeAway = time.Time{}
	}
	return err
}

// longest is how far ahead a session is due at most.
func (s *Service) longest() time.Duration {
	if t := s.cfg.Timing; t.IdleTimeout > 0 {
		return t.IdleTimeout - t.Notice
	}
	return s.cfg.Timing.MaxAge
}

// sweep deals with what is due now. What fails is due again a while later, so that it holds up nothing else.
func (s *Service) sweep(ctx context.Context) error {
	for {
		keys, err := s.cfg.Store.Due(ctx, time.Now(), sweptAtOnce)
		if s.answered(err) != nil {
			return err
		}
		s.cfg.Metrics.Due.Set(float64(len(keys)))
		if err := s.settleAll(ctx, keys); err != nil {
			return err
		}
		if len(keys) < sweptAtOnce {
			return nil
		}
	}
}

// settleAll returns the first failure.
func (s *Service) settleAll(ctx context.Context, keys []sessionstore.Key) error {
	var work errgroup.Group
	work.SetLimit(sweepers)
	var failures atomic.Int32
	for _, key := range keys {
		work.Go(func() error {
			if ctx.Err() != nil || failures.Load() >= maxFailures {
				return nil
			}
			err := s.settle(ctx, key)
			if err != nil {
				failures.Add(1)
				_ = s.cfg.Store.Postpone(ctx, key, time.Now().Add(failAgain/2+rand.N(failAgain)))
			}
			return err
		})
	}
	return work.Wait()
}

// step is what is to be done with a session.
type step uint8

const (
	// wait: look at it again at verdict.at.
	wait step = iota
	// warn its tabs that it ends at verdict.at.
	warn
	// claim it, and publish its end.
	claim
	// publish the end that somebody has claimed it for and not published.
	publish
	// note that it has ended, by the event at verdict.position.
	note
)

// verdict is what is to be done with a session, and why.
type verdict struct {
	step     step
	at       time.Time
	reason   events.Reason
	position uint64
}

// judge says what is to be done with a session. check asks the replica, and is asked only where it matters.
func (t Timing) judge(s sessionstore.Session, now time.Time, check func() revocation.Decision) verdict {
	due := t.Due(s)
	if due.IsZero() || due.After(now) {
		return verdict{step: wait, at: due}
	}
	end, reason := t.end(s)
	d := check()
	switch {
	case d.State == revocation.Undetermined:
		return verdict{step: wait, at: now.Add(askAgain)}
	case d.State == revocation.Revoked && d.Scope != revocation.ScopeMaxAge:
		return verdict{step: note, at: now, reason: d.Reason, position: d.EventPosition}
	case s.Ended != nil:
		return verdict{step: publish, at: now, reason: s.Ended.Reason}
	case !end.After(now):
		return verdict{step: claim, at: now, reason: reason}
	case s.Warned:
		return verdict{step: wait, at: end}
	}
	return verdict{step: warn, at: end, reason: reason}
}

// settle does what is to be done with a session.
func (s *Service) settle(ctx context.Context, key sessionstore.Key) error {
	session, err := s.cfg.Store.Session(ctx, key)
	if errors.Is(err, sessionstore.ErrUnknown) {
		return s.cfg.Store.Postpone(ctx, key, time.Time{})
	}
	if err != nil {
		return err
	}
	now := events.Floor(time.Now())
	v := s.cfg.Timing.judge(session, now, func() revocation.Decision { return s.check(session) })
	switch v.step {
	case warn:
		ok, err := s.cfg.Store.Warn(ctx, key, session.SeenAt)
		if err != nil || !ok {
			return err // it was touched meanwhile, and is looked at again
		}
		s.tell(gateways.Hint{Kind: gateways.HintExpiring, Tenant: key.Tenant, User: session.User, Session: key.ID, Reason: v.reason, At: v.at})
		// Whoever has touched it meanwhile has told its tabs so, maybe before they heard of this.
		if touched, err := s.cfg.Store.Session(ctx, key); err == nil && !touched.Warned && touched.Ended == nil {
			s.tell(gateways.Hint{Kind: gateways.HintRenewed, Tenant: key.Tenant, User: session.User, Session: key.ID})
			return s.cfg.Store.Postpone(ctx, key, s.cfg.Timing.Due(touched))
		}
		return s.cfg.Store.Postpone(ctx, key, v.at)
	case claim:
		return s.end(ctx, session, v)
	case publish:
		return s.publishEnd(ctx, session, false)
	case note:
		_, _, err := s.cfg.Store.End(ctx, key, s.endAt(ctx, v), time.Time{})
		return err
	}
	return s.cfg.Store.Postpone(ctx, key, v.at)
}

// endAt is the end that an event has brought: when it did, if the event can be read.
func (s *Service) endAt(ctx context.Context, v verdict) sessionstore.End {
	end := sessionstore.End{At: v.at, Reason: v.reason, Position: v.position}
	if s.cfg.EventAt == nil || v.position == 0 {
		return end
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	// After the stream was put back another event may lie there, which has another reason, or is later than now.
	if e, err := s.cfg.EventAt(ctx, v.position); err == nil && e.Meta().Reason == v.reason && !e.Meta().Time.After(v.at) {
		end.At, end.Event = e.Meta().Time, e.Meta().ID
	}
	return end
}

// end claims a session and publishes its end. Whoever has claimed it publishes, and a touch that comes in between is told that the session is over:
//
//  1. two processes find the session idle; 2. one claims it, and the other's claim fails; 3. one publishes the event with the id of the claim; 4. it notes
//     where that lies in the ledger.
//
// If it crashes after 2 or 3, another one finds the claim after a while and publishes the same event: the ledger takes an id once within ten minutes, and after that the
// replica knows the session to be over. Who was stopped after 2 for longer than a claim lasts leaves it to others. One that is stopped for more than ten minutes in the middle of 3 stores
// the same event, with the same id, once more, which changes nothing.
func (s *Service) end(ctx context.Context, session sessionstore.Session, v verdict) error {
	id, err := events.NewID()
	if err != nil {
		return err
	}
	claimed, ok, err := s.cfg.Store.End(ctx, session.Key(), sessionstore.End{At: v.at, Reason: v.reason, Event: id}, session.SeenAt)
	if err != nil || !ok {
		return err // it was touched meanwhile, or somebody else is at it
	}
	return s.publishEnd(ctx, claimed, true)
}

// publishEnd publishes the end that a session was claimed for, and notes where it lies. claimed is whether it was us, just now.
func (s *Service) publishEnd(ctx context.Context, session sessionstore.Session, claimed bool) error {
	if mine := session.Ended.At.Add(claimTime); claimed && time.Now().After(mine) {
		return s.cfg.Store.Postpone(ctx, session.Key(), time.Now())
	}
	ack, err := s.publish(ctx, session)
	if err != nil {
		// Not before the claim is over: whether it is stored may not be known.
		_ = s.cfg.Store.Postpone(ctx, session.Key(), time.Now().Add(claimTime))
		return fmt.Errorf("publish the end of a session: %w", err)
	}
	s.cfg.Metrics.Ended.WithLabelValues(string(session.Ended.Reason)).Inc()
	s.cfg.Log.WithFields(logrus.Fields{
		telemetry.FieldEvent: session.Ended.Event, telemetry.FieldTenant: session.Tenant, telemetry.FieldPosition: ack.Position,
		telemetry.FieldSessionHash: s.cfg.Hasher.ID(session.Tenant, "session", session.ID), telemetry.FieldReason: session.Ended.Reason,
	}).Info("session ended")
	end := *session.Ended
	end.Position = ack.Position
	_, _, err = s.cfg.Store.End(ctx, session.Key(), end, time.Time{})
	return err
}
