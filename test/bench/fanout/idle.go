package main

import (
	"context"
	"fmt"
	"time"
)

// idleDefault measures idle tabs with the product's heartbeat.
func (b *bench) idleDefault(ctx context.Context) error {
	return b.idleTabs(ctx, "idle", 0, 45*time.Second)
}

// idleOften measures them with a shorter one.
func (b *bench) idleOften(ctx context.Context) error {
	return b.idleTabs(ctx, "heartbeat", b.options.heartbeat, b.options.heartbeat)
}

// idleTabs measures the gateways' CPU without tabs, and with idle ones once all have been pinged for the first time.
func (b *bench) idleTabs(ctx context.Context, name string, set, heartbeat time.Duration) error {
	return b.deployed(ctx, shape{gateways: b.gateways, loads: b.gateways, heartbeat: set}, func(ctx context.Context, d *deployment) error {
		return b.idleOn(ctx, d, name, heartbeat)
	})
}

func (b *bench) idleOn(ctx context.Context, d *deployment, name string, heartbeat time.Duration) error {
	if err := b.cpuOver(ctx, d, name+"/empty"); err != nil {
		return err
	}
	t, err := d.newTenant(ctx)
	if err != nil {
		return err
	}
	if _, err := d.fill(t, b.spread/tabsPerUser, order{Window: b.window}); err != nil {
		return err
	}
	if err := pause(ctx, min(heartbeat, b.idle)); err != nil {
		return err
	}
	for n := range b.count {
		if err := b.profiled(d, fmt.Sprint(name, "-", n), func() error { return b.cpuOver(ctx, d, name+"/cpu") }); err != nil {
			return err
		}
	}
	answers, err := askAll(d.loads, func(int) order { return order{Do: "lost"} })
	lost := 0
	for i, a := range answers {
		for why, n := range a.Lost {
			lost += n
			fmt.Fprintf(b.errs, "fanout: %d idle tabs of gateway %d were lost: %s\n", n, i, why)
		}
	}
	b.add(name+"/lost", float64(lost))
	return err
}

// cpuOver adds the CPU of all gateways over the idle time, in per cent of one processor.
func (b *bench) cpuOver(ctx context.Context, d *deployment, name string) error {
	before, err := usageOf("cpu", d.gateways...)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := pause(ctx, b.idle); err != nil {
		return err
	}
	after, err := usageOf("cpu", d.gateways...)
	b.add(name, 100*after.minus(before).cpu().Seconds()/time.Since(began).Seconds())
	return err
}
