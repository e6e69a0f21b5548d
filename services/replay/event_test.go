package replay_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/services/replay"
)

func TestEvent(t *testing.T) {
	d := archive(t)
	third := d.get(t, d.other, "/v1/revocations/3")
	var r replay.Record
	if err := json.Unmarshal(third.body, &r); err != nil || third.status != 200 || r.Position != 3 {
		t.Fatalf("%d %s", third.status, third.body)
	}
	e, err := events.Decode(r.Event)
	if err != nil {
		t.Fatal(err)
	}
	id := e.Meta().ID
	for _, test := range []struct {
		name, key, path string
		status          int
		position        uint64
	}{
		{"by position", d.key, "8", 200, 8},
		{"by id", d.other, id, 200, 3},
		{"another tenant's position", d.key, "3", 404, 0},
		{"another tenant's id", d.key, id, 404, 0},
		{"an operator names the tenant", d.operator, id + "?tenant=globex", 200, 3},
		{"an operator asks all", d.operator, "3?tenant=*", 200, 3},
		{"behind the head", d.key, "9", 404, 0},
		{"an id that is none's", d.key, "019873c2-6f2b-7c3a-9d54-0a1b2c3d4e5f", 404, 0},
		{"zero", d.key, "0", 400, 0},
		{"neither", d.key, "PLANTED", 400, 0},
		{"in capitals", d.key, "019873C2-6F2B-7C3A-9D54-0A1B2C3D4E5F", 400, 0},
		{"with a page's parameter", d.key, "8?limit=1", 400, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := d.get(t, test.key, "/v1/revocations/"+test.path)
			var r replay.Record
			if err := json.Unmarshal(got.body, &r); err != nil {
				t.Fatal(err)
			}
			if got.status != test.status || r.Position != test.position {
				t.Errorf("got %d %s", got.status, got.body)
			}
		})
	}
}

func TestStats(t *testing.T) {
	d := archive(t)
	stats := func(key, query string) (s replay.Stats) {
		t.Helper()
		got := d.get(t, key, "/v1/revocations/stats?"+query)
		if err := json.Unmarshal(got.body, &s); err != nil || got.status != 200 {
			t.Fatalf("%d %s", got.status, got.body)
		}
		return s
	}
	got := stats(d.operator, "tenant=*")
	if got.FirstStored.IsZero() || got.LastStored.Before(got.FirstStored) {
		t.Errorf("from %v to %v", got.FirstStored, got.LastStored)
	}

	want := replay.Stats{
		Events: 8, Replayed: 1, First: 1, Last: 8, FirstStored: got.FirstStored, LastStored: got.LastStored,
		Scopes:     map[events.Kind]uint64{events.KindSession: 4, events.KindUser: 1, events.KindDevice: 1, events.KindClient: 1, events.KindTenant: 1},
		Reasons:    map[events.Reason]uint64{events.ReasonAdmin: 7, events.ReasonCompromised: 1},
		Initiators: map[events.InitiatorType]uint64{events.InitiatorAdmin: 7, events.InitiatorPolicy: 1},
		Tenants:    map[string]uint64{"acme": 7, "globex": 1},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got := stats(d.key, "user=PLANTED%20bob"); got.Events != 2 || got.First != 4 || got.Last != 8 || got.Tenants["globex"] != 0 {
		t.Errorf("%+v", got)
	}
	if got := stats(d.key, "before=1"); got.Events != 0 || got.Scopes == nil {
		t.Errorf("%+v", got)
	}
}

func TestScopes(t *testing.T) {
	d := newDesk(t, natstest.Bus(t))
	publish := d.newKey(t, "acme", access.ScopePublish, access.ScopeCheck, access.ScopeSessions, access.ScopeAdmin, access.ScopeOperator)
	for _, path := range []string{"", "/stats", "/1"} {
		if got := d.get(t, publish, "/v1/revocations"+path); got.status != 403 {
			t.Errorf("%q without the scope read: %d", path, got.status)
		}
		if got := d.get(t, "", "/v1/revocations"+path); got.status != 401 {
			t.Errorf("%q without a key: %d", path, got.status)
		}
	}
}
