package audit_test

import (
	"bufio"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/app/apptest"
	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/chain"
	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/services/audit"
)

func get(t *testing.T, api *apptest.Server, path, key string) (status int, body string) {
	t.Helper()
	resp, answer := api.Call(t, key, http.MethodGet, "/v1/audit"+path, "")
	return resp.StatusCode, string(answer)
}

func TestCalls(t *testing.T) {
	r := newRig(t, natstest.Bus(t))
	svc := r.service()
	api := apptest.Serve(t, svc.Routes)
	_, operator := r.key("acme", access.ScopeRead, access.ScopeOperator)
	last := r.store(5)
	r.run(svc, r.signedUpTo(last))

	status, body := get(t, api, "", operator)
	var is audit.Status
	if err := json.Unmarshal([]byte(body), &is); err != nil || status != http.StatusOK || is.Ledger.First != 1 || is.Ledger.Last != last || is.LastCheckpoint != r.last().Number || len(is.Keys.Keys) != 1 || !is.Keys.Keys[0].IsPublic() {
		t.Errorf("%d %s", status, body)
	}
	if strings.Contains(body, `"d"`) {
		t.Error("the private half is told")
	}
	signed := []chain.Signed{}
	_, body = get(t, api, "/checkpoints", operator)
	for lines := bufio.NewScanner(strings.NewReader(body)); lines.Scan(); {
		var s chain.Signed
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
			t.Fatal(err)
		}
		signed = append(signed, s)
	}
	if diff := cmp.Diff(r.checkpoints(), signed); diff != "" {
		t.Error(diff)
	}
	if _, body := get(t, api, "/checkpoints?after=1", operator); strings.Count(body, "\n") != len(signed)-1 {
		t.Errorf("behind the first: %s", body)
	}
	_, body = get(t, api, "/entries?after=2", operator)
	var e audit.Entry
	if err := json.Unmarshal([]byte(body[:strings.IndexByte(body, '\n')]), &e); err != nil || strings.Count(body, "\n") != 3 {
		t.Fatalf("%v: %s", err, body)
	}
	raw, err := r.bus.EventAt(t.Context(), 3)
	if err != nil {
		t.Fatal(err)
	}
	if e.Position != 3 || !e.Stored.Equal(raw.Time) || e.Topic != raw.Subject || string(e.Data) != string(raw.Data) || e.Headers["Nats-Msg-Id"][0] != raw.Header.Get("Nats-Msg-Id") {
		t.Errorf("%+v\n%+v", e, raw)
	}
	for _, path := range []string{"?after=1", "/checkpoints?after=x", "/checkpoints?after=-1", "/entries?before=3", "/entries?after=1&after=2", "/entries?%zz"} {
		if status, body := get(t, api, path, operator); status != http.StatusBadRequest || !strings.Contains(body, "invalid_parameter") {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
}

// TestOperatorsAlone: the chain is over every tenant's events, so a tenant's own reader gets none of it.
func TestOperatorsAlone(t *testing.T) {
	r := newRig(t, natstest.Bus(t))
	api := apptest.Serve(t, r.service().Routes)
	r.store(1)
	_, reader := r.key("acme", access.ScopeRead, access.ScopeAdmin, access.ScopePublish)
	_, operator := r.key("acme", access.ScopeOperator)
	id, revoked := r.key("acme", access.ScopeRead, access.ScopeOperator)
	if _, err := r.api.Revoke(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"", "/checkpoints", "/entries"} {
		for _, tt := range []struct {
			key    string
			status int
		}{{reader, 403}, {operator, 403}, {revoked, 401}, {"", 401}} {
			if status, body := get(t, api, path, tt.key); status != tt.status || strings.Contains(body, "ada") {
				t.Errorf("%s: %d %s", path, status, body)
			}
		}
	}
}

func TestUnreadable(t *testing.T) {
	srv, b := external(t)
	r := newRig(t, b)
	api := apptest.Serve(t, r.service().Routes)
	_, operator := r.key("acme", access.ScopeRead, access.ScopeOperator)
	srv.Stop()
	for _, path := range []string{"", "/checkpoints", "/entries"} {
		if status, body := get(t, api, path, operator); status != http.StatusServiceUnavailable || !strings.Contains(body, "history_unavailable") {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
}

func TestNewNamesWhatIsMissing(t *testing.T) {
	_, err := audit.New(audit.Config{})
	for _, name := range []string{"Ledger", "Checkpoints", "Topic", "Stream", "Signer", "Keys", "Metrics", "Log"} {
		if err == nil || !strings.Contains(err.Error(), name+" is required") {
			t.Errorf("%s: %v", name, err)
		}
	}
	var _ audit.Stream = (*bus.Bus)(nil)
}
