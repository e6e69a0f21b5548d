package revocationgrpc_test

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/events/exposure"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationgrpc"
	"github.com/curfewhq/curfew/revocation/revocationtest"
)

// Calls and streams that pass are remembered by their methods; what is refused, and what is anonymous, isn't.
func TestPassesAreRemembered(t *testing.T) {
	feed := revocationtest.New()
	feed.Beat()
	replica, err := revocation.Open(t.Context(), revocation.Config{Feed: feed})
	if err != nil {
		t.Fatal(err)
	}
	defer replica.Close()
	passes, err := revocation.NewPasses(replica, revocation.PassesConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer passes.Close()
	g := newRig(t, revocationgrpc.Config{Passes: passes, Policy: revocationgrpc.Policy{AllowAnonymous: true}}, usual())
	if err := g.replica.WaitFor(within(t), g.logOut(t, "gone")); err != nil {
		t.Fatal(err)
	}
	for _, token := range []string{"s1 u1", "gone u1", "s1 u1", ""} {
		_, _ = g.say(as(within(t), token))
	}
	wantReceived(t, g.open(t, as(within(t), "s1 u1"), talk, "a"), "a")
	got := map[string][]string{}
	for _, sid := range []string{"s1", "gone"} {
		for _, pass := range passes.Answer(events.DefaultTenant, exposure.Question{Position: 1, Sessions: []string{sid}, UntilMS: math.MaxInt64}).Passes {
			got[sid] = append(got[sid], pass.Route)
		}
	}
	if diff := cmp.Diff(map[string][]string{"s1": {say, say, talk}}, got); diff != "" {
		t.Error(diff)
	}
}
