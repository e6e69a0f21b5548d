package publisher

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/receipts"
	"github.com/curfewhq/curfew/revocation"
)

// belief is whether replicas apply an event that they read.
type belief int

const (
	believed belief = iota
	disbelieved
	unlooked
)

// believes is by the stream's clock: a cutoff is the publisher's, which may be wrong, and none that lies too far ahead is ever applied.
func believes(e events.Event, stored time.Time) belief {
	if cutoff, ok := events.Cutoff(e); ok && cutoff.After(stored.Add(revocation.MaxCutoffAhead)) {
		return disbelieved
	}
	return believed
}

// beliefs looks when the stream has stored what a call has, of what has a cutoff.
func (s *Service) beliefs(ctx context.Context, answers []Stored) []belief {
	all := make([]belief, len(answers))
	var work errgroup.Group
	work.SetLimit(lookups)
	for i, a := range answers {
		if a.Cutoff.IsZero() {
			continue
		}
		work.Go(func() error {
			all[i] = unlooked
			msg, err := s.cfg.EventAt(ctx, a.Position)
			if err != nil {
				return nil // nothing is said of it then
			}
			if e, err := events.DecodeMessage(msg.Subject, msg.Data); err == nil && e.Meta().ID == a.ID {
				all[i] = believes(e, msg.Time)
			}
			return nil
		})
	}
	_ = work.Wait() // it never fails
	return all
}

// of returns what a receipt says once it is known whether replicas believe its event.
func (b belief) of(r receipts.Receipt) receipts.Receipt {
	switch b {
	case disbelieved:
		return r.Skipped()
	case unlooked:
		return r.Unsure()
	}
	return r
}
