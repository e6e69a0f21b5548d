package main

import (
	"context"
	"time"

	"github.com/curfewhq/curfew/internal/tabclient"
)

// memory measures what idle tabs take of one gateway, which is a new process each time.
func (b *bench) memory(ctx context.Context) error {
	for range b.count {
		if err := b.deployed(ctx, shape{gateways: 1, loads: 1}, b.memoryOnce); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) memoryOnce(ctx context.Context, d *deployment) error {
	t, err := d.newTenant(ctx)
	if err != nil {
		return err
	}
	// Without garbage: what the tabs' handshakes leave is theirs.
	before, err := usageOf("settle", d.gateways...)
	if err != nil {
		return err
	}
	slabBefore, err := slab()
	if err != nil {
		return err
	}
	answers, err := d.fill(t, b.most/tabsPerUser, order{Window: b.window})
	if err != nil {
		return err
	}
	tabs := float64(b.most / tabsPerUser * tabsPerUser)
	b.add("memory/handshakes", tabs/seconds(answers[0].Began, answers[0].Ended))
	if err := b.perTab(ctx, d, "memory", before, tabs); err != nil {
		return err
	}
	slabAfter, err := slab()
	b.add("memory/kernel", float64(slabAfter-slabBefore)/(2*tabs))
	return err
}

// perTab adds what each tab takes of the gateway, some time after the last one has come.
func (b *bench) perTab(ctx context.Context, d *deployment, name string, before usage, tabs float64) error {
	if err := pause(ctx, b.settle); err != nil {
		return err
	}
	natural, err := usageOf("memory", d.gateways...)
	if err != nil {
		return err
	}
	settled, err := usageOf("settle", d.gateways...)
	if err != nil {
		return err
	}
	natural, settled = natural.minus(before), settled.minus(before)
	b.add(name+"/natural", float64(natural.RSS)/tabs)
	b.add(name+"/settled", float64(settled.RSS)/tabs)
	b.add(name+"/heap", float64(settled.Heap)/tabs)
	b.add(name+"/stack", float64(settled.Stack)/tabs)
	b.add(name+"/goroutines", float64(settled.Goroutines)/tabs)
	return nil
}

// memoryTLS is memory with TLS in the gateway. The tabs are ordinary conns of Go, in this process.
func (b *bench) memoryTLS(ctx context.Context) error {
	if err := raiseFiles(); err != nil {
		return err
	}
	for range b.count {
		if err := b.deployed(ctx, shape{gateways: 1, tls: true}, b.memoryTLSOnce); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) memoryTLSOnce(ctx context.Context, d *deployment) error {
	t, err := d.newTenant(ctx)
	if err != nil {
		return err
	}
	tickets, err := crowd{URL: d.url, Key: t.key, Users: b.tls / tabsPerUser, Tabs: tabsPerUser}.tickets(ctx)
	if err != nil {
		return err
	}
	before, err := usageOf("settle", d.gateways...)
	if err != nil {
		return err
	}
	spentBefore, err := usageOf("cpu", d.gateways...)
	if err != nil {
		return err
	}
	began := time.Now()
	conns, err := dialTLS(ctx, d.addrs[0], tickets)
	defer closeAll(conns)
	if err != nil {
		return err
	}
	took, tabs := time.Since(began), float64(len(tickets))
	spentAfter, err := usageOf("cpu", d.gateways...)
	if err != nil {
		return err
	}
	b.add("tls/handshakes", tabs/took.Seconds())
	b.add("tls/cpu", ms(spentAfter.minus(spentBefore).cpu())/tabs)
	return b.perTab(ctx, d, "tls", before, tabs)
}

func closeAll(conns []*tabclient.Conn) {
	for _, c := range conns {
		if c != nil {
			_ = c.Close()
		}
	}
}

// seconds between two instants in nanoseconds.
func seconds(from, to int64) float64 { return time.Duration(to - from).Seconds() }
