package main

import (
	"context"
	"fmt"
	"time"

	"github.com/curfewhq/curfew/events/tab"
)

// signedOut is the code with which signed out tabs are closed.
const signedOut = int(tab.CloseSignedOut)

// storm measures tabs that are cut off all at once and come back at once, each with a new ticket.
func (b *bench) storm(ctx context.Context) error {
	return b.deployed(ctx, shape{gateways: 1, loads: 1}, b.storms)
}

func (b *bench) storms(ctx context.Context, d *deployment) error {
	t, err := d.newTenant(ctx)
	if err != nil {
		return err
	}
	empty, err := usageOf("collect", d.gateways...)
	if err != nil {
		return err
	}
	users := b.most / tabsPerUser
	if _, err := d.fill(t, users, order{Window: b.window}); err != nil {
		return err
	}
	for n := range b.count {
		if err := b.stormOnce(ctx, d, crowd{URL: d.url, Key: t.key, Users: users, Tabs: tabsPerUser}, n); err != nil {
			return err
		}
	}
	if err := d.forget(); err != nil {
		return err
	}
	left, err := b.collected(ctx, d)
	if err != nil {
		return err
	}
	left = left.minus(empty)
	b.add("storm/empty/goroutines", float64(left.Goroutines))
	b.add("storm/empty/files", float64(left.Files))
	b.add("storm/empty/heap", float64(left.Heap)/1e6)
	return nil
}

func (b *bench) stormOnce(ctx context.Context, d *deployment, c crowd, n int) error {
	tabs := c.Users * c.Tabs
	before, err := b.collected(ctx, d)
	if err != nil {
		return err
	}
	if a, err := d.loads[0].ask(order{Do: "again", Crowd: c}); err != nil {
		return err
	} else {
		b.add("storm/tickets", float64(a.Count)/a.Took.Seconds())
	}
	at, err := usageOf("cpu", d.gateways...)
	if err != nil {
		return err
	}
	ledgerAt, err := usageOf("cpu", d.ledger)
	if err != nil {
		return err
	}
	var a answer
	if err := b.profiled(d, fmt.Sprint("storm-", n), func() (err error) {
		a, err = d.loads[0].ask(order{Do: "connect", Addr: d.addrs[0], Window: b.window, Drop: true})
		return err
	}); err != nil {
		return err
	}
	if a.Count != tabs {
		return fmt.Errorf("%d of %d tabs came back: lost %v", a.Count, tabs, a.Lost)
	}
	gateway, err := usageOf("cpu", d.gateways...)
	if err != nil {
		return err
	}
	ledger, err := usageOf("cpu", d.ledger)
	if err != nil {
		return err
	}
	b.add("storm/handshakes", float64(tabs)/seconds(a.Began, a.Ended))
	b.add("storm/refused", float64(a.Refused))
	b.add("storm/cpu", float64(gateway.minus(at).cpu().Microseconds())/float64(tabs))
	b.add("storm/ledger-cpu", float64(ledger.minus(ledgerAt).cpu().Microseconds())/float64(tabs))
	after, err := b.collected(ctx, d)
	if err != nil {
		return err
	}
	after = after.minus(before)
	b.add("storm/left/goroutines", float64(after.Goroutines))
	b.add("storm/left/files", float64(after.Files))
	b.add("storm/left/heap", float64(after.Heap)/1e6)
	return nil
}

// collected returns what the gateways hold without garbage, a moment after the last tab has gone or come.
func (b *bench) collected(ctx context.Context, d *deployment) (usage, error) {
	if err := pause(ctx, min(b.settle, time.Second)); err != nil {
		return usage{}, err
	}
	return usageOf("collect", d.gateways...)
}
