package server

import (
	"context"
	"encoding/hex"
	"time"

	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/ledger"
	"github.com/curfewhq/curfew/internal/redisstore"
	"github.com/curfewhq/curfew/internal/replicas"
	"github.com/curfewhq/curfew/internal/telemetry"
	"github.com/curfewhq/curfew/revocation/revocationnats"
	"github.com/curfewhq/curfew/services/replay"
	"github.com/curfewhq/curfew/services/replay/target"
)

// startReplay starts what reads the ledger for operators, and lets the process contend for running replays.
func (s *Server) startReplay(ctx context.Context, secret access.Secret) error {
	log := s.log.WithField(telemetry.FieldComponent, "replay")
	tasks, err := s.bus.KeyValue(ctx, bus.ReplaysBucket())
	if err != nil {
		return err
	}
	leases, err := s.bus.KeyValue(ctx, bus.LeasesBucket())
	if err != nil {
		return err
	}
	fleet, err := s.gatewayFleet(ctx)
	if err != nil {
		return err
	}
	networks, err := s.cfg.Replay.Prefixes()
	if err != nil {
		return err
	}
	streams, err := s.openStreams()
	if err != nil {
		return err
	}
	stream := s.bus.Publisher()
	s.parts.Push("imports", func(context.Context) error { return stream.Close() })
	cfg := replay.Config{
		Store: stream, ImportKey: secret.Derive("import"),
		Ledger: ledger.NewReader(s.bus.JetStream(), bus.LedgerStream), Limits: s.replica, Keys: s.keys, Metrics: s.metrics, Log: log,
		Tasks: tasks, Leases: leases, Conn: s.bus.Conn(), Fleet: fleet,
		Targets: target.NewSet(target.Config{
			JetStream: s.bus.JetStream(), Fleet: fleet, WebhookKey: secret.Derive("replay-webhooks"), WebhookNetworks: networks, Folder: s.cfg.ReplayFolder(),
			Redis: streams, Group: s.cfg.ReplicaGroup,
		}),
		AskReplicas: func(ctx context.Context, q replicas.Question) ([]replicas.Answer, error) {
			return replicas.Ask(ctx, s.bus.Conn(), q)
		},
		Present: s.present,
	}
	if s.store != nil {
		cfg.Sessions = s.store.Sessions
	}
	svc, err := replay.New(cfg)
	if err != nil {
		return err
	}
	svc.Routes(s.mux)
	s.parts.Go("replays", func(ctx context.Context) error {
		again(ctx, func() time.Duration { return jitter(2 * time.Second) },
			func(ctx context.Context, _ func()) error { return svc.Run(ctx) },
			func(err error) { log.WithError(err).Warn("no replays can be run: it is tried again and again") })
		return nil
	})
	return s.startUpkeep()
}

// openStreams returns nil where there is no Redis.
func (s *Server) openStreams() (*redisstore.Streams, error) {
	url, err := s.cfg.Redis.Location()
	if err != nil || url == "" {
		return nil, err
	}
	streams, err := redisstore.OpenStreams(url)
	if err != nil {
		return nil, err
	}
	s.parts.Push("streams of replays", func(context.Context) error { return streams.Close() })
	return streams, nil
}

// rebuild has the process's replica read the ledger anew, on order.
func (s *Server) rebuild(ctx context.Context) (replicas.Rebuild, error) {
	log := s.log.WithField(telemetry.FieldComponent, "replica")
	log.Info("the replica reads the ledger anew, on order")
	done, err := s.replica.Rebuild(ctx, s.feed())
	if err != nil {
		log.WithError(err).Warn("the replica holds what it held: the ledger couldn't be read anew")
		return replicas.Rebuild{}, err
	}
	log = log.WithField(telemetry.FieldPosition, done.Position)
	if done.Same {
		log.Info("the replica has read the ledger anew, and held the same before")
	} else {
		log.Warn("the replica has read the ledger anew, and held something else before: what it lacked it has now, and what the ledger has lost it keeps")
	}
	return replicas.Rebuild{Same: done.Same, Digest: hex.EncodeToString(done.Digest[:]), Position: done.Position}, nil
}

// feed returns a feed of the ledger for one replica.
func (s *Server) feed() *revocationnats.Feed {
	return revocationnats.NewFeed(s.bus.JetStream(), revocationnats.Config{Stream: bus.LedgerStream, BeatTimeout: 3 * s.cfg.Ledger.BeatInterval})
}
