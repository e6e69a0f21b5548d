package revocationhttp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/curfewhq/curfew/revocation"
)

// maxAnswerBytes bounds an answer, and its header.
const maxAnswerBytes = 16 << 10

// Ask asks about a session and returns an answer that meets q, or an error: one that wraps ErrGateBusy, ErrGateRefused, ErrGateUnavailable or
// ErrGateUndetermined, or the cause of ctx's end. It blocks for the gate's timeout at most. The answer is Active or Revoked; Active is believed
// only of the session's tenant, from q.Position on, and on proof that is no older than q.MaxStaleness when Ask returns (zero means
// [revocation.DefaultStalenessBudget]; a negative one is met by no proof, so nothing is asked and the error is ErrGateUndetermined). Nothing is
// remembered: those who ask the same while a question is under way share its answer, and nobody else. A fifth question about one session of one
// user, while four others are under way, is ErrGateBusy at once; sessions with neither an id nor a user count as one.
func (g *Gate) Ask(ctx context.Context, s revocation.Session, q revocation.Require) (revocation.Decision, error) {
	budget := q.MaxStaleness
	switch {
	case budget == 0:
		budget = revocation.DefaultStalenessBudget
	case budget < 0:
		return revocation.Decision{}, fmt.Errorf("%w: no proof is within a staleness budget below zero", ErrGateUndetermined)
	}
	what, err := questionOf(s, q, budget)
	if err != nil {
		return revocation.Decision{}, err
	}
	fl, first, err := g.flights.join(what)
	if err != nil {
		return revocation.Decision{}, err
	}
	if first {
		g.fly(ctx, what, fl)
	} else {
		select {
		case <-fl.done:
		case <-ctx.Done():
			return revocation.Decision{}, fmt.Errorf("ask a gate: %w", context.Cause(ctx))
		}
	}
	if fl.err != nil {
		return revocation.Decision{}, fl.err
	}
	return fl.verdict.decision(what, fl.age(time.Now()))
}

// fly asks. Others may wait for the answer, so it doesn't end with the request that was first.
func (g *Gate) fly(ctx context.Context, what question, fl *flight) {
	fl.err = fmt.Errorf("%w: asking panicked", ErrGateUnavailable) // what those who wait are told should the transport panic
	defer g.flights.land(what, fl)
	key, ok := g.cfg.Keys[what.tenant]
	if !ok {
		fl.err = fmt.Errorf("%w: there is no key for the session's tenant", ErrGateRefused)
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), g.cfg.Timeout)
	defer cancel()
	select {
	case g.places <- struct{}{}:
		defer func() { <-g.places }()
	case <-ctx.Done():
		fl.err = ErrGateBusy
		return
	}
	fl.verdict, fl.err = g.post(ctx, what, key)
}

func (g *Gate) post(ctx context.Context, what question, key APIKey) (verdict, error) {
	body, err := what.body()
	if err != nil {
		return verdict{}, fmt.Errorf("%w: %w", ErrGateRefused, err)
	}
	a, err := g.endpoint.post(ctx, key, body, maxAnswerBytes)
	switch {
	case errors.Is(err, errUnaskable):
		return verdict{}, fmt.Errorf("%w: %w", ErrGateRefused, err)
	case err != nil:
		return verdict{}, fmt.Errorf("%w: %w", ErrGateUnavailable, err)
	case a.status == http.StatusUnauthorized || a.status == http.StatusForbidden:
		return verdict{}, fmt.Errorf("%w: it answers %d: the key is wrong, or lacks the scope check", ErrGateRefused, a.status)
	case a.status != http.StatusOK:
		return verdict{}, fmt.Errorf("%w: it answers %d", ErrGateUnavailable, a.status)
	case len(a.body) > maxAnswerBytes:
		return verdict{}, fmt.Errorf("%w: its answer is longer than %d bytes", ErrGateUnavailable, maxAnswerBytes)
	case !a.isJSON():
		return verdict{}, fmt.Errorf("%w: its answer isn't JSON", ErrGateUnavailable)
	}
	return readVerdict(a.body)
}
