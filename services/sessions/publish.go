package sessions

import (
	"context"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/sessionstore"
)

// publishTimeout is shorter than a claim lasts.
const publishTimeout = 5 * time.Second

// reasonUser is what the person reads whose session has ended by itself.
func reasonUser(reason events.Reason) string {
	if reason == events.ReasonIdleTimeout {
		return "You were away for a while."
	}
	return "Your session has reached its longest time."
}

// publish stores the event that a session was claimed for.
func (s *Service) publish(ctx context.Context, session sessionstore.Session) (bus.Ack, error) {
	e := s.event(session)
	data, err := events.Encode(e)
	if err != nil {
		return bus.Ack{}, err
	}
	msg := message.NewMessage(e.ID, data)
	msg.Metadata.Set("Content-Type", events.ContentType)
	// Ids of the publisher's messages begin with that of an API key, which this is not.
	msg.Metadata.Set(bus.MsgIDKey, "sessions/"+e.ID)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), publishTimeout)
	defer cancel()
	return s.cfg.Stream.PublishAck(ctx, events.TopicOf(e).String(), msg)
}

// event is the end of a session. It is remembered for as long as any token of the session may live, whose auth time may be later than the one that was registered: for max age from
// now. So it tells no end of the session's own, which replicas would go by (ADR 0020).
func (s *Service) event(session sessionstore.Session) *events.SessionRevoked {
	end := session.Ended
	return &events.SessionRevoked{
		Common: events.Common{
			ID: end.Event, Time: end.At, Source: "curfew/sessions", Tenant: session.Tenant, Reason: end.Reason, ReasonUser: reasonUser(end.Reason),
			Initiator: events.Initiator{Type: events.InitiatorPolicy}, ExpiresAt: events.Floor(end.At.Add(s.cfg.Timing.MaxAge + s.cfg.Leeway)),
		},
		Session: session.ID, User: session.User, Device: session.Device, Client: session.Client, AuthTime: session.AuthTime,
	}
}
