package main

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/services/publisher"
)

// behind is how long after a mass logout a single one comes.
const behind = 5 * time.Millisecond

// quiet is the group of the users whose single logouts are measured. Their tabs have a process of their own: in one with thousands that are being told they would
// wait for that process.
const quiet = 9_000

// delay measures how much later than usual a tab is told whose logout comes right behind that of a whole other tenant, at the same gateway, and how much later others are
// whose logouts come while the mass is being told and closed.
func (b *bench) delay(ctx context.Context) error {
	return b.deployed(ctx, shape{gateways: b.gateways, loads: b.gateways + 1}, func(ctx context.Context, d *deployment) error {
		for range b.count {
			if err := b.delayOnce(ctx, d); err != nil {
				return err
			}
		}
		return nil
	})
}

func (b *bench) delayOnce(ctx context.Context, d *deployment) error {
	mass, err := d.newTenant(ctx)
	if err != nil {
		return err
	}
	single, err := d.newTenant(ctx)
	if err != nil {
		return err
	}
	users := b.spread / tabsPerUser
	if _, err := d.fill(mass, users, order{Window: b.window}); err != nil {
		return err
	}
	load := d.loads[b.gateways]
	if _, err := load.ask(order{Do: "add", Crowd: crowd{URL: d.url, Key: single.key, Group: quiet, Users: 2*b.singles + 1, Tabs: 1}}); err != nil {
		return err
	}
	if _, err := load.ask(order{Do: "connect", Addr: d.addrs[0], Window: b.window}); err != nil {
		return err
	}
	var usual []oneLogout
	for n := range b.singles {
		if err := pause(ctx, randomPause()); err != nil {
			return err
		}
		l, err := logOut(ctx, single, quietUser(n), load, 1)
		if err != nil {
			return err
		}
		usual = append(usual, l)
	}
	told := make(chan error, 1)
	var massLast int64
	go func() {
		id, _, err := mass.revoke(ctx, publisher.Revocation{Scope: events.KindTenant, Reason: events.ReasonAdmin})
		if err == nil {
			massLast, _, err = allTold(d, id, users*tabsPerUser)
		}
		told <- err
	}()
	err = pause(ctx, behind)
	late := oneLogout{}
	if err == nil {
		late, err = logOut(ctx, single, quietUser(b.singles), load, 1)
	}
	// At least one, so that there is a figure however small the mass is.
	var meanwhile []oneLogout
	for err == nil && (len(meanwhile) == 0 || len(told) == 0 && len(meanwhile) < b.singles) {
		var l oneLogout
		l, err = logOut(ctx, single, quietUser(b.singles+1+len(meanwhile)), load, 1)
		meanwhile = append(meanwhile, l)
		err = errors.Join(err, pause(ctx, randomPause()))
	}
	if err := errors.Join(err, <-told); err != nil {
		return err
	}
	b.add("delay/mass", ms(time.Duration(massLast-late.last)))
	if err := b.later(d.gateways[0], usual, late, meanwhile); err != nil {
		return err
	}
	return d.forget()
}

func quietUser(n int) publisher.Revocation {
	return publisher.Revocation{Scope: events.KindUser, User: userID(quiet, n), Reason: events.ReasonUserLogout}
}

// later adds how much later the tab right behind the mass was told than the usual ones' median, and those meanwhile.
func (b *bench) later(gateway *child, usual []oneLogout, late oneLogout, meanwhile []oneLogout) error {
	at, err := appliedAt(gateway, slices.Concat(usual, []oneLogout{late}, meanwhile))
	if err != nil {
		return err
	}
	posted := func(l oneLogout) float64 { return ms(time.Duration(l.last - l.began)) }
	applied := func(l oneLogout) float64 { return ms(time.Duration(l.last - at[l.event])) }
	all := func(ls []oneLogout, of func(oneLogout) float64) (took []float64) {
		for _, l := range ls {
			took = append(took, of(l))
		}
		slices.Sort(took)
		return took
	}
	usually, usuallyApplied := median(all(usual, posted)), median(all(usual, applied))
	b.add("delay/usual", usually)
	b.add("delay/posted", posted(late)-usually)
	b.add("delay/applied", applied(late)-usuallyApplied)
	took := all(meanwhile, posted)
	b.add("delay/meanwhile/p50", median(took)-usually)
	b.add("delay/meanwhile/most", took[len(took)-1]-usually)
	took = all(meanwhile, applied)
	b.add("delay/meanwhile/applied/p50", median(took)-usuallyApplied)
	b.add("delay/meanwhile/applied/most", took[len(took)-1]-usuallyApplied)
	return nil
}
