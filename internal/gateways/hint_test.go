package gateways_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/gateways"
	"github.com/curfewhq/curfew/internal/natstest"
)

// A hint reaches all gateways that take hints, as it was; what isn't in form is counted and goes no further.
func TestTell(t *testing.T) {
	srv := natstest.Start(t)
	heard := make(chan gateways.Hint, 20)
	take := func(cfg *gateways.Config) { cfg.Hint = func(h gateways.Hint) { heard <- h } }
	one := run(t, srv.URL(), "one", take)
	run(t, srv.URL(), "other", take)
	none := run(t, srv.URL(), "none")
	at := time.Date(2026, 8, 4, 9, 30, 0, 250_000_000, time.UTC)
	expiring := gateways.Hint{Kind: gateways.HintExpiring, Tenant: "acme", User: "ada", Session: "s-1", Reason: events.ReasonIdleTimeout, At: at}
	without := func(change func(*gateways.Hint)) gateways.Hint { h := expiring; change(&h); return h }
	for _, bad := range []gateways.Hint{
		{}, without(func(h *gateways.Hint) { h.Tenant = "*" }), without(func(h *gateways.Hint) { h.User = "" }), without(func(h *gateways.Hint) { h.Session = "" }),
		without(func(h *gateways.Hint) { h.At = time.Time{} }), without(func(h *gateways.Hint) { h.Reason = events.ReasonAdmin }), without(func(h *gateways.Hint) { h.Kind = "logout" }),
		{Kind: gateways.HintRenewed, Tenant: "acme", User: "ada"},
	} {
		if err := gateways.Tell(none.nc, bad); !errors.Is(err, gateways.ErrInvalid) {
			t.Errorf("%+v: %v, want ErrInvalid", bad, err)
		}
	}
	for _, bad := range []string{``, `{`, `{"v":2,"kind":"changed","tenant":"acme","user":"ada"}`, `{"v":1,"kind":"logout","tenant":"acme","user":"ada","session":"s"}`} {
		if err := none.nc.Publish(bus.LiveHintsTopic, []byte(bad)); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []gateways.Hint{
		expiring, {Kind: gateways.HintRenewed, Tenant: "acme", User: "ada", Session: "s-1"}, {Kind: gateways.HintChanged, Tenant: "default", User: "用户"},
	} {
		if err := gateways.Tell(none.nc, want); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			select {
			case got := <-heard:
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			case <-time.After(patience):
				t.Fatal("nothing was heard")
			}
		}
	}
	if n := one.Stats().Bad; n != 4 {
		t.Errorf("%d are counted as bad, want 4", n)
	}
}
