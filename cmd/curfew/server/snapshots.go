package server

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/curfewhq/curfew/internal/lease"
	"github.com/curfewhq/curfew/internal/telemetry"
	"github.com/curfewhq/curfew/revocation"
)

// snapshotsLease is the key of the lease by which one process is elected to save the deployment's snapshots.
const snapshotsLease = "snapshots"

// startSnapshots lets the process contend for saving the snapshot from which all may start.
func (s *Server) startSnapshots(context.Context) error {
	if !s.cfg.SavesForAll() {
		return nil
	}
	log := s.log.WithField(telemetry.FieldComponent, "snapshots")
	s.parts.Go("snapshots", func(ctx context.Context) error {
		again(ctx, func() time.Duration { return jitter(s.cfg.SnapshotInterval) },
			func(ctx context.Context, works func()) error { return s.contendForSnapshots(ctx, log, works) },
			func(err error) {
				log.WithError(err).Warn("no snapshots can be saved to NATS: it is tried again and again")
			})
		return nil
	})
	return nil
}

// again tries until ctx ends, with pauses in between, and tells of the first failure, and once more only after something has worked meanwhile, which try
// tells by calling works.
func again(ctx context.Context, pause func() time.Duration, try func(ctx context.Context, works func()) error, failed func(error)) {
	for failing := false; ; {
		err := try(ctx, func() { failing = false })
		if ctx.Err() != nil {
			return
		}
		if !failing && err != nil {
			failed(err)
		}
		failing = err != nil
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause()):
		}
	}
}

// contendForSnapshots is contend for saving snapshots.
func (s *Server) contendForSnapshots(ctx context.Context, log logrus.FieldLogger, works func()) error {
	cfg := lease.Config{Key: snapshotsLease, TTL: max(min(s.cfg.SnapshotInterval/2, lease.DefaultTTL), 2*time.Second)}
	return s.contend(ctx, cfg, "who saves snapshots to NATS", log, works, func(ctx context.Context) {
		s.metrics.SnapshotElected.Set(1)
		defer s.metrics.SnapshotElected.Set(0)
		log.Info("this process saves the snapshots to NATS from now on")
		defer log.Info("this process doesn't save snapshots to NATS any more")
		(&saver{Server: s, log: log}).run(ctx)
	})
}

// saver saves snapshots to NATS while its process is the one to.
type saver struct {
	*Server
	log logrus.FieldLogger
	// there is the snapshot that is there as far as is known, and of the incarnation that it was found or saved in.
	there revocation.SnapshotInfo
	of    string
}

// run saves whenever it is time, until ctx ends.
func (s *saver) run(ctx context.Context) {
	for wait := s.due(ctx); ; wait = s.cfg.SnapshotInterval {
		select {
		case <-ctx.Done():
			return
		case <-time.After(jitter(wait)):
		}
		s.save(ctx)
	}
}

// jitter is about d, and some time for zero too: processes that were started together shouldn't act together.
func jitter(d time.Duration) time.Duration { return d*9/10 + rand.N(d/5+time.Second/2) }

// due is when to save next: an interval after the snapshot that is there, whoever saved that.
func (s *saver) due(ctx context.Context) time.Duration {
	stat, err := s.snapshots.Stat(ctx)
	if err != nil {
		return 0
	}
	if s.there, err = readInfo(ctx, s.snapshots); err != nil {
		return 0
	}
	return max(s.cfg.SnapshotInterval-stat.Now.Sub(stat.Stored), 0)
}

// readInfo returns what a snapshot says of itself.
func readInfo(ctx context.Context, place revocation.Snapshots) (revocation.SnapshotInfo, error) {
	in, err := place.Open(ctx)
	if err != nil {
		return revocation.SnapshotInfo{}, err
	}
	defer func() { _ = in.Close() }()
	return revocation.ReadSnapshotInfo(in)
}

// save saves unless the snapshot that is there has every event that the replica has. What it leads to is told by the replica's hooks.
func (s *saver) save(ctx context.Context) {
	now := s.replica.Status()
	same := now.Made == s.there.Stream && now.LastEvent == s.there.Position
	if !now.Synced || now.LastEvent == 0 || same && (s.of == "" || s.of == now.Stream) {
		return
	}
	if err := s.bus.EnsureSnapshots(ctx); err != nil {
		s.log.WithError(err).Warn("no snapshot can be saved to NATS")
		return
	}
	info, err := s.replica.Save(ctx, s.snapshots)
	switch {
	case err == nil:
		s.there, s.of = info, now.Stream
	case errors.Is(err, revocation.ErrNothingApplied):
	default:
		// Somebody else may have saved one.
		if there, err := readInfo(ctx, s.snapshots); err == nil {
			s.there = there
		}
	}
}
