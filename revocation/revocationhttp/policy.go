package revocationhttp

import (
	"context"
	"errors"
	"net/http"

	"github.com/curfewhq/curfew/revocation"
)

// Policy is what a route asks of the answer about a session, and what becomes of requests whose sessions the replica can't tell about for now:
// it isn't synced, its proof is older than the budget, or it is behind the position. The zero value asks for everything and refuses them:
//
//	Policy{}                                       503 with Retry-After: fail closed
//	Policy{Ask: gate}                              what a gate says; 503 if it can't tell either
//	Policy{Ask: gate, DangerouslyFailOpen: true}   what a gate says; pass if it can't tell either
//	Policy{DangerouslyFailOpen: true}              pass
//
// No policy passes a session that is known to be over, a claim that is missing, a bad token, or anything once the replica has been closed.
type Policy struct {
	// Require is what an answer must meet: the staleness budget, claims that may be missing, a position. A gate's answer must meet it too. New and With
	// refuse a negative budget, which nothing could meet.
	Require revocation.Require
	// Ask is the gate to ask; nil asks nobody. The request waits for it, for GateConfig.Timeout at most. Each time is told to Config.OnAsk.
	Ask *Gate
	// DangerouslyFailOpen passes requests whose sessions nobody could tell about, revoked ones among them. Each is told to Config.OnFailOpen.
	DangerouslyFailOpen bool
}

func (p Policy) validate() error {
	if p.Require.MaxStaleness < 0 {
		return errors.New("revocationhttp config: Require.MaxStaleness can't be negative: leave it zero for the replica's budget")
	}
	return nil
}

// decide answers about a session, waits for the position and asks a gate if that is what it takes, and says whether to pass.
func (m *Middleware) decide(r *http.Request, s revocation.Session, position uint64) (revocation.Decision, bool) {
	q := m.policy.Require
	q.Position = max(q.Position, position)
	d := m.cfg.Replica.CheckWith(s, q)
	if d.MayMend() && d.Position < q.Position && m.cfg.PositionTimeout > 0 {
		ctx, cancel := context.WithTimeout(r.Context(), m.cfg.PositionTimeout)
		// The answer to come says whether it got there, so the error has no more to tell.
		_ = m.cfg.Replica.WaitFor(ctx, q.Position)
		cancel()
		d = m.cfg.Replica.CheckWith(s, q)
	}
	if d.MayMend() && m.policy.Ask != nil {
		d = m.ask(r, s, q, d)
	}
	return d, d.State == revocation.Active || m.policy.DangerouslyFailOpen && d.MayMend()
}

// ask returns a gate's answer in place of own, the replica's; or the replica's latest if the gate has none that can be believed.
func (m *Middleware) ask(r *http.Request, s revocation.Session, q revocation.Require, own revocation.Decision) revocation.Decision {
	budget := m.cfg.Replica.StalenessBudget()
	if q.MaxStaleness != 0 {
		budget = min(budget, q.MaxStaleness)
	}
	asked := q
	asked.MaxStaleness = budget
	d, err := m.policy.Ask.Ask(r.Context(), s, asked)
	if m.cfg.OnAsk != nil {
		m.cfg.OnAsk(r, own, err)
	}
	if err == nil {
		m.asked.count(s, q, own.Cause)
		return d
	}
	// Meanwhile the replica may have learnt more.
	return m.cfg.Replica.CheckWith(s, q)
}
