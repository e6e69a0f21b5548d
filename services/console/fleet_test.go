package console_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/curfewhq/curfew/events/presence"
	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/services/console"
)

// Whoever reports is shown with what it says of itself, and by name to operators alone.
func TestFleet(t *testing.T) {
	r := newRig(t, nil)
	_, operator := r.key(t, "default", access.Scopes()...)
	_, admin := r.key(t, "acme", access.ScopeAdmin)
	report, err := presence.EncodeReport(presence.Report{ID: "aaaaaaaa1", Name: "billing-7", Group: "billing", Version: "v1.2", Stream: "s", Position: 42, Fresh: true, StalenessMS: 300, BudgetMS: 15_000})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.bus.Conn().Publish(presence.ReportsTopic, report); err != nil {
		t.Fatal(err)
	}
	var told struct{ Members []console.Member }
	asOperator := r.signIn(t, operator)
	eventually(t, "it is heard", func() bool {
		_, body := r.call(t, http.MethodGet, "/console/fleet", "", "Cookie", asOperator)
		if err := json.Unmarshal([]byte(body), &told); err != nil {
			t.Fatalf("%v in %s", err, body)
		}
		return len(told.Members) == 1
	})
	got := told.Members[0]
	if since := time.Since(got.HeardAt); since < 0 || since > time.Minute || !got.FailsClosedAt.Equal(got.HeardAt.Add(16*time.Second)) {
		t.Errorf("heard %v ago, fails closed at %v", since, got.FailsClosedAt)
	}
	got.HeardAt, got.FailsClosedAt = time.Time{}, time.Time{}
	want := console.Member{ID: "aaaaaaaa1", Name: "billing-7", Group: "billing", Version: "v1.2", Position: 42, Fresh: true, StalenessMS: 300, BudgetMS: 15_000, LeaseMS: 16_000}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	told.Members = nil
	_, body := r.call(t, http.MethodGet, "/console/fleet", "", "Cookie", r.signIn(t, admin))
	if err := json.Unmarshal([]byte(body), &told); err != nil {
		t.Fatal(err)
	}
	if m := told.Members[0]; m.ID != "1" || m.Name != "1" || m.Group+m.Version != "" || m.Position != 42 {
		t.Errorf("an admin is told %s", body)
	}
}

// What is measured is of all tenants together: a tenant's admin isn't told it.
func TestMeasuresAreForOperators(t *testing.T) {
	r := newRig(t, nil)
	_, operator := r.key(t, "default", access.Scopes()...)
	_, admin := r.key(t, "acme", access.ScopeAdmin, access.ScopeRead)
	for key, want := range map[string]int{operator: http.StatusOK, admin: http.StatusForbidden} {
		if resp, body := r.call(t, http.MethodGet, "/console/metrics", "", "Cookie", r.signIn(t, key)); resp.StatusCode != want {
			t.Errorf("got %d, want %d: %s", resp.StatusCode, want, body)
		}
	}
}
