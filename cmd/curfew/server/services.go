package server

import (
	"context"
	"fmt"
	"net"
	"os"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/app"
	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/config"
	"github.com/curfewhq/curfew/internal/ledger"
	"github.com/curfewhq/curfew/internal/replicas"
	"github.com/curfewhq/curfew/internal/telemetry"
	"github.com/curfewhq/curfew/services/fanout"
	"github.com/curfewhq/curfew/services/gate"
	"github.com/curfewhq/curfew/services/publisher"
	"github.com/curfewhq/curfew/services/upkeep"
)

// startServices makes the services of this process's roles and gives them their routes.
func (s *Server) startServices(ctx context.Context) error {
	secret, err := s.startAccess(ctx)
	if err != nil {
		return err
	}
	roles := []struct {
		role  string
		start func(context.Context, access.Secret) error
	}{
		{config.RolePublisher, s.startPublisher}, {config.RoleGate, s.startGate}, {config.RoleFanout, s.startFanout}, {config.RoleSessions, s.startSessions},
		{config.RoleReplay, s.startReplay}, {config.RoleAudit, s.startAudit},
	}
	if err := s.startOrders(); err != nil {
		return err
	}
	if err := s.startPresence(); err != nil {
		return err
	}
	if err := s.startStore(ctx, secret); err != nil {
		return err
	}
	for _, r := range roles {
		if !s.cfg.Has(r.role) {
			continue
		}
		if err := r.start(ctx, secret); err != nil {
			return err
		}
	}
	if s.opts.Routes != nil {
		s.opts.Routes(s.mux)
	}
	return nil
}

// startOrders lets other processes have this one's replica read the ledger anew.
func (s *Server) startOrders() error {
	host, _ := os.Hostname() // for people only
	o, err := replicas.Obey(s.bus.Conn(), fmt.Sprintf("%s:%d", host, os.Getpid()), s.cfg.ReplicaGroup, s.rebuild)
	if err != nil {
		return err
	}
	s.parts.Push("orders to the replica", func(context.Context) error { o.Close(); return nil })
	return nil
}

// startAccess opens the API keys and the deployment's secret.
func (s *Server) startAccess(ctx context.Context) (access.Secret, error) {
	keysKV, err := s.bus.KeyValue(ctx, bus.KeysBucket())
	if err != nil {
		return access.Secret{}, err
	}
	if s.keys, err = access.Open(ctx, keysKV, access.FollowConn(s.bus.Conn())); err != nil {
		return access.Secret{}, err
	}
	s.parts.Push("api keys", func(context.Context) error { return s.keys.Close() })
	if err := s.firstKey(ctx); err != nil {
		return access.Secret{}, err
	}
	secretKV, err := s.bus.KeyValue(ctx, bus.SecretsBucket())
	if err != nil {
		return access.Secret{}, err
	}
	secret, err := access.LoadSecret(ctx, secretKV)
	if err != nil {
		return access.Secret{}, err
	}
	s.hasher = telemetry.NewHasher(secret.Derive("log-hash"))
	s.keys.Routes(s.mux, s.refused)
	return secret, nil
}

func (s *Server) refused(code string) { s.metrics.Refused.WithLabelValues(code).Inc() }

func (s *Server) startPublisher(ctx context.Context, secret access.Secret) error {
	desk, err := s.startReceipts(ctx)
	if err != nil {
		return err
	}
	fleet, err := s.gatewayFleet(ctx)
	if err != nil {
		return err
	}
	approvals, err := s.bus.KeyValue(ctx, bus.ApprovalsBucket())
	if err != nil {
		return err
	}
	stream := s.bus.Publisher()
	s.parts.Push("publisher", func(context.Context) error { return stream.Close() })
	svc, err := publisher.New(publisher.Config{
		Stream: stream, EventAt: s.bus.EventAt, Keys: s.keys, Registry: s.registry(), Receipts: desk,
		Crowd: crowd{store: s.store, missing: s.storeMissing, replica: s.replica, gateways: fleet}, ApprovalThreshold: s.cfg.Approval.ThresholdSessions, Approvals: approvals,
		MessageKey: secret.Derive("message-id"), MaxAge: s.cfg.MaxAge, Leeway: config.Leeway, ClockSkew: s.cfg.ClockSkew,
		Metrics: s.metrics, Hasher: s.hasher, Log: s.log.WithField(telemetry.FieldComponent, "publisher"),
	})
	if err != nil {
		return err
	}
	svc.Routes(s.mux)
	return nil
}

// startUpkeep starts what backs up the deployment and deals with parked messages, for operators.
func (s *Server) startUpkeep() error {
	keeper, err := upkeep.New(upkeep.Config{Bus: s.bus, Keys: s.keys, Metrics: s.metrics, Log: s.log.WithField(telemetry.FieldComponent, "upkeep")})
	if err != nil {
		return err
	}
	keeper.Routes(s.mux)
	return nil
}

func (s *Server) startGate(context.Context, access.Secret) error {
	session, err := s.sessionOf()
	if err != nil {
		return err
	}
	svc, err := gate.New(gate.Config{
		Replica: s.replica, Passes: s.passes, Keys: s.keys, Session: session, DangerouslyFailOpen: s.cfg.DangerouslyFailOpen, EventAt: s.eventAt,
		Reporting: s.replicas.Members,
		AskReplicas: func(ctx context.Context, q replicas.Question) ([]replicas.Answer, error) {
			return replicas.Ask(ctx, s.bus.Conn(), q)
		},
		Ledger: ledger.NewReader(s.bus.JetStream(), bus.LedgerStream), BeatTimeout: 3 * s.cfg.Ledger.BeatInterval,
		Metrics: s.metrics, Log: s.log.WithField(telemetry.FieldComponent, "gate"),
	})
	if err != nil {
		return err
	}
	s.gate = svc
	s.parts.Push("gate", func(context.Context) error { return svc.Close() })
	svc.Routes(s.mux)
	return nil
}

func (s *Server) startFanout(ctx context.Context, secret access.Secret) error {
	used, err := s.bus.KeyValue(ctx, bus.TicketsBucket())
	if err != nil {
		return err
	}
	kept, err := s.bus.Kept(ctx, bus.TicketsBucket())
	if err != nil {
		return err
	}
	s.parts.Go("used tickets", kept.Run)
	var session sessionReader
	if s.cfg.TabsBySession {
		if session, err = s.sessionOf(); err != nil {
			return err
		}
	}
	gateway, fleet, err := s.startGateways(ctx)
	if err != nil {
		return err
	}
	s.fanout, err = fanout.New(fanout.Config{
		Gateway: gateway, Fleet: fleet,
		Replica: s.replica, Keys: s.keys, UsedTickets: used, UsedSince: kept.Since, TicketKey: secret.Derive("ticket"), AllowedOrigins: s.cfg.AllowedOrigins,
		EventAt: s.eventAt, Heartbeat: s.cfg.Heartbeat, MaxConns: s.cfg.MaxConns, MaxConnsPerUser: s.cfg.MaxConnsPerUser, MaxConnAge: s.cfg.MaxConnAge, Session: session,
		MaxHandshakesPerIP: perIP(s.cfg), DrainWindow: s.cfg.DrainWindow, LoginRate: noneIfZero(s.cfg.LoginRate),
		Metrics: s.metrics, Log: s.log.WithField(telemetry.FieldComponent, "fanout"), OnShown: s.opts.OnShown,
	})
	if err != nil {
		return err
	}
	s.parts.Go("gateway", gateway.Run)
	s.parts.Go("fanout", s.fanout.Run)
	s.fanout.Routes(s.mux)
	return nil
}

func (s *Server) eventAt(ctx context.Context, position uint64) (events.Event, error) {
	msg, err := s.bus.EventAt(ctx, position)
	if err != nil {
		return nil, err
	}
	return events.DecodeMessage(msg.Subject, msg.Data)
}

// startAPI binds the API. At Stop conns are drained before it stops: the gateway refuses new ones by then, and streams over HTTP/2, which are the API's, are told when
// to come back like all others.
func (s *Server) startAPI(context.Context) error {
	var front func(net.Listener) net.Listener
	if s.fanout != nil {
		front = s.fanout.Front
	}
	var err error
	s.api, err = app.ListenHTTP(app.HTTPConfig{
		Addr: s.cfg.Listen, CertFile: s.cfg.TLSCertFile, KeyFile: s.cfg.TLSKeyFile, Handler: app.API(s.mux), Log: s.log, Front: front,
	})
	if err != nil {
		return err
	}
	s.parts.Push("api", s.api.Stop)
	if s.fanout != nil {
		s.parts.Push("conns", func(ctx context.Context) error { s.fanout.Drain(ctx); return nil })
	}
	if s.gate != nil {
		s.parts.Push("streams", func(ctx context.Context) error { s.gate.Drain(ctx); return nil })
	}
	s.log.WithField("url", s.URL()).Info("curfew serves")
	return nil
}

// perIP leaves the limit per address to the gateway, but behind a proxy, where all conns share one.
func perIP(cfg config.Config) int {
	if cfg.BehindProxy {
		return -1
	}
	return 0
}
