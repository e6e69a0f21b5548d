package fanout

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/curfewhq/curfew/internal/gateways"
)

// TestHintsReachWhomTheyConcern: a warning, and its end, are for the tabs of one session; that there are other sessions now is for all of the user's. Another user's tabs, and another tenant's user of
// the same name with a session of the same name, hear nothing.
func TestHintsReachWhomTheyConcern(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, nil)
		elsewhere := who("ann", "s1")
		elsewhere.Tenant = "globex"
		tabs := map[string]*seen{
			"first": watch(g.open(who("ann", "s1"))), "second": watch(g.open(who("ann", "s1"))), "other session": watch(g.open(who("ann", "s2"))),
			"other user": watch(g.open(who("bob", "s3"))), "other tenant": watch(g.open(elsewhere)),
		}
		for _, tt := range []struct {
			hint gateways.Hint
			want map[string][]string
		}{
			{gateways.Hint{Kind: gateways.HintExpiring, Tenant: tenant, User: "ann", Session: "s1", Reason: "idle_timeout", At: time.Now().Add(time.Minute)},
				map[string][]string{"first": {"session_expiring"}, "second": {"session_expiring"}}},
			{gateways.Hint{Kind: gateways.HintRenewed, Tenant: tenant, User: "ann", Session: "s1"}, map[string][]string{"first": {"session_renewed"}, "second": {"session_renewed"}}},
			{gateways.Hint{Kind: gateways.HintChanged, Tenant: tenant, User: "ann"},
				map[string][]string{"first": {"sessions_changed"}, "second": {"sessions_changed"}, "other session": {"sessions_changed"}}},
			// Whose session it is is told by its user's name as well.
			{gateways.Hint{Kind: gateways.HintRenewed, Tenant: tenant, User: "bob", Session: "s1"}, map[string][]string{}},
			{gateways.Hint{Kind: gateways.HintChanged, Tenant: tenant, User: "nobody"}, map[string][]string{}},
		} {
			g.svc.Hint(tt.hint)
			synctest.Wait()
			got := map[string][]string{}
			for name, tab := range tabs {
				if frames := tab.take(); len(frames) > 0 {
					got[name] = frames
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("%s for %s (-want +got):\n%s", tt.hint.Kind, tt.hint.User, diff)
			}
		}
	})
}

// TestBurstOfHints: hints come in a burst, as from who may write to NATS, or where a session is warned of by processes with different settings. A healthy tab isn't closed for it.
func TestBurstOfHints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, nil)
		s := who("ann", "s1")
		tab := watch(g.open(s))
		for range 2 * maxQueued {
			g.svc.Hint(gateways.Hint{Kind: gateways.HintExpiring, Tenant: s.Tenant, User: s.User, Session: s.ID, Reason: "idle_timeout", At: time.Now().Add(time.Minute)})
		}
		synctest.Wait()
		if g.svc.Open() != 1 || g.closed("1013") != 0 {
			t.Errorf("%v conns closed with 1013, %d left; got %d frames", g.closed("1013"), g.svc.Open(), len(tab.take()))
		}
	})
}
