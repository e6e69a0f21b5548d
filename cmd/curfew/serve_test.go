package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestServeReadsFileEnvironmentAndFlags(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "curfew.yaml")
	if err := os.WriteFile(file, []byte("listen: 127.0.0.1:0\nadmin_listen: \"\"\ndata_dir: nowhere\nledger:\n  sync_interval: 50ms\ndrain_window: 10ms\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CURFEW_CONFIG", file)
	t.Setenv("CURFEW_DATA_DIR", filepath.Join(dir, "from-environment"))
	out, stop := background(t, "serve", "--log-level", "warning")
	await(t, out, "first admin key written to "+filepath.Join(dir, "from-environment", "admin.key"))
	if code := stop(); code != exitDone {
		t.Errorf("exit code %d\n%s", code, out)
	}
	if strings.Contains(out.String(), "health and metrics") {
		t.Errorf("an admin listener although there is none:\n%s", out)
	}
}

func TestServeReportsEveryFault(t *testing.T) {
	_, stderr, code := command(t, "serve", "--listen", "0.0.0.0:7080", "--staleness-budget", "10ms", "--allowed-origins", "https://*.example.com")
	if code != exitUsage || !strings.Contains(stderr, "behind_proxy") || !strings.Contains(stderr, "staleness_budget") || !strings.Contains(stderr, "allowed_origins") {
		t.Errorf("exit code %d\n%s", code, stderr)
	}
}

// The ports of Curfew may be another's: it says by which flags to take others.
func TestServeOnAPortThatIsTaken(t *testing.T) {
	s := startServer(t)
	addr := strings.TrimPrefix(s.URL(), "http://")
	_, stderr, code := command(t, "serve", "--listen", addr, "--admin-listen", "", "--data-dir", t.TempDir(), "--ledger-sync-interval", "10s")
	if code != exitFailed || !strings.Contains(stderr, addr) || !strings.Contains(stderr, "hint: curfew serve --listen ") {
		t.Errorf("exit code %d\n%s", code, stderr)
	}
}
