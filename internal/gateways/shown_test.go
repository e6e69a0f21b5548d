package gateways_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/gateways"
	"github.com/curfewhq/curfew/internal/natstest"
)

const event = "01980b5c-58d4-7cc1-8a2b-1f0e9d3c4b5a"

func TestShown(t *testing.T) {
	srv := natstest.Start(t)
	shown := map[string]gateways.Shown{"a": {Told: 3, SignedOut: 1, Already: 1, Gone: 1}, "b": {Behind: true}, "c": {}}
	for name, s := range shown {
		run(t, srv.URL(), name, func(c *gateways.Config) {
			c.Shown = func(id string, position uint64) gateways.Shown {
				if id != event || position != 7 {
					t.Errorf("asked for %s at %d", id, position)
				}
				return s
			}
		})
	}
	l := connect(t, srv.URL())
	f := gateways.NewFleet(l.nc, l.kv, gateways.FleetConfig{Settle: -1})
	t.Cleanup(f.Close)
	ask := func() gateways.ShownAnswer {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		a, err := f.Shown(ctx, event, 7)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	var a gateways.ShownAnswer
	for deadline := time.Now().Add(patience); len(a.Gateways) < 3 && time.Now().Before(deadline); {
		a = ask()
	}
	got := map[string]gateways.Shown{}
	for _, g := range a.Gateways {
		got[g.Name] = g.Shown
	}
	if diff := cmp.Diff(shown, got); diff != "" || len(a.Missing) > 0 || a.MembersUnknown {
		t.Errorf("missing %v, unknown %t (-want +got):\n%s", a.Missing, a.MembersUnknown, diff)
	}
	if w := shown["a"].Waiting(); w != 0 {
		t.Errorf("%d wait, want none", w)
	}
	// A gateway of an earlier version doesn't answer this: it is missing.
	run(t, srv.URL(), "old")
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	for len(a.Missing) == 0 && ctx.Err() == nil {
		var err error
		if a, err = f.Shown(ctx, event, 7); err != nil {
			t.Fatal(err)
		}
	}
	if len(a.Missing) != 1 || a.Missing[0].Name != "old" {
		t.Errorf("missing are %v", a.Missing)
	}
	for _, bad := range []string{"", "e-1", strings.Repeat("a", 36)} {
		if _, err := f.Shown(t.Context(), bad, 7); !errors.Is(err, gateways.ErrInvalid) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// What isn't in form is counted, answered nowhere else than where answers go, and believed from nobody.
func TestBadShown(t *testing.T) {
	srv := natstest.Start(t)
	g := run(t, srv.URL(), "a", func(c *gateways.Config) {
		c.Shown = func(string, uint64) gateways.Shown { return gateways.Shown{Told: 1} }
	})
	l := connect(t, srv.URL())
	elsewhere, err := l.nc.SubscribeSync("curfew.v1.acme.00.user")
	if err != nil {
		t.Fatal(err)
	}
	good := `{"v":1,"event":"` + event + `","position":7}`
	questions := []string{"", "{}", `{"v":2,"event":"` + event + `","position":7}`, `{"v":1,"event":"x","position":7}`, `{"v":1,"event":"` + event + `"}`}
	for _, q := range questions {
		if err := l.nc.PublishRequest(bus.LiveShownTopic, bus.LiveAnswerTopic("token"), []byte(q)); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.nc.PublishRequest(bus.LiveShownTopic, "curfew.v1.acme.00.user", []byte(good)); err != nil {
		t.Fatal(err)
	}
	want := uint64(len(questions) + 1)
	eventually(t, "all are counted", func() bool { return g.Stats().Bad == want })
	if msg, err := elsewhere.NextMsg(10 * time.Millisecond); !errors.Is(err, nats.ErrTimeout) {
		t.Errorf("answered elsewhere: %v, %v", msg, err)
	}
	f := gateways.NewFleet(l.nc, l.kv, gateways.FleetConfig{Settle: -1})
	t.Cleanup(f.Close)
	const liar = "00112233445566778899aabbccddeeff"
	if _, err := l.nc.Subscribe(bus.LiveShownTopic, func(m *nats.Msg) {
		for _, a := range []string{"", "{}", `{"v":1,"gateway":"` + liar + `","name":"x","told":1,"gone":2}`, `{"v":1,"gateway":"` + liar + `","name":"x","told":-1}`, `{"v":1,"gateway":"x","name":"x"}`} {
			_ = m.Respond([]byte(a))
		}
	}); err != nil {
		t.Fatal(err)
	}
	if err := l.nc.Flush(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the liar is heard and not believed", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		a, err := f.Shown(ctx, event, 7)
		return err == nil && len(a.Gateways) == 1 && a.Gateways[0].Name == "a" && f.Stats().Bad >= 5
	})
}
