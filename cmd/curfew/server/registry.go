package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/config"
	"github.com/curfewhq/curfew/internal/gateways"
	"github.com/curfewhq/curfew/internal/redisstore"
	"github.com/curfewhq/curfew/internal/sessionstore"
	"github.com/curfewhq/curfew/internal/sessionstore/sessionkv"
	"github.com/curfewhq/curfew/internal/telemetry"
	"github.com/curfewhq/curfew/services/publisher"
	"github.com/curfewhq/curfew/services/sessions"
)

// timing says when sessions end, as it is configured.
func (s *Server) timing() sessions.Timing {
	return sessions.Timing{MaxAge: s.cfg.MaxAge, IdleTimeout: s.cfg.Sessions.IdleTimeout, Notice: s.cfg.Sessions.Notice, Since: s.idleHolds}
}

// startStore opens the store of sessions where a role needs it. The publisher does without if it has to.
func (s *Server) startStore(ctx context.Context, secret access.Secret) error {
	if !s.cfg.KeepsSessions() {
		return nil
	}
	url, err := s.cfg.Redis.Location()
	if err != nil {
		return err
	}
	store, err := s.openStore(ctx, url, sessionstore.NewHasher(secret.Derive("sessions")))
	if err != nil && (url != "" || s.cfg.Has(config.RoleSessions)) {
		return err
	}
	if err != nil {
		s.log.WithError(err).Warn("sessions are revoked without what the registry knows of them")
		s.storeMissing = err
		return nil
	}
	s.store = store
	s.parts.Push("session store", func(context.Context) error { return store.Close() })
	return nil
}

func (s *Server) openStore(ctx context.Context, url string, hasher sessionstore.Hasher) (sessionstore.Store, error) {
	if s.cfg.Has(config.RoleSessions) {
		// A publisher ends no idle sessions, and may be told of no idle timeout.
		var err error
		if s.idleHolds, err = s.idleSince(ctx); err != nil {
			return nil, err
		}
	}
	if url != "" {
		return redisstore.Open(redisstore.Config{URL: url, Hasher: hasher})
	}
	kv, err := s.bus.KeyValue(ctx, bus.SessionsBucket())
	if err != nil {
		return nil, err
	}
	return sessionkv.Open(ctx, s.bus.Conn(), kv, sessionkv.Config{Hasher: hasher, Due: s.timing().Due})
}

// known is the registry as the publisher asks it.
type known struct{ store sessionstore.Store }

func (k known) Known(ctx context.Context, tenant, user string, upTo time.Time) ([]string, error) {
	return sessionstore.Known(ctx, k.store, tenant, user, upTo)
}

func (k known) Session(ctx context.Context, tenant, id string) (publisher.Session, bool, error) {
	session, err := k.store.Session(ctx, sessionstore.Key{Tenant: tenant, ID: id})
	if errors.Is(err, sessionstore.ErrUnknown) {
		return publisher.Session{}, false, nil
	}
	return publisher.Session{User: session.User, Device: session.Device, Client: session.Client, AuthTime: session.AuthTime}, err == nil, err
}

// missing is a registry whose store couldn't be opened. Asking it is counted each time.
type missing struct{ why error }

func (m missing) Known(context.Context, string, string, time.Time) ([]string, error) {
	return nil, m.why
}

func (m missing) Session(context.Context, string, string) (publisher.Session, bool, error) {
	return publisher.Session{}, false, m.why
}

// registry is the store as the publisher asks it.
func (s *Server) registry() publisher.Registry {
	if s.store == nil {
		return missing{s.storeMissing}
	}
	return known{s.store}
}

func (s *Server) startSessions(ctx context.Context, _ access.Secret) error {
	stream := s.bus.Publisher()
	s.parts.Push("ends of sessions", func(context.Context) error { return stream.Close() })
	log := s.log.WithField(telemetry.FieldComponent, "sessions")
	svc, err := sessions.New(sessions.Config{
		Store: s.store, Replica: s.replica, Stream: stream, Keys: s.keys, Tell: func(h gateways.Hint) error { return gateways.Tell(s.bus.Conn(), h) },
		Timing: s.timing(), EventAt: s.eventAt, Leeway: config.Leeway, ClockSkew: s.cfg.ClockSkew, NetworkBits4: noneIfZero(s.cfg.Sessions.IPv4Bits), NetworkBits6: noneIfZero(s.cfg.Sessions.IPv6Bits),
		MaxPerUser: noneIfZero(s.cfg.Sessions.MaxPerUser), Metrics: sessions.NewMetrics(s.reg, s.refused), Hasher: s.hasher, Log: log,
	})
	if err != nil {
		return err
	}
	if err := s.startNoting(ctx, svc); err != nil {
		return err
	}
	s.parts.Go("idle sessions", svc.Sweep)
	svc.Routes(s.mux)
	return nil
}

// noneIfZero says as the service does that nothing is kept, or bounded.
func noneIfZero(n int) int {
	if n == 0 {
		return -1
	}
	return n
}

// startNoting lets the process take its part in noting which sessions have ended.
func (s *Server) startNoting(ctx context.Context, svc *sessions.Service) error {
	// Never parked: the store may be away for as long as it likes.
	sub, err := s.bus.NewSubscriber(bus.SubscriberConfig{Durable: sessions.Durable, MaxDeliver: -1})
	if err != nil {
		return err
	}
	// The service tells of what fails, once; the router would for each message and attempt.
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: 5 * time.Second}, watermill.NopLogger{})
	if err != nil {
		return err
	}
	router.AddMiddleware(bus.ParkPoison(s.bus.Parker()))
	router.AddConsumerHandler("sessions", events.TopicAll, sub, svc.Handle)
	s.parts.Go("ended sessions", router.Run)
	select {
	case <-router.Running():
		return nil
	case <-ctx.Done():
		return fmt.Errorf("follow the ledger for the session registry: %w", context.Cause(ctx))
	}
}
