package fanout

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/gateways"
)

// A crowd is the tabs that an event would end and nothing has ended yet, and the people they are of.
func TestCrowd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, func(c *Config) { c.LoginRate = 1 })
		began := time.Now()
		for i := range 3 {
			s := who("ann", fmt.Sprint("a", i))
			s.Client = "app"
			g.open(s)
		}
		bob := who("bob", "b0")
		bob.Client, bob.Device = "app", "phone"
		g.open(bob)
		g.open(who("cay", "c0"))
		cutoff := time.Now()
		check := func(name string, e events.Event, want gateways.Crowd) {
			t.Helper()
			if diff := cmp.Diff(want, g.svc.Crowd(e)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
		}
		tenantWide := &events.TenantLoggedOut{Common: common(""), Cutoff: cutoff}
		check("tenant", tenantWide, gateways.Crowd{Tabs: 5, Users: 3, LoginWindowMS: 5_000})
		check("client", &events.ClientLoggedOut{Common: common(""), Client: "app", Cutoff: cutoff}, gateways.Crowd{Tabs: 4, Users: 2, LoginWindowMS: 4_000})
		check("device", &events.DeviceLoggedOut{Common: common(""), Device: "phone", Cutoff: cutoff}, gateways.Crowd{Tabs: 1, Users: 1, LoginWindowMS: 1_000})
		check("user", &events.UserLoggedOutEverywhere{Common: common(""), User: "ann", Cutoff: cutoff, Except: []string{"a1"}}, gateways.Crowd{Tabs: 2, Users: 1, LoginWindowMS: 2_000})
		check("session", &events.SessionRevoked{Common: common(""), Session: "c0"}, gateways.Crowd{Tabs: 1, Users: 1, LoginWindowMS: 1_000})
		check("a cutoff before all", &events.TenantLoggedOut{Common: common(""), Cutoff: began.Add(-24 * time.Hour)}, gateways.Crowd{})
		elsewhere := &events.TenantLoggedOut{Common: common(""), Cutoff: cutoff}
		elsewhere.Tenant = "globex"
		check("another tenant", elsewhere, gateways.Crowd{})
		if len(g.svc.hub.All()) != 5 {
			t.Error("asking has ended somebody")
		}
		g.publish(&events.SessionRevoked{Common: common(""), Session: "c0"})
		synctest.Wait()
		check("what is over already", tenantWide, gateways.Crowd{Tabs: 4, Users: 2, LoginWindowMS: 4_000})
	})
}

func TestLoginWindow(t *testing.T) {
	for _, test := range []struct {
		rate, tabs int
		want       time.Duration
	}{
		{500, 0, 0}, {500, 499, 0}, {500, 500, time.Second}, {500, 19_000, 38 * time.Second}, {10, 19_000, maxLoginWindow}, {-1, 19_000, 0}, {1, 1 << 30, maxLoginWindow},
	} {
		s := &Service{cfg: Config{LoginRate: test.rate}}
		if got := s.loginWindow(test.tabs); got != test.want {
			t.Errorf("%d tabs at %d/s: %v, want %v", test.tabs, test.rate, got, test.want)
		}
	}
}
