package gateways_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/gateways"
	"github.com/curfewhq/curfew/internal/natstest"
)

// Renewal and TTL of tests: short, but long enough for a busy machine.
const (
	renewal = 200 * time.Millisecond
	ttl     = 5 * time.Second
	// patience is for what should be at once, and isn't on a busy machine.
	patience = 30 * time.Second
)

// link is a connection of its own and the bucket over it.
type link struct {
	nc *nats.Conn
	kv jetstream.KeyValue
}

func connect(t *testing.T, url string) link {
	t.Helper()
	b, err := bus.Open(t.Context(), bus.Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() }) // some tests close the connection
	bucket := bus.GatewaysBucket()
	bucket.TTL = ttl
	kv, err := b.KeyValue(t.Context(), bucket)
	if err != nil {
		t.Fatal(err)
	}
	return link{nc: b.Conn(), kv: kv}
}

// gateway runs, over a link of its own.
type gateway struct {
	*gateways.Gateway
	link
	t    *testing.T
	name string
	stop func()

	mu   sync.Mutex
	tabs []gateways.Tab
	// blocks is closed when Tabs may go on; nil means that it doesn't block.
	blocks chan struct{}
	asked  int
	failed int
}

func run(t *testing.T, url, name string, change ...func(*gateways.Config)) *gateway {
	t.Helper()
	g := &gateway{t: t, name: name, link: connect(t, url)}
	g.tabs = []gateways.Tab{{Session: "s-" + name, Since: time.Unix(1_700_000_000, 0).UTC(), Transport: gateways.TransportWebSocket}}
	cfg := gateways.Config{
		Name: name, Version: "v1", Renewal: renewal, PresenceDelay: -1, Tabs: g.answer, Conns: func() int { return 7 },
		Failed: func(error) { g.mu.Lock(); defer g.mu.Unlock(); g.failed++ },
	}
	for _, c := range change {
		c(&cfg)
	}
	var err error
	if g.Gateway, err = gateways.New(g.nc, g.kv, cfg); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := g.Run(ctx); err != nil {
			t.Errorf("%s: Run = %v", name, err)
		}
	}()
	g.stop = sync.OnceFunc(func() { cancel(); <-ended })
	t.Cleanup(g.stop)
	eventually(t, name+" is a member", func() bool { return g.Stats().Renewals > 0 })
	return g
}

func (g *gateway) answer(_, user string) []gateways.Tab {
	g.mu.Lock()
	g.asked++
	tabs, blocks := slices.Clone(g.tabs), g.blocks
	g.mu.Unlock()
	if blocks != nil {
		<-blocks
	}
	if user == "nobody" {
		return nil
	}
	return tabs
}

// block makes answers wait until the returned func is called.
func (g *gateway) block() (release func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	blocks := make(chan struct{})
	g.blocks = blocks
	release = sync.OnceFunc(func() {
		g.mu.Lock()
		g.blocks = nil
		g.mu.Unlock()
		close(blocks)
	})
	g.t.Cleanup(release)
	return release
}

func (g *gateway) timesAsked() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.asked
}

// kill cuts the gateway off for good, so that it can't remove its entry.
func (g *gateway) kill() {
	g.nc.Close()
	g.stop()
}

func fleetOf(t *testing.T, l link, cfg gateways.FleetConfig) *gateways.Fleet {
	t.Helper()
	f := gateways.NewFleet(l.nc, l.kv, cfg)
	t.Cleanup(f.Close)
	return f
}

// three returns a server, three gateways a, b and c at it, and a fleet over a link of its own.
func three(t *testing.T) (*natstest.Server, map[string]*gateway, *gateways.Fleet) {
	t.Helper()
	srv := natstest.Start(t)
	all := map[string]*gateway{}
	for _, name := range []string{"a", "b", "c"} {
		all[name] = run(t, srv.URL(), name)
	}
	return srv, all, fleetOf(t, connect(t, srv.URL()), gateways.FleetConfig{Settle: -1})
}

// ask returns the answer within a time.
func ask(t *testing.T, f *gateways.Fleet, within time.Duration) gateways.Answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	a, err := f.Tabs(ctx, "acme", "ada")
	if err != nil {
		t.Fatalf("Tabs: %v", err)
	}
	return a
}

// summary is who has answered with how many tabs, and who hasn't.
func summary(a gateways.Answer) string {
	s := ""
	for _, g := range a.Gateways {
		s += fmt.Sprintf("%s:%d", g.Name, len(g.Tabs))
		if g.More {
			s += "+"
		}
		s += " "
	}
	for _, m := range a.Missing {
		s += "-" + m.Name + " "
	}
	if a.MembersUnknown {
		s += "?"
	}
	return s
}

func membersOf(t *testing.T, f *gateways.Fleet) []string {
	t.Helper()
	members, err := f.Members(t.Context())
	if err != nil {
		t.Fatalf("Members: %v", err)
	}
	names := []string{}
	for _, m := range members {
		names = append(names, m.Name)
	}
	return names
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline.C:
			t.Fatalf("never: %s", what)
		case <-tick.C:
		}
	}
}
