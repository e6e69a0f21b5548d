package main

import (
	"strings"
	"testing"
	"time"

	"github.com/curfewhq/curfew/internal/gateways"
	"github.com/curfewhq/curfew/internal/replicas"
	"github.com/curfewhq/curfew/services/replay"
)

// TestExplainNamesWhoLacksIt: of a session that is over, replicas that don't know, that can't tell and that are silent are named each with what to do, and so is a gateway that may have more tabs.
func TestExplainNamesWhoLacksIt(t *testing.T) {
	since := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	e := replay.Explanation{
		State: "revoked",
		Replicas: &replicas.Survey{
			Replicas: []replicas.Answer{
				{Name: "knows", State: "revoked", Position: 9, Fresh: true}, {Name: "lacks-it", State: "active", Position: 7, Fresh: true}, {Name: "stale", State: "undetermined", Position: 5, StalenessMS: 21_000},
			},
			Silent: []replicas.SilentReplica{{Name: "gone", Position: 4, LeaseEnded: true, FailsClosedSince: since}, {Name: "slow", Position: 8, Heard: since}},
		},
		Tabs: &gateways.UserTabs{User: "ada", Answer: gateways.Answer{
			Gateways: []gateways.GatewayTabs{{Name: "gw", Tabs: []gateways.Tab{{Session: "s-1"}, {Session: "s-2"}}}}, Missing: []gateways.Member{{Name: "gw-2"}},
		}},
	}
	said := map[string]string{}
	for _, f := range (&patient{session: "s-1", user: "ada"}).aroundOf(e) {
		said[f.Name] = f.Status + " " + f.Detail + " " + f.Hint
	}
	for name, want := range map[string]string{
		"replica lacks-it": "fail doesn't know: it says active at position 7", "replica stale": "fail stale: position 5, proof 21.0 s old", "replica gone": "it fails closed since 2026-11-28T12:00:00.000Z",
		"replica slow": "doesn't answer: it was at position 8", "replicas": "answers: 3; know that it is over: 1", "tabs": "warn 1 of the session's are open, of 2 of the user's some gateways haven't answered",
	} {
		if !strings.Contains(said[name], want) {
			t.Errorf("%s: %q, want %q", name, said[name], want)
		}
	}
	if said["replica knows"] != "" || len(said) != 6 {
		t.Errorf("%q", said)
	}
	// Whoever can't be asked isn't taken for nobody.
	none := (&patient{session: "s-1", user: "ada"}).aroundOf(replay.Explanation{State: "revoked"})
	if len(none) != 2 || none[0].Status != "warn" || none[1].Status != "warn" {
		t.Errorf("%+v", none)
	}
}
