package gateways_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/gateways"
	"github.com/curfewhq/curfew/internal/natstest"
)

func logout() events.Event {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	return &events.ClientLoggedOut{
		Common: events.Common{ID: event, Time: now, Source: "test", Tenant: "acme", Reason: events.ReasonAdmin, Initiator: events.Initiator{Type: events.InitiatorAdmin}, ExpiresAt: now.Add(time.Hour)},
		Client: "app", Cutoff: now,
	}
}

func crowdOf(t *testing.T, f *gateways.Fleet, within time.Duration) gateways.CrowdAnswer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	a, err := f.Crowd(ctx, logout())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// Every gateway is asked the whole event, and one that can't tell is named.
func TestCrowd(t *testing.T) {
	srv := natstest.Start(t)
	crowds := map[string]gateways.Crowd{"a": {Tabs: 30, Users: 20, LoginWindowMS: 1_500}, "b": {Tabs: 1, Users: 1}, "c": {}}
	for name, c := range crowds {
		run(t, srv.URL(), name, func(cfg *gateways.Config) {
			cfg.Crowd = func(e events.Event) gateways.Crowd {
				if diff := cmp.Diff(logout(), e); diff != "" {
					t.Errorf("asked for another event (-want +got):\n%s", diff)
				}
				return c
			}
		})
	}
	f := fleetOf(t, connect(t, srv.URL()), gateways.FleetConfig{Settle: -1})
	var a gateways.CrowdAnswer
	eventually(t, "all answer", func() bool { a = crowdOf(t, f, patience); return len(a.Gateways) == 3 })
	got := map[string]gateways.Crowd{}
	for _, g := range a.Gateways {
		got[g.Name] = g.Crowd
	}
	if diff := cmp.Diff(crowds, got); diff != "" || !a.Complete() {
		t.Errorf("%+v (-want +got):\n%s", a, diff)
	}
	run(t, srv.URL(), "old")
	eventually(t, "one that can't tell is missing", func() bool {
		a = crowdOf(t, f, 500*time.Millisecond)
		return len(a.Missing) == 1 && a.Missing[0].Name == "old" && !a.Complete()
	})
	if _, err := f.Crowd(t.Context(), &events.ClientLoggedOut{}); !errors.Is(err, gateways.ErrInvalid) {
		t.Errorf("an event that isn't valid: %v", err)
	}
}

// What isn't in form is counted, answered nowhere else than where answers go, and believed from nobody.
func TestBadCrowd(t *testing.T) {
	srv := natstest.Start(t)
	g := run(t, srv.URL(), "a", func(cfg *gateways.Config) {
		cfg.Crowd = func(events.Event) gateways.Crowd { return gateways.Crowd{Tabs: 1, Users: 1} }
	})
	l := connect(t, srv.URL())
	elsewhere, err := l.nc.SubscribeSync("curfew.v1.acme.00.user")
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := events.Encode(logout())
	if err != nil {
		t.Fatal(err)
	}
	good := `{"v":1,"event":` + string(encoded) + `}`
	questions := []string{"", "{}", `{"v":1}`, `{"v":1,"event":{}}`, `{"v":2,"event":` + string(encoded) + `}`}
	for _, q := range questions {
		if err := l.nc.PublishRequest(bus.LiveCrowdTopic, bus.LiveAnswerTopic("token"), []byte(q)); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.nc.PublishRequest(bus.LiveCrowdTopic, "curfew.v1.acme.00.user", []byte(good)); err != nil {
		t.Fatal(err)
	}
	want := uint64(len(questions) + 1)
	eventually(t, "all are counted", func() bool { return g.Stats().Bad == want })
	if msg, err := elsewhere.NextMsg(10 * time.Millisecond); !errors.Is(err, nats.ErrTimeout) {
		t.Errorf("answered elsewhere: %v, %v", msg, err)
	}
	const liar = "00112233445566778899aabbccddeeff"
	if _, err := l.nc.Subscribe(bus.LiveCrowdTopic, func(m *nats.Msg) {
		for _, a := range []string{"", "{}", `{"tabs":1,"users":2}`, `{"tabs":-1,"users":-2}`, `{"tabs":1,"users":1,"login_window_ms":-1}`, `{"tabs":1,"users":1,"login_window_ms":99999999999}`} {
			if len(a) > 2 {
				a = `{"v":1,"gateway":"` + liar + `","name":"x",` + a[1:]
			}
			_ = m.Respond([]byte(a))
		}
	}); err != nil {
		t.Fatal(err)
	}
	if err := l.nc.Flush(); err != nil {
		t.Fatal(err)
	}
	f := fleetOf(t, l, gateways.FleetConfig{Settle: -1})
	eventually(t, "the liar is heard and not believed", func() bool {
		a := crowdOf(t, f, time.Second)
		return len(a.Gateways) == 1 && a.Gateways[0].Name == "a" && f.Stats().Bad >= 6
	})
}
