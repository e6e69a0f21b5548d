package audit

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/chain"
	"github.com/curfewhq/curfew/internal/ledger"
	"github.com/curfewhq/curfew/internal/telemetry"
)

// errAnother ends a reading of a ledger that isn't the one that it began with.
var errAnother = errors.New("the ledger isn't the one that it was")

// Run makes checkpoints until ctx ends, or it can't go on; then it returns why, and may be called again: it goes on from what the stream holds. One process should run it at a time. works is called once a
// checkpoint was made.
func (s *Service) Run(ctx context.Context, works func()) error {
	// Here, so that Read's goroutine has ended whenever Run has.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c, err := s.resume(ctx)
	if err != nil {
		return s.failed(ctx, err)
	}
	entries, ended := make(chan ledger.Entry, 256), make(chan error, 1)
	go func() { ended <- s.follow(ctx, c.builder.Position(), entries) }()
	err = c.run(ctx, entries, ended, works)
	cancel()
	for {
		select {
		case <-entries:
			continue
		case <-ended:
		}
		return s.failed(ctx, err)
	}
}

func (s *Service) failed(ctx context.Context, err error) error {
	if err == nil || errors.Is(err, context.Canceled) || ctx.Err() != nil && errors.Is(err, context.Cause(ctx)) {
		return err
	}
	s.cfg.Metrics.Failures.Inc()
	return err
}

// follow hands on what lies behind a position, beats too: they show that the reading isn't stuck.
func (s *Service) follow(ctx context.Context, after uint64, into chan<- ledger.Entry) error {
	span := ledger.Range{Topics: []string{events.TopicAll, events.TopicBeat}, After: after, Follow: true, Raw: true, Silence: s.cfg.Silence}
	return s.cfg.Ledger.Read(ctx, span, func(e ledger.Entry) error {
		select {
		case into <- e:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}, nil)
}

// checkpointer makes the checkpoints of one chain. It is used by one goroutine.
type checkpointer struct {
	*Service
	log     logrus.FieldLogger
	builder *chain.Builder
	made    time.Time
	// number and token are those of the last message of the stream, and at when its checkpoint was made; zero if a chain is begun.
	number uint64
	token  string
	at     time.Time
	copied *fileCopy
}

// run takes entries until ctx ends or something fails.
func (c *checkpointer) run(ctx context.Context, entries <-chan ledger.Entry, ended chan error, works func()) error {
	due := time.NewTimer(max(time.Until(c.at.Add(c.cfg.Interval)), 0))
	defer due.Stop()
	seal := func() error {
		if err := c.checkpoint(ctx); err != nil {
			return err
		}
		works()
		due.Reset(c.cfg.Interval)
		return nil
	}
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case err := <-ended:
			ended <- err // for Run, which waits for it
			return err
		case e := <-entries:
			if e.Beat {
				if err := c.builder.Pass(e.Position); err != nil {
					return err
				}
				continue
			}
			if c.builder.Full(e.Stored) {
				if err := seal(); err != nil {
					return err
				}
			}
			if err := c.builder.Add(entryOf(e)); err != nil {
				return err
			}
			if c.builder.Pending() >= chain.MaxEvents {
				if err := seal(); err != nil {
					return err
				}
			}
		case <-due.C:
			if err := seal(); err != nil {
				return err
			}
		}
	}
}

func entryOf(e ledger.Entry) chain.Entry {
	return chain.Entry{Position: e.Position, Stored: e.Stored, Topic: e.Topic, Header: e.Header, Data: e.Data}
}

// checkpoint makes one of what has come, and keeps it. It asks for the ledger first: what a reading has brought may be of one that was deleted meanwhile.
func (c *checkpointer) checkpoint(ctx context.Context) error {
	head, err := c.cfg.Ledger.Head(ctx)
	if err != nil {
		return err
	}
	if !head.Made.Equal(c.made) || head.Last < c.builder.Position() {
		return errAnother
	}
	seal := chain.Seal{Number: c.number + 1, Time: time.Now(), Retention: head.Retention}
	if c.token != "" {
		seal.Previous = chain.TokenHash(c.token)
	}
	made := c.builder.Checkpoint(seal)
	payload, err := made.Encode()
	if err != nil {
		return err
	}
	token, err := c.cfg.Signer.Sign(chain.Type, payload)
	if err != nil {
		return err
	}
	if err := c.cfg.Stream.AppendCheckpoint(ctx, []byte(token), c.number); err != nil {
		return err
	}
	c.builder.Sealed(made)
	c.number, c.token, c.at = seal.Number, token, seal.Time
	m := c.cfg.Metrics
	m.Checkpoints.Inc()
	m.Position.Set(float64(made.Position))
	m.Time.Set(float64(seal.Time.UnixMilli()) / 1000)
	if made.Cause != "" {
		m.Chains.WithLabelValues(string(made.Cause)).Inc()
	}
	c.log.WithField("number", made.Number).WithField(telemetry.FieldPosition, made.Position).WithField("sha256", chain.TokenHash(token)).Debug("made a checkpoint of the ledger")
	c.keepCopy(ctx)
	return nil
}

// begin begins a chain, and says why.
func (c *checkpointer) begin(cause chain.Cause, head ledger.Head) {
	c.builder, c.at = chain.Begin(rand.Text(), cause, head.Made, head.First), time.Time{}
	log := c.log.WithField("cause", string(cause)).WithField(telemetry.FieldPosition, head.First)
	if cause == chain.CauseFirst {
		log.Info("the audit chain begins")
		return
	}
	log.WithField(telemetry.FieldHint, "curfew audit verify").Error(fmt.Sprintf("the audit chain can't be gone on with (%s), and another begins: if nobody has restored a backup, somebody has changed the ledger", cause))
}
