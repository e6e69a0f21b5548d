package server_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
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

// TestCheckpointsByDefault: of two processes with all roles one makes them, into the file too that its configuration names, doctor tells, and a role that others have makes none.
func TestCheckpointsByDefault(t *testing.T) {
	srv := natstest.Start(t)
	b := natstest.Open(t, bus.Config{URL: srv.URL()})
	released(t, b, "audit")
	cfg := testConfig(t)
	cfg.NATS.URL, cfg.Audit.File = srv.URL(), filepath.Join(t.TempDir(), "checkpoints.ndjson")
	one := start(t, cfg)
	await(t, "the first is elected", func() bool { return metric(t, one, "curfew_audit_elected") == "1" })
	second := testConfig(t)
	second.NATS.URL = srv.URL()
	two := start(t, second)
	other := testConfig(t)
	other.NATS.URL, other.Roles = srv.URL(), []string{config.RoleGate}
	gate := start(t, other)
	revoke(t, one, "s1")
	await(t, "a checkpoint", func() bool { return metric(t, one, "curfew_audit_checkpoints_total") >= "1" })
	if f, ok := auditFinding(t, one); !ok || f.Status != "ok" || !strings.Contains(f.Detail, "checkpoint 1") {
		t.Errorf("%+v", f)
	}
	if f, ok := auditFinding(t, gate); ok {
		t.Errorf("a gate tells of checkpoints: %+v", f)
	}
	if metric(t, gate, "curfew_audit_elected") != "" || metric(t, one, "curfew_audit_elected") != "1" || metric(t, two, "curfew_audit_elected") != "0" {
		t.Error("who makes checkpoints isn't told, or both do")
	}
	if n := metric(t, two, "curfew_audit_checkpoints_total"); n != "" && n != "0" {
		t.Errorf("who isn't elected has made %s checkpoints", n)
	}
	await(t, "the checkpoint is in the file", func() bool {
		data, _ := os.ReadFile(cfg.Audit.File) // it comes
		return strings.HasPrefix(string(data), `{"number":1,`)
	})
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
