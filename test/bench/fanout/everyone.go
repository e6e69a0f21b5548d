package main

import (
	"context"
	"fmt"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/services/publisher"
)

// everyone measures a logout of a whole tenant. Each round has it twice: tabs that acknowledge once all have been told, so that what telling takes is known by
// itself, and tabs that acknowledge at once, while others are being told.
func (b *bench) everyone(ctx context.Context) error {
	return b.deployed(ctx, shape{gateways: b.gateways, loads: b.gateways}, func(ctx context.Context, d *deployment) error {
		for n := range b.count {
			for _, hold := range []bool{true, false} {
				if err := b.everyoneOnce(ctx, d, n, hold); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

func (b *bench) everyoneOnce(ctx context.Context, d *deployment, n int, hold bool) error {
	t, err := d.newTenant(ctx)
	if err != nil {
		return err
	}
	users := b.spread / tabsPerUser
	if _, err := d.fill(t, users, order{Window: b.window, Hold: hold}); err != nil {
		return err
	}
	// What the handshakes have left behind isn't part of it.
	if err := pause(ctx, min(b.settle, 2*time.Second)); err != nil {
		return err
	}
	at := "everyone/at-once"
	if hold {
		at = "everyone"
	}
	var id string
	var began, last int64
	var unnamed int
	var spent usage
	tell := func() error {
		before, err := usageOf("cpu", d.gateways...)
		if err != nil {
			return err
		}
		if id, began, err = t.revoke(ctx, publisher.Revocation{Scope: events.KindTenant, Reason: events.ReasonAdmin}); err != nil {
			return err
		}
		if last, unnamed, err = allTold(d, id, users*tabsPerUser); err != nil {
			return err
		}
		after, err := usageOf("cpu", d.gateways...)
		spent = after.minus(before)
		return err
	}
	if err := b.profiled(d, fmt.Sprintf("%s-%d", map[bool]string{true: "everyone", false: "everyone-at-once"}[hold], n), tell); err != nil {
		return err
	}
	first, err := firstApplied(d, id)
	if err != nil {
		return err
	}
	tabs := float64(users * tabsPerUser * b.gateways)
	b.add(at+"/told", seconds(first, last))
	b.add(at+"/posted", seconds(began, last))
	b.add(at+"/unnamed", float64(unnamed))
	if hold {
		b.add(at+"/cpu", float64(spent.cpu().Microseconds())/tabs)
		b.add(at+"/user", float64(spent.User.Microseconds())/tabs)
		b.add(at+"/kernel", float64(spent.System.Microseconds())/tabs)
	}
	return b.closings(d, at, first, users*tabsPerUser)
}

// allTold waits until all tabs have read a notice, and returns when the last had. unnamed are those whose notice was another than the event's: one that a gateway has
// found to be signed out before the event's turn came to it, and that is told no more than that.
func allTold(d *deployment, id string, each int) (last int64, unnamed int, err error) {
	answers, err := askAll(d.loads[:len(d.gateways)], func(int) order { return order{Do: "told", Count: each} })
	for _, a := range answers {
		for of, n := range a.Notices {
			last = max(last, n.Last)
			if of != id {
				unnamed += n.Count
			}
		}
	}
	return last, unnamed, err
}

// firstApplied returns when the first gateway had applied an event.
func firstApplied(d *deployment, id string) (int64, error) {
	var first int64
	for _, g := range d.gateways {
		at, err := appliedAt(g, []oneLogout{{event: id}})
		if err != nil {
			return 0, err
		}
		if first == 0 || at[id] < first {
			first = at[id]
		}
	}
	return first, nil
}

// closings has the tabs acknowledge, if they haven't yet, and waits until the gateways have closed every conn.
func (b *bench) closings(d *deployment, at string, first int64, each int) error {
	if _, err := askAll(d.loads[:len(d.gateways)], func(int) order { return order{Do: "ack"} }); err != nil {
		return err
	}
	answers, err := askAll(d.loads[:len(d.gateways)], func(int) order { return order{Do: "closed", Count: each} })
	if err != nil {
		return err
	}
	var last int64
	otherwise := 0
	for _, a := range answers {
		otherwise += each - a.Codes[signedOut]
		last = max(last, a.Ended)
	}
	b.add(at+"/closed", seconds(first, last))
	b.add(at+"/otherwise", float64(otherwise))
	return d.forget()
}
