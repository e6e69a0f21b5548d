package gateways_test

import (
	"context"
	"fmt"
	"time"

	"github.com/curfewhq/curfew/events/tab"
	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/gateways"
)

// A gateway says who is there, answers questions, and tells what tabs did with a notice.
func ExampleGateway() {
	var b *bus.Bus // opened by the process
	run := func(ctx context.Context) error {
		kv, err := b.KeyValue(ctx, bus.GatewaysBucket())
		if err != nil {
			return err
		}
		opened := time.Now()
		g, err := gateways.New(b.Conn(), kv, gateways.Config{
			Name: "gateway-3:4711",
			Tabs: func(tenant, user string) []gateways.Tab {
				// What the hub knows of the user.
				return []gateways.Tab{{Session: "s-1", Since: opened, Transport: gateways.TransportWebSocket}}
			},
			Conns: func() int { return 1 },
		})
		if err != nil {
			return err
		}
		g.Up("default", "u-1") // a conn has said hello
		g.Acked(gateways.Ack{
			Tenant: "default", Event: "01980f3c-7b0a-7c1e-9f57-3a1d2b4c5d6e", Outcome: tab.OutcomeSignedOut, At: time.Now(), Conn: 1,
		})
		g.Down("default", "u-1") // it has closed
		return g.Run(ctx)
	}
	_ = run
}

// Whoever wants to show a user's tabs says when the list isn't all.
func ExampleFleet_Tabs() {
	var fleet *gateways.Fleet // of the process
	show := func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		answer, err := fleet.Tabs(ctx, "default", "u-1")
		if err != nil {
			return err
		}
		for _, g := range answer.Gateways {
			for _, t := range g.Tabs {
				fmt.Println(g.Name, t.Session, t.Device, t.Since)
			}
		}
		for _, m := range answer.Missing {
			fmt.Println("no answer from", m.Name)
		}
		if !answer.Complete() {
			fmt.Println("there may be others")
		}
		return nil
	}
	_ = show
}

// Whoever waits for acknowledgements of an event follows before it is published.
func ExampleFleet_FollowAcks() {
	var fleet *gateways.Fleet // of the process
	wait := func(ctx context.Context, event string, publish func()) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		return fleet.FollowAcks(ctx, func(a gateways.Ack) {
			if a.Event == event && a.Outcome == tab.OutcomeSignedOut {
				cancel()
			}
		}, gateways.WhenSubscribed(publish))
	}
	_ = wait
}
