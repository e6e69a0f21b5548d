package server_test

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/curfewhq/curfew/cmd/curfew/server"
	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/services/publisher"
)

// A tenant's admin is told what is wrong with the process, and nothing by which another tenant's revocations could be counted, or that tells of machines.
func TestConsoleFindingsOfATenantsAdmin(t *testing.T) {
	s := start(t, testConfig(t))
	var stored publisher.Stored
	call(t, s, newKey(t, s, "globex", access.ScopePublish), http.MethodPost, "/v1/revocations", `{"scope":"session","session":"s"}`, &stored)
	findings := func(key string) (all server.Findings) {
		o := &operator{t: t, url: s.AdminURL(), client: &http.Client{Transport: &http.Transport{}}}
		defer o.client.CloseIdleConnections()
		resp := o.call(t.Context(), http.MethodPost, "/console/session", `{"key":"`+key+`"}`)
		defer func() { _ = resp.Body.Close() }()
		if resp.StatusCode != http.StatusOK || len(resp.Cookies()) != 1 {
			t.Fatalf("sign in: %d", resp.StatusCode)
		}
		o.cookie = resp.Cookies()[0].Name + "=" + resp.Cookies()[0].Value
		if status, body := o.get("/console/findings"); status != http.StatusOK || json.Unmarshal([]byte(body), &all) != nil || len(all.Findings) < 3 {
			t.Fatalf("%d %s", status, body)
		}
		return all
	}
	for _, f := range findings(newKey(t, s, "acme", access.ScopeAdmin)).Findings {
		if f.Name == "" || f.Status == "" || f.Detail != "" || f.Hint != "" {
			t.Errorf("the admin of acme is told %+v", f)
		}
	}
	for _, f := range findings(newKey(t, s, "acme", access.ScopeOperator)).Findings {
		if f.Detail == "" {
			t.Errorf("an operator is told %+v", f)
		}
	}
}
