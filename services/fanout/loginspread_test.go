package fanout

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/events/tab"
	"github.com/curfewhq/curfew/internal/tabclient"
)

// Trap 37: a mass logout ends every session at once, and sends no more pages a second to the sign-in page than it may, one after the other.
func TestMassIsSpread(t *testing.T) {
	const tabs, rate = 120, 40
	for _, test := range []struct {
		name string
		rate int
		want time.Duration
	}{{"spread", rate, tabs * time.Second / rate}, {"few for the rate", 500, 0}, {"all at once", -1, 0}} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newRig(t, func(c *Config) { c.LoginRate = test.rate })
				var conns []*tabclient.Conn
				for i := range tabs {
					conns = append(conns, g.open(who(fmt.Sprint("user-", i), fmt.Sprint("session-", i))))
				}
				e := &events.TenantLoggedOut{Common: common("bye"), Cutoff: time.Now()}
				if c := g.svc.Crowd(e); c.LoginWindowMS != test.want.Milliseconds() || c.Tabs != tabs {
					t.Errorf("the crowd is %+v, want a window of %v", c, test.want)
				}
				began := time.Now()
				g.publish(e)
				var after []time.Duration
				for _, c := range conns {
					f, err := c.Next(t.Context())
					if err != nil || f.Type != tab.TypeLogout || f.ID != e.ID || f.Message != "bye" {
						t.Fatalf("got %+v, %v", f, err)
					}
					after = append(after, time.Duration(f.LoginAfterMS)*time.Millisecond)
				}
				if took := time.Since(began); took > time.Second {
					t.Errorf("the sessions were ended over %v", took)
				}
				slices.Sort(after)
				if last := after[len(after)-1]; last > test.want || test.want > 0 && last < test.want-200*time.Millisecond {
					t.Errorf("the last one waits for %v, want about %v", last, test.want)
				}
				for i := range after {
					if in := after[i:]; test.want > 0 && len(in) > rate+rate/5 && in[rate+rate/5]-in[0] < time.Second {
						t.Fatalf("more than %d tabs in the second from %v: %v", rate, in[0], in[:rate+rate/5+1])
					}
				}
			})
		})
	}
}

func TestSpreadIsBounded(t *testing.T) {
	s := newLoginSpread(logoutBy(&events.TenantLoggedOut{Common: common("")}), maxLoginWindow, 10)
	if len(s.slots) != maxSlots {
		t.Errorf("%d slots", len(s.slots))
	}
	for range 20 {
		if after := s.next().after; after >= maxLoginWindow.Milliseconds() {
			t.Errorf("one waits for %d ms", after)
		}
	}
	var none loginSpread
	if none.next().after != 0 {
		t.Error("without a window one waits")
	}
}
