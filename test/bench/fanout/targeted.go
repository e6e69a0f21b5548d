package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/services/publisher"
)

// oneLogout is one logout that was measured.
type oneLogout struct {
	event string
	// began is when the call of the API did, stored when it was answered, and last when the last tab had read its notice.
	began, stored, last int64
}

// targeted measures how soon the tabs of one user are told, while many others are open.
func (b *bench) targeted(ctx context.Context) error {
	return b.deployed(ctx, shape{gateways: b.gateways, loads: b.gateways}, b.targetedRounds)
}

func (b *bench) targetedRounds(ctx context.Context, d *deployment) error {
	t, err := d.newTenant(ctx)
	if err != nil {
		return err
	}
	if _, err := d.fill(t, b.spread/tabsPerUser, order{Window: b.window}); err != nil {
		return err
	}
	for n := range b.count {
		if err := b.targetedRound(ctx, d, t, n*b.logouts); err != nil {
			return err
		}
	}
	return nil
}

// targetedRound logs users out from the first on, who are numbered over all gateways.
func (b *bench) targetedRound(ctx context.Context, d *deployment, t tenant, first int) error {
	done := make([][]oneLogout, b.gateways)
	for n := first; n < first+b.logouts; n++ {
		if err := pause(ctx, randomPause()); err != nil {
			return err
		}
		g, user := n%b.gateways, n/b.gateways
		r := publisher.Revocation{Scope: events.KindUser, User: userID(g, user), Reason: events.ReasonUserLogout}
		l, err := logOut(ctx, t, r, d.loads[g], tabsPerUser)
		if err != nil {
			return err
		}
		done[g] = append(done[g], l)
	}
	var applied, posted, stored []time.Duration
	for g, logouts := range done {
		at, err := appliedAt(d.gateways[g], logouts)
		if err != nil {
			return err
		}
		for _, l := range logouts {
			applied = append(applied, time.Duration(l.last-at[l.event]))
			posted = append(posted, time.Duration(l.last-l.began))
			stored = append(stored, time.Duration(l.stored-l.began))
		}
	}
	b.took("targeted/applied", applied)
	b.took("targeted/posted", posted)
	b.took("targeted/stored", stored)
	return nil
}

// randomPause keeps logouts from falling in step with anything.
func randomPause() time.Duration { return 20*time.Millisecond + rand.N(40*time.Millisecond) }

// logOut revokes, and waits until as many tabs have read the notice.
func logOut(ctx context.Context, t tenant, r publisher.Revocation, load *child, tabs int) (oneLogout, error) {
	id, began, err := t.revoke(ctx, r)
	if err != nil {
		return oneLogout{}, err
	}
	stored := time.Now().UnixNano()
	a, err := load.ask(order{Do: "told", Count: tabs})
	if err != nil {
		return oneLogout{}, err
	}
	n := a.Notices[id]
	if n.Count != tabs {
		return oneLogout{}, fmt.Errorf("%d of %d tabs were told of %s: %v", n.Count, tabs, id, a.Notices)
	}
	return oneLogout{event: id, began: began, stored: stored, last: n.Last}, nil
}

// appliedAt asks a gateway when it had applied the logouts.
func appliedAt(gateway *child, logouts []oneLogout) (map[string]int64, error) {
	ids := make([]string, len(logouts))
	for i, l := range logouts {
		ids[i] = l.event
	}
	a, err := gateway.ask(order{Do: "applied", Events: ids})
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		if a.Applied[id] == 0 {
			return nil, fmt.Errorf("%s was told of %s and hasn't applied it", gateway.name, id)
		}
	}
	return a.Applied, nil
}
