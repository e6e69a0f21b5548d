package server

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/config"
	"github.com/curfewhq/curfew/internal/telemetry"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationnats"
	"github.com/curfewhq/curfew/revocation/revocationprom"
)

// startReplica opens the replica, from a snapshot if there is one.
func (s *Server) startReplica(ctx context.Context) error {
	log := s.log.WithField(telemetry.FieldComponent, "replica")
	metrics := revocationprom.New(s.reg)
	s.snapshots = revocationnats.NewSnapshots(s.bus.JetStream(), revocationnats.SnapshotsConfig{Bucket: bus.SnapshotsBucket, Stream: bus.LedgerStream})
	cfg := revocation.Config{
		Feed:   s.feed(),
		MaxAge: s.cfg.MaxAge, Leeway: config.Leeway, StalenessBudget: s.cfg.StalenessBudget,
		Snapshots: []revocation.Snapshots{s.snapshots}, SnapshotInterval: s.cfg.SnapshotInterval,
		Hooks: metrics.Hooks(replicaHooks(log, s.noteRetention(log))),
	}
	switch path := s.cfg.SnapshotPath(); {
	case path == "":
	case s.cfg.SnapshotInterval == 0:
		cfg.Snapshots = append([]revocation.Snapshots{revocation.SnapshotFile(path)}, cfg.Snapshots...)
	default:
		cfg.SnapshotFile = path
		// With an external NATS nobody may have made the folder.
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			log.WithError(err).Warn("the folder of snapshot_file can't be made, so each start reads the whole ledger: name another one")
		}
	}
	replica, err := revocation.Open(ctx, cfg)
	if err != nil {
		return fmt.Errorf("open the replica: %w", err)
	}
	s.replica = replica
	s.health.replica.Store(replica)
	s.parts.Push("replica", func(context.Context) error { return replica.Close() })
	metrics.Observe(replica)
	if s.cfg.Passes > 0 {
		if s.passes, err = revocation.NewPasses(replica, revocation.PassesConfig{Entries: s.cfg.Passes}); err != nil {
			return err
		}
		s.parts.Push("passes", func(context.Context) error { s.passes.Close(); return nil })
	}
	if s.opts.OnReplica != nil {
		s.opts.OnReplica(replica)
	}
	return nil
}

// noteRetention starts what notes in the ledger's metadata that its retention was changed, and returns what tells it of a change without waiting. If
// only starts looked at it, a retention that is shortened and put right in between would leave no trace of what it has removed. Processes that write
// beats may write there; in others nothing is started.
func (s *Server) noteRetention(log logrus.FieldLogger) (changed func()) {
	if !s.writesBeats.Load() {
		return func() {}
	}
	token := make(chan struct{}, 1)
	s.parts.Go("retention", func(ctx context.Context) error {
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-token:
			}
			if err := s.bus.NoteRetention(ctx); err != nil && ctx.Err() == nil {
				log.WithError(err).Warn("the ledger can't be told its retention")
			}
		}
	})
	return func() {
		select {
		case token <- struct{}{}:
		default:
		}
	}
}

// replicaHooks tell the log, and retentionChanged.
func replicaHooks(log logrus.FieldLogger, retentionChanged func()) revocation.Hooks {
	snapshot := func(place string, info revocation.SnapshotInfo) logrus.FieldLogger {
		return log.WithField("place", place).WithField(telemetry.FieldPosition, info.Position).WithField("entries", info.Entries).WithField("bytes", info.Bytes)
	}
	return revocation.Hooks{
		Skipped: func(position uint64, err error) {
			log.WithField(telemetry.FieldPosition, position).WithError(err).Error("a message of the ledger wasn't applied: it may be a revocation from a newer version")
		},
		FeedLost: func(err error, retryIn time.Duration) {
			if errors.Is(err, revocationnats.ErrRetentionChanged) {
				retentionChanged()
			}
			log.WithError(err).WithField("retry_ms", retryIn.Milliseconds()).Warn("the feed was lost, and is followed again")
		},
		RetentionShort: func(have, need time.Duration) {
			log.WithField("have", have.String()).WithField("need", need.String()).
				Error("the ledger forgets revocations before their sessions are over: lengthen its retention; for processes that start then, " +
					"sessions that began before what is still there must sign in again")
		},
		Synced: func(position uint64) { log.WithField(telemetry.FieldPosition, position).Info("replica is synced") },
		SnapshotLoaded: func(from string, info revocation.SnapshotInfo) {
			snapshot(from, info).Info("the replica begins from a snapshot")
		},
		SnapshotRefused: func(from string, err error) {
			log.WithField("place", from).WithError(err).Warn("a snapshot wasn't used: the replica begins from another, or reads the whole ledger")
		},
		SnapshotSaved: func(to string, info revocation.SnapshotInfo, took time.Duration) {
			snapshot(to, info).WithField(telemetry.FieldDuration, took.Milliseconds()).Debug("saved a snapshot")
		},
		SnapshotFailed: func(to string, err error) {
			if errors.Is(err, context.Canceled) {
				return // the process ends, or another one saves from now on
			}
			log.WithField("place", to).WithError(err).Warn("a snapshot couldn't be saved: whoever starts from the old one takes longer")
		},
	}
}
