package server_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/curfewhq/curfew/cmd/curfew/server"
	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/config"
	"github.com/curfewhq/curfew/internal/natstest"
)

func auditFinding(t *testing.T, s *server.Server) (server.Finding, bool) {
	t.Helper()
	_, body := get(t, http.DefaultClient, s.AdminURL()+"/doctor")
	var all server.Findings
	if err := json.Unmarshal([]byte(body), &all); err != nil {
		t.Fatal(err)
	}
	for _, f := range all.Findings {
		if f.Name == "audit" {
			return f, true
		}
	}
	return server.Finding{}, false
}

// TestCheckpointsByDefault: a process with all roles makes them, one of two does, doctor tells, and a role that others have makes none.
func TestCheckpointsByDefault(t *testing.T) {
	srv := natstest.Start(t)
	b := natstest.Open(t, bus.Config{URL: srv.URL()})
	released(t, b, "audit")
	cfg := testConfig(t)
	cfg.NATS.URL = srv.URL()
	one := start(t, cfg)
	other := testConfig(t)
	other.NATS.URL, other.Roles = srv.URL(), []string{config.RoleGate}
	gate := start(t, other)
	revoke(t, one, "s1")
	awaitMetric(t, "a checkpoint", func() bool { return metric(t, one, "curfew_audit_checkpoints_total") >= "1" })
	if f, ok := auditFinding(t, one); !ok || f.Status != "ok" || !strings.Contains(f.Detail, "checkpoint 1") {
		t.Errorf("%+v", f)
	}
	if f, ok := auditFinding(t, gate); ok {
		t.Errorf("a gate tells of checkpoints: %+v", f)
	}
	if metric(t, gate, "curfew_audit_elected") != "" || metric(t, one, "curfew_audit_elected") != "1" {
		t.Error("who makes checkpoints isn't told")
	}
	// Whatever somebody puts there, doctor says so.
	_, number, err := b.LastCheckpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := b.AppendCheckpoint(t.Context(), []byte("forged"), number); err != nil {
		t.Fatal(err)
	}
	if f, _ := auditFinding(t, one); f.Status != "warn" || !strings.Contains(f.Hint, "curfew audit verify") {
		t.Errorf("%+v", f)
	}
}
