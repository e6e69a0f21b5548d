package sessions

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/sessionstore"
)

// Durable is the consumer of the ledger by which the processes of a deployment share the work of Handle.
const Durable = "sessions"

// Handle notes the ends that an event of the ledger brings, so that people see when and why. Those of a client or a tenant, and of a device without a user, aren't noted
// session by session: who looks at one is told by the replica, and they are noted when they are due. It is a Watermill handler; an event that can't be read is poison.
func (s *Service) Handle(msg *message.Message) error {
	d, ok := bus.DeliveryOf(msg)
	if !ok {
		return bus.Poison(errors.New("it didn't come from the ledger"))
	}
	e, err := events.DecodeMessage(d.Topic, d.Payload)
	var unsupported *events.UnsupportedError
	if errors.As(err, &unsupported) {
		return nil // of a later version; replicas count it
	}
	if err != nil {
		return bus.Poison(err)
	}
	err = s.noteEvent(msg.Context(), e, d.Position)
	switch {
	case err == nil:
		s.cfg.Metrics.Noted.WithLabelValues("ok").Inc()
	case msg.Context().Err() == nil:
		s.cfg.Metrics.Noted.WithLabelValues("failed").Inc()
	}
	if was := s.failing.Swap(err != nil); err != nil && !was && msg.Context().Err() == nil {
		s.cfg.Log.WithError(err).Warn("ends of sessions can't be noted in the registry: they will be when it is back")
	}
	return err
}

// noteEvent notes what an event at a position ends.
func (s *Service) noteEvent(ctx context.Context, e events.Event, position uint64) error {
	end := sessionstore.End{At: e.Meta().Time, Reason: e.Meta().Reason, Event: e.Meta().ID, Position: position}
	switch e := e.(type) {
	case *events.SessionRevoked:
		return s.note(ctx, sessionstore.Key{Tenant: e.Tenant, ID: e.Session}, end)
	case *events.UserLoggedOutEverywhere:
		return s.noteAll(ctx, e.Tenant, e.User, end, func(session sessionstore.Session) bool {
			return !session.AuthTime.After(e.Cutoff) && !slices.Contains(e.Except, session.ID) || slices.Contains(e.KnownSessions, session.ID)
		})
	case *events.DeviceLoggedOut:
		if e.User == "" {
			return nil
		}
		return s.noteAll(ctx, e.Tenant, e.User, end, func(session sessionstore.Session) bool {
			return session.Device == e.Device && !session.AuthTime.After(e.Cutoff)
		})
	}
	return nil
}

// noteAll notes the end of those of a user's sessions that it is the end of.
func (s *Service) noteAll(ctx context.Context, tenant, user string, end sessionstore.End, of func(sessionstore.Session) bool) error {
	list, _, err := s.cfg.Store.Sessions(ctx, tenant, user, sessionstore.MaxListed)
	if err != nil {
		return err
	}
	for _, session := range list {
		if (session.Ended == nil || session.Ended.Pending()) && of(session) {
			if err := s.note(ctx, session.Key(), end); err != nil {
				return err
			}
		}
	}
	return nil
}

// note notes one end. Most sessions that are revoked may not be registered.
func (s *Service) note(ctx context.Context, key sessionstore.Key, end sessionstore.End) error {
	_, _, err := s.cfg.Store.End(ctx, key, end, time.Time{})
	if errors.Is(err, sessionstore.ErrUnknown) {
		return nil
	}
	return err
}
