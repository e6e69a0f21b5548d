package server_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/services/publisher"
	"github.com/curfewhq/curfew/services/replay"
)

// An explanation tells who has it: what the replicas of all processes say of the session, by name to operators alone, and which of its user's tabs are open at which gateway. Of the past it tells neither.
func TestExplainTellsWhoHasIt(t *testing.T) {
	srv := natstest.Start(t)
	cfg := testConfig(t)
	cfg.NATS.URL = srv.URL()
	a := start(t, cfg)
	cfg.DataDir = t.TempDir()
	b := start(t, cfg)
	own, operator := newKey(t, a, "default", access.ScopePublish, access.ScopeRead), newKey(t, a, "globex", access.ScopeRead, access.ScopeOperator)
	await(t, "b knows the keys", func() bool {
		status, _ := answerOf(t, b, operator, http.MethodGet, "/v1/replays", "")
		return status == http.StatusOK
	})
	openTab(t, a, own, "s-1")
	openTab(t, b, own, "s-2")
	answers(t, openTab(t, b, own, "s-1"), "signed_out")
	states := func(e replay.Explanation) (all []string) {
		for _, r := range e.Replicas.Replicas {
			all = append(all, r.State)
		}
		return all
	}
	tabs := func(e replay.Explanation) (sessions []string) {
		for _, g := range e.Tabs.Gateways {
			for _, tab := range g.Tabs {
				sessions = append(sessions, tab.Session)
			}
		}
		return sessions
	}
	path := "/v1/explain?session=s-1&user=ann&auth_time=" + time.Now().Add(-time.Minute).UTC().Format(time.RFC3339)
	var e replay.Explanation
	await(t, "both gateways are known", func() bool {
		e = replay.Explanation{}
		call(t, a, own, http.MethodGet, path, "", &e)
		return e.Tabs != nil && e.Tabs.Complete && len(e.Tabs.Gateways) == 2 && len(e.Replicas.Replicas) == 2
	})
	if got := states(e); !cmp.Equal([]string{"active", "active"}, got) || e.Replicas.Replicas[0].Name != "1" || e.Replicas.Replicas[0].Group != "" {
		t.Errorf("before, to a tenant's own key: %+v", e.Replicas)
	}
	if got := tabs(e); len(got) != 3 {
		t.Errorf("tabs of %v are open", got)
	}
	call(t, a, own, http.MethodPost, "/v1/revocations?wait=shown&timeout=10s", `{"scope":"session","session":"s-1","user":"ann"}`, &publisher.Stored{})
	e = replay.Explanation{}
	call(t, b, operator, http.MethodGet, path+"&tenant=default", "", &e)
	if got := states(e); e.State != "revoked" || !cmp.Equal([]string{"revoked", "revoked"}, got) || e.Replicas.Replicas[0].EventPosition != e.Event.Position {
		t.Errorf("since: %s, and replicas say %+v", e.State, e.Replicas)
	}
	if r := e.Replicas.Replicas[0]; r.Group != "curfew" || r.Name == "1" || r.Position < e.Event.Position || len(e.Replicas.Silent) > 0 {
		t.Errorf("to an operator: %+v", e.Replicas)
	}
	await(t, "the session's tabs are gone", func() bool {
		e = replay.Explanation{}
		call(t, b, operator, http.MethodGet, path+"&tenant=default", "", &e)
		return cmp.Equal([]string{"s-2"}, tabs(e))
	})
	var other, past replay.Explanation
	call(t, a, operator, http.MethodGet, path, "", &other)
	if got := tabs(other); len(got) > 0 || cmp.Equal([]string{"revoked", "revoked"}, states(other)) {
		t.Errorf("another tenant's user of the same name: tabs of %v, replicas %+v", got, other.Replicas)
	}
	call(t, a, own, http.MethodGet, path+"&at=0s", "", &past)
	if past.State != "revoked" || past.Replicas != nil || past.Tabs != nil {
		t.Errorf("as of a moment: %+v", past)
	}
}
