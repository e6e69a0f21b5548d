package gateways_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/gateways"
	"github.com/curfewhq/curfew/internal/natstest"
)

func TestAllAnswer(t *testing.T) {
	_, all, f := three(t)
	a := ask(t, f, patience)
	if got := summary(a); got != "a:1 b:1 c:1 " || !a.Complete() {
		t.Errorf("got %q, complete %v", got, a.Complete())
	}
	if tab := a.Gateways[1].Tabs[0]; tab != all["b"].tabs[0] || a.Gateways[1].ID != all["b"].ID() {
		t.Errorf("b has %+v", a.Gateways[1])
	}
	if a, err := f.Tabs(t.Context(), "acme", "nobody"); err != nil || !a.Complete() || len(a.Gateways) != 3 || a.Gateways[0].Tabs == nil || len(a.Gateways[0].Tabs) != 0 {
		t.Errorf("of nobody: %+v, %v", a, err)
	}
	members, err := f.Members(t.Context())
	if err != nil || len(members) != 3 {
		t.Fatalf("members %+v, %v", members, err)
	}
	if m := members[2]; m.ID != all["c"].ID() || m.Name != "c" || m.Version != "v1" || m.Conns != 7 || m.Started.IsZero() || m.Renewed.IsZero() {
		t.Errorf("c is %+v", m)
	}
	if f.Stats() != (gateways.FleetStats{}) {
		t.Errorf("stats %+v", f.Stats())
	}
}

// Who hangs is named, and what it says too late is heard by nobody.
func TestOneIsSilent(t *testing.T) {
	_, all, f := three(t)
	release := all["b"].block()
	a := ask(t, f, time.Second)
	if got := summary(a); got != "a:1 c:1 -b " || a.Complete() {
		t.Errorf("got %q, complete %v", got, a.Complete())
	}
	if a.Missing[0].ID != all["b"].ID() {
		t.Errorf("missing %+v", a.Missing)
	}
	release()
	eventually(t, "the late answer", func() bool { return all["b"].Stats().Questions == 1 })
	if got := summary(ask(t, f, patience)); got != "a:1 b:1 c:1 " {
		t.Errorf("after: %q", got)
	}
}

// Who crashes is missing until its entry has expired; who ends is not.
func TestOneCrashesAndOneEnds(t *testing.T) {
	_, all, f := three(t)
	all["b"].kill()
	all["c"].stop()
	if got := membersOf(t, f); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("members %v", got)
	}
	if got := summary(ask(t, f, time.Second)); got != "a:1 -b " {
		t.Errorf("got %q", got)
	}
	eventually(t, "b's entry expires", func() bool { return slices.Equal(membersOf(t, f), []string{"a"}) })
	if got := ask(t, f, patience); summary(got) != "a:1 " || !got.Complete() {
		t.Errorf("after: %q", summary(got))
	}
}

func TestNobodyListens(t *testing.T) {
	srv := natstest.Start(t)
	f := fleetOf(t, connect(t, srv.URL()), gateways.FleetConfig{})
	began := time.Now()
	if a := ask(t, f, patience); summary(a) != "" || !a.Complete() || a.Gateways == nil {
		t.Errorf("nobody is there: %q", summary(a))
	}
	g := run(t, srv.URL(), "a")
	g.kill()
	eventually(t, "the server has noticed", func() bool { return srv.Server().NumClients() == 1 })
	if a := ask(t, f, patience); summary(a) != "-a " || a.Complete() {
		t.Errorf("the only one has crashed: %q", summary(a))
	}
	if took := time.Since(began); took > patience/2 {
		t.Errorf("it took %v: it isn't answered at once", took)
	}
}

// A restart costs no member its entry, and until all can be back nothing passes for complete.
func TestServerRestarts(t *testing.T) {
	srv, all, f := three(t)
	careful := fleetOf(t, connect(t, srv.URL()), gateways.FleetConfig{Settle: time.Hour})
	if a := ask(t, careful, patience); !a.Complete() {
		t.Errorf("before: %q", summary(a))
	}
	before := all["a"].Stats().Renewals
	srv.Stop()
	eventually(t, "no question can be sent", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		_, err := f.Tabs(ctx, "acme", "ada")
		return err != nil
	})
	if _, err := f.Members(t.Context()); err == nil {
		t.Error("the register was read without a server")
	}
	eventually(t, "a can't renew", func() bool { g := all["a"]; g.mu.Lock(); defer g.mu.Unlock(); return g.failed > 0 })
	srv.Restart()
	eventually(t, "all answer", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		a, err := f.Tabs(ctx, "acme", "ada")
		return err == nil && summary(a) == "a:1 b:1 c:1 " && a.Complete()
	})
	eventually(t, "a renews", func() bool { return all["a"].Stats().Renewals > before })
	eventually(t, "all answer the careful one, too", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		a, err := careful.Tabs(ctx, "acme", "ada")
		return err == nil && summary(a) == "a:1 b:1 c:1 ?" && !a.Complete()
	})
	if g := all["a"]; g.failed != 1 {
		t.Errorf("told of %d failures, want the first alone", g.failed)
	}
}

// Without a register there are answers, and they don't pass for complete.
func TestNoRegister(t *testing.T) {
	srv, all, f := three(t)
	js, err := jetstream.New(all["a"].nc)
	if err != nil {
		t.Fatal(err)
	}
	if err := js.DeleteKeyValue(t.Context(), bus.GatewaysBucket().Name); err != nil {
		t.Fatal(err)
	}
	if a := ask(t, f, time.Second); summary(a) != "a:1 b:1 c:1 ?" || a.Complete() {
		t.Errorf("got %q", summary(a))
	}
	// Nor where it is there, and nobody has written himself into it.
	f = fleetOf(t, connect(t, srv.URL()), gateways.FleetConfig{})
	for _, g := range all {
		g.block()
	}
	for name := range all {
		eventually(t, name+" is in the new register", func() bool { return slices.Contains(membersOf(t, f), name) })
	}
}

// A register that hangs until there is no time left costs no answer that has come meanwhile.
func TestRegisterHangs(t *testing.T) {
	srv, _, _ := three(t)
	proxy := natstest.NewProxy(t, srv.Addr())
	behind := connect(t, proxy.URL())
	f := fleetOf(t, link{nc: connect(t, srv.URL()).nc, kv: behind.kv}, gateways.FleetConfig{})
	proxy.Stall()
	// Which of the two is seen first, the deadline or the answers, is chance.
	for range 3 {
		if a := ask(t, f, 500*time.Millisecond); summary(a) != "a:1 b:1 c:1 ?" || a.Complete() {
			t.Errorf("got %q", summary(a))
		}
	}
}

// Who isn't a member counts if it answers, and if it doesn't, nothing is complete.
func TestWhoIsNoMember(t *testing.T) {
	srv := natstest.Start(t)
	l := connect(t, srv.URL())
	f := fleetOf(t, l, gateways.FleetConfig{})
	const id = "00112233445566778899aabbccddeeff"
	answers := []string{`{"v":1,"gateway":"` + id + `","name":"new","tabs":[{"session":"s","since":"2026-01-02T03:04:05Z"}],"tomorrow":{}}`}
	var silent bool
	asked := make(chan *nats.Msg, 8)
	sub, err := connect(t, srv.URL()).nc.Subscribe(bus.LiveTabsTopic, func(m *nats.Msg) {
		if asked <- m; !silent {
			for _, a := range answers {
				_ = m.Respond([]byte(a))
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is heard", func() bool { return summary(ask(t, f, patience)) == "new:1 " })
	for len(asked) > 0 {
		if m := <-asked; !bus.IsLiveAnswerTopic(m.Reply) || strings.Contains(m.Subject+m.Reply, "ada") {
			t.Errorf("asked on %s for an answer on %s", m.Subject, m.Reply)
		}
	}
	if err := sub.Unsubscribe(); err != nil {
		t.Fatal(err)
	}
	// A silent one.
	quiet, err := l.nc.SubscribeSync(bus.LiveTabsTopic)
	if err != nil {
		t.Fatal(err)
	}
	if a := ask(t, f, 200*time.Millisecond); summary(a) != "?" || a.Complete() {
		t.Errorf("of a silent one: %q", summary(a))
	}
	if n, _, _ := quiet.Pending(); n != 1 {
		t.Errorf("it was asked %d times", n)
	}
}

func TestTabsRefuses(t *testing.T) {
	srv := natstest.Start(t)
	l := connect(t, srv.URL())
	f := fleetOf(t, l, gateways.FleetConfig{})
	for _, who := range [][2]string{{"", "ada"}, {"*", "ada"}, {"acme", ""}, {"acme", "a\nb"}, {"acme", strings.Repeat("x", 257)}} {
		if _, err := f.Tabs(t.Context(), who[0], who[1]); !errors.Is(err, gateways.ErrInvalid) {
			t.Errorf("%q: %v", who, err)
		}
	}
	quiet, err := l.nc.SubscribeSync(bus.LiveTabsTopic)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	go func() {
		_, _ = quiet.NextMsgWithContext(ctx)
		cancel()
	}()
	if _, err := f.Tabs(ctx, "acme", "ada"); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	// Without a deadline it has one.
	if a, err := f.Tabs(t.Context(), "acme", "ada"); err != nil || summary(a) != "?" {
		t.Errorf("without a deadline: %q, %v", summary(a), err)
	}
}

func TestClose(t *testing.T) {
	for name, end := range map[string]func(f *gateways.Fleet, l link){
		"fleet":      func(f *gateways.Fleet, _ link) { f.Close() },
		"connection": func(_ *gateways.Fleet, l link) { l.nc.Close() },
	} {
		srv := natstest.Start(t)
		l := connect(t, srv.URL())
		f := fleetOf(t, l, gateways.FleetConfig{})
		listener := connect(t, srv.URL()).nc
		quiet, err := listener.SubscribeSync(bus.LiveTabsTopic)
		if err != nil {
			t.Fatal(err)
		}
		if err := listener.Flush(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 3)
		started := make(chan struct{}, 3)
		subscribed := gateways.WhenSubscribed(func() { started <- struct{}{} })
		go func() { ended <- f.FollowAcks(t.Context(), func(gateways.Ack) {}, subscribed) }()
		go func() { ended <- f.FollowPresence(t.Context(), func(gateways.Change) {}, subscribed) }()
		go func() {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			_, err := f.Tabs(ctx, "acme", "ada")
			ended <- err
		}()
		if _, err := quiet.NextMsgWithContext(t.Context()); err != nil {
			t.Fatal(err)
		}
		<-started
		<-started
		end(f, l)
		for range 3 {
			// Tabs may also find that the connection is closed while it reads the register, which then has no deadline of its own.
			if err := <-ended; !errors.Is(err, gateways.ErrClosed) {
				t.Errorf("%s closed: %v", name, err)
			}
		}
		f.Close()
		f.Close()
		if _, err := f.Tabs(t.Context(), "acme", "ada"); !errors.Is(err, gateways.ErrClosed) {
			t.Errorf("%s closed before: %v", name, err)
		}
		if err := f.FollowAcks(t.Context(), func(gateways.Ack) {}); !errors.Is(err, gateways.ErrClosed) {
			t.Errorf("%s closed before: %v", name, err)
		}
		if _, err := f.Members(t.Context()); !errors.Is(err, gateways.ErrClosed) {
			t.Errorf("%s closed before: %v", name, err)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	l := connect(t, natstest.Start(t).URL())
	for name, change := range map[string]func(*gateways.Config){
		"no name":          func(c *gateways.Config) { c.Name = "" },
		"a long name":      func(c *gateways.Config) { c.Name = strings.Repeat("x", 257) },
		"a bad name":       func(c *gateways.Config) { c.Name = "a\nb" },
		"a bad version":    func(c *gateways.Config) { c.Version = "\x00" },
		"no tabs":          func(c *gateways.Config) { c.Tabs = nil },
		"negative renewal": func(c *gateways.Config) { c.Renewal = -1 },
		"negative acks":    func(c *gateways.Config) { c.MaxAcks = -1 },
	} {
		cfg := gateways.Config{Name: "a", Tabs: func(string, string) []gateways.Tab { return nil }}
		change(&cfg)
		if _, err := gateways.New(l.nc, l.kv, cfg); !errors.Is(err, gateways.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := gateways.New(nil, nil, gateways.Config{Name: "a", Tabs: func(string, string) []gateways.Tab { return nil }}); !errors.Is(err, gateways.ErrInvalid) {
		t.Errorf("no connection: %v", err)
	}
}
