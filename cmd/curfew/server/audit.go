package server

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/chain"
	"github.com/curfewhq/curfew/internal/lease"
	"github.com/curfewhq/curfew/internal/ledger"
	"github.com/curfewhq/curfew/internal/signing"
	"github.com/curfewhq/curfew/internal/telemetry"
	"github.com/curfewhq/curfew/services/audit"
)

// auditLease is the key of the lease by which one process is elected to make checkpoints.
const auditLease = "audit"

// electTTL is how long after a crash of who was elected another process takes its place, at the earliest, and how long the first process of a deployment waits.
const electTTL = 15 * time.Second

// startAudit lets the process contend for making checkpoints of the ledger, and answer for them.
func (s *Server) startAudit(ctx context.Context, _ access.Secret) error {
	if err := s.bus.EnsureAudit(ctx); err != nil {
		return err
	}
	kv, err := s.bus.KeyValue(ctx, bus.SecretsBucket())
	if err != nil {
		return err
	}
	keys, err := signing.Open(ctx, kv)
	if err != nil {
		return err
	}
	s.openCheckpoint = func(token string) ([]byte, string, error) { return signing.Verify(keys.Public(), chain.Type, token) }
	log := s.log.WithField(telemetry.FieldComponent, "audit")
	metrics := audit.NewMetrics(s.reg, s.refused)
	js := s.bus.JetStream()
	svc, err := audit.New(audit.Config{
		Ledger: ledger.NewReader(js, bus.LedgerStream), Checkpoints: ledger.NewReader(js, bus.AuditStream), Topic: bus.AuditTopic, Stream: s.bus, Signer: keys,
		Keys: s.keys, File: s.cfg.Audit.File, Silence: max(15*time.Second, 5*s.cfg.Ledger.BeatInterval), Metrics: metrics, Log: log,
	})
	if err != nil {
		return err
	}
	svc.Routes(s.mux)
	s.elect(auditLease, "who makes checkpoints of the ledger", log, func(ctx context.Context) {
		metrics.Elected.Set(1)
		defer metrics.Elected.Set(0)
		log.Info("this process makes the checkpoints of the ledger from now on")
		defer log.Info("this process doesn't make checkpoints of the ledger any more")
		again(ctx, func() time.Duration { return 500*time.Millisecond + rand.N(time.Second) }, svc.Run, func(err error) {
			log.WithError(err).Warn("no checkpoint of the ledger can be made: it is tried again and again")
		})
	})
	return nil
}

// elect calls while in one process of all that call elect with this key, as a part of the process, with a context that ends when another may begin. what says what is settled so.
func (s *Server) elect(key, what string, log logrus.FieldLogger, while func(ctx context.Context)) {
	s.parts.Go(key, func(ctx context.Context) error {
		again(ctx, func() time.Duration { return time.Second + rand.N(time.Second) }, func(ctx context.Context, works func()) error {
			return s.contend(ctx, lease.Config{Key: key, TTL: electTTL}, what, log, works, while)
		}, func(err error) {
			log.WithError(err).Warn(what + " can't be settled: it is tried again and again")
		})
		return nil
	})
}

// contend contends for a lease, and calls while as often as it gets it. It returns nil when ctx has ended, or why it can't go on. It calls works once it has got so far as to contend.
func (s *Server) contend(ctx context.Context, cfg lease.Config, what string, log logrus.FieldLogger, works func(), while func(ctx context.Context)) error {
	opening, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	kv, err := s.bus.KeyValue(opening, bus.LeasesBucket())
	if err != nil {
		return err
	}
	works()
	cfg.Holder = lease.ThisProcess()
	cfg.Failed = func(err error) {
		log.WithError(err).Warn(what + " can't be settled: it is tried again and again")
	}
	return lease.Run(ctx, s.bus.Conn(), kv, cfg, func(ctx context.Context) error {
		while(ctx)
		return nil
	})
}
