package publisher

import (
	"context"
	"net/http"
	"slices"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/problem"
	"github.com/curfewhq/curfew/revocation"
)

// inVain reports whether a call has stored what no replica ever applies. One look is enough: the latest cutoff tells of the others. What can't be looked at is taken for good.
func (s *Service) inVain(ctx context.Context, answers []Stored) bool {
	latest := slices.MaxFunc(answers, func(a, b Stored) int { return a.Cutoff.Compare(b.Cutoff) })
	if latest.Cutoff.IsZero() {
		return false
	}
	msg, err := s.cfg.EventAt(ctx, latest.Position)
	if err != nil {
		return false
	}
	e, err := events.DecodeMessage(msg.Subject, msg.Data)
	return err == nil && e.Meta().ID == latest.ID && revocation.CutoffInFuture(e, msg.Time)
}

func clockAhead() problem.Problem {
	return problem.New(http.StatusServiceUnavailable, "clock_ahead", "Stored, and applied by nobody: a cutoff lies more than 5 minutes ahead of the stream's clock, so that no replica believes it. "+
		"Set this server's clock, or the stream's ('curfew doctor' compares them), and call again, with another Idempotency-Key.")
}
