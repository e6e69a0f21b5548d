package audit

import (
	"context"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/chain"
	"github.com/curfewhq/curfew/internal/ledger"
	"github.com/curfewhq/curfew/internal/signing"
	"github.com/curfewhq/curfew/internal/telemetry"
)

// resume goes on from the last checkpoint, or begins a chain.
func (s *Service) resume(ctx context.Context) (*checkpointer, error) {
	// The checkpoint first: a ledger that is looked at later can't be behind it.
	data, number, err := s.cfg.Stream.LastCheckpoint(ctx)
	if err != nil {
		return nil, err
	}
	head, err := s.cfg.Ledger.Head(ctx)
	if err != nil {
		return nil, err
	}
	c := &checkpointer{Service: s, log: s.cfg.Log, made: head.Made, number: number, token: string(data), copied: &fileCopy{path: s.cfg.File}}
	if data == nil {
		cause := chain.CauseFirst
		if number > 0 {
			cause = chain.CauseUnverified // all of them have expired, or were taken away
		}
		c.begin(cause, head)
		return c, nil
	}
	last, err := s.open(string(data), number)
	if err != nil {
		c.log.WithError(err).WithField("number", number).Error("the last checkpoint of the ledger isn't one of ours")
		c.begin(chain.CauseUnverified, head)
		return c, nil
	}
	cause, err := s.broken(ctx, last, head)
	switch {
	case err != nil:
		return nil, err
	case cause != "":
		c.begin(cause, head)
	default:
		c.builder, c.at = chain.Resume(last), last.Time
	}
	return c, nil
}

// open reads a checkpoint, which must be signed and of the number under which it lies.
func (s *Service) open(token string, number uint64) (chain.Checkpoint, error) {
	payload, _, err := signing.Verify(s.cfg.Signer.Public(), chain.Type, token)
	if err != nil {
		return chain.Checkpoint{}, err
	}
	c, err := chain.Decode(payload)
	if err == nil && c.Number != number {
		err = chain.ErrForm
	}
	return c, err
}

// slack is by how much the clocks of NATS's leaders may differ.
const slack = 5 * time.Minute

// broken returns why the ledger isn't the one that a checkpoint was made of; empty if it is, as far as its last event tells.
func (s *Service) broken(ctx context.Context, last chain.Checkpoint, head ledger.Head) (chain.Cause, error) {
	switch {
	case !last.Ledger.Equal(head.Made):
		return chain.CauseReplaced, nil
	case head.Last < last.Position:
		return chain.CauseWentBack, nil
	case last.Last == nil:
		return "", nil // it has no events yet
	}
	var found *chain.Entry
	span := ledger.Range{Topics: []string{events.TopicAll}, After: last.Last.Position - 1, Before: last.Last.Position + 1, Raw: true}
	err := s.cfg.Ledger.Read(ctx, span, func(e ledger.Entry) error {
		entry := entryOf(e)
		found = &entry
		return ledger.ErrStop
	}, nil)
	var hasher chain.Hasher
	switch {
	case err != nil:
		return "", err
	case found != nil && hasher.Leaf(*found).Digest() == last.Last.Digest:
		return "", nil
	case found == nil && head.Retention > 0 && head.Clock.Streams.Sub(last.Last.Stored)+slack >= head.Retention:
		return "", nil // it was due
	}
	s.cfg.Log.WithField(telemetry.FieldPosition, last.Last.Position).Error("the last event that was signed isn't in the ledger any more")
	return chain.CauseChanged, nil
}
