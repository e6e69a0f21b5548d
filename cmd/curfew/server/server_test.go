package server_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"go.uber.org/goleak"

	"github.com/curfewhq/curfew/cmd/curfew/server"
	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/access/accesstest"
	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/config"
	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/internal/tlstest"
	"github.com/curfewhq/curfew/revocation"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func testConfig(t *testing.T) config.Config {
	t.Helper()
	cfg := config.Default()
	cfg.Listen, cfg.AdminListen, cfg.DataDir = "127.0.0.1:0", "127.0.0.1:0", filepath.Join(t.TempDir(), "data")
	cfg.Ledger.SyncInterval, cfg.DrainWindow = 10*time.Second, 10*time.Millisecond
	return cfg
}

func start(t *testing.T, cfg config.Config) *server.Server {
	t.Helper()
	s, err := try(t, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, s) })
	return s
}

func try(t *testing.T, cfg config.Config) (*server.Server, error) {
	t.Helper()
	log := logrus.New()
	log.SetOutput(io.Discard)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	return server.Start(ctx, cfg, server.Options{Log: log})
}

// A caller can watch the replica from before any service does.
func TestOnReplica(t *testing.T) {
	log := logrus.New()
	log.SetOutput(io.Discard)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var handed *revocation.Replica
	applied := make(chan string, 1)
	s, err := server.Start(ctx, testConfig(t), server.Options{Log: log, OnReplica: func(r *revocation.Replica) {
		handed = r
		r.OnApplied(func(a revocation.Applied) { applied <- a.Event.Meta().ID })
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, s) })
	if handed != s.Replica() {
		t.Errorf("handed %p, and the server's is %p", handed, s.Replica())
	}
	revoke(t, s, "s1")
	select {
	case <-applied:
	case <-ctx.Done():
		t.Error("what watches the replica was told of nothing")
	}
}

func stop(t *testing.T, s *server.Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := s.Stop(ctx); err != nil {
		t.Error(err)
	}
}

func get(t *testing.T, client *http.Client, url string) (status int, body string) {
	t.Helper()
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	client.CloseIdleConnections()
	return resp.StatusCode, string(b)
}

func newKey(t *testing.T, s *server.Server, tenant string, scopes ...access.Scope) string {
	t.Helper()
	_, text := accesstest.Key(t, s.Keys(), tenant, scopes...)
	return text
}

// sharedKey is newKey at one server, once the other one has heard of the key.
func sharedKey(t *testing.T, s, other *server.Server, tenant string, scopes ...access.Scope) string {
	t.Helper()
	key, text := accesstest.Key(t, s.Keys(), tenant, scopes...)
	await(t, "the key is known everywhere", func() bool { return other.Keys().Live(key.ID) })
	return text
}

// await waits for something that gives no signal of its own.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(40 * time.Second); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

func TestFirstKeyIsMadeOnceAndPrivate(t *testing.T) {
	cfg := testConfig(t)
	s := start(t, cfg)
	path := server.AdminKeyPath(cfg.DataDir)
	if s.AdminKeyFile() != path {
		t.Errorf("got %q, want %q", s.AdminKeyFile(), path)
	}
	for file, mode := range map[string]os.FileMode{path: 0o600, cfg.DataDir: 0o700} {
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v %v, want mode %o", file, info, err, mode)
		}
	}
	stop(t, s)
	again := start(t, cfg)
	if again.AdminKeyFile() != "" || len(again.Keys().List()) != 1 {
		t.Errorf("a second start made %q; %d keys", again.AdminKeyFile(), len(again.Keys().List()))
	}
}

// A leftover file that others may read isn't written to.
func TestFirstKeyReplacesAReadableFile(t *testing.T) {
	cfg := testConfig(t)
	if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(server.AdminKeyPath(cfg.DataDir), []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	start(t, cfg)
	if info, err := os.Stat(server.AdminKeyPath(cfg.DataDir)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v, want mode 0600", info, err)
	}
}

func TestHealthReadyMetrics(t *testing.T) {
	s := start(t, testConfig(t))
	if status, body := get(t, http.DefaultClient, s.AdminURL()+"/healthz"); status != 200 || !strings.Contains(body, "ok") {
		t.Errorf("healthz: %d %s", status, body)
	}
	if status, body := get(t, http.DefaultClient, s.AdminURL()+"/readyz"); status != 200 || !strings.Contains(body, `"ready":true`) {
		t.Errorf("readyz: %d %s", status, body)
	}
	_, body := get(t, http.DefaultClient, s.AdminURL()+"/metrics")
	for _, want := range []string{"curfew_replica_fresh 1", "curfew_beats_total", "curfew_bus_disconnects_total 0", "go_goroutines"} {
		if !strings.Contains(body, want) {
			t.Errorf("the metrics lack %q", want)
		}
	}
	if status, _ := get(t, http.DefaultClient, s.URL()+"/metrics"); status != 404 {
		t.Errorf("the API's listener shows metrics: %d", status)
	}
}

// A server whose NATS is gone isn't ready, answers no session as active once its budget is over, and is ready again by itself.
func TestReadyFollowsTheLedger(t *testing.T) {
	nats := natstest.Start(t)
	cfg := testConfig(t)
	cfg.NATS.URL = nats.URL()
	cfg.StalenessBudget, cfg.Ledger.BeatInterval = time.Second, 250*time.Millisecond
	s := start(t, cfg)
	wait := func(want bool) server.Readiness {
		t.Helper()
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		deadline := time.After(30 * time.Second)
		for {
			var r server.Readiness
			_, body := get(t, http.DefaultClient, s.AdminURL()+"/readyz")
			if err := json.Unmarshal([]byte(body), &r); err != nil {
				t.Fatal(err)
			}
			if r.Ready == want {
				return r
			}
			select {
			case <-tick.C:
			case <-deadline:
				t.Fatalf("readiness stays %+v", r)
			}
		}
	}
	wait(true)
	nats.Stop()
	r := wait(false)
	if r.Checks["ledger_write"] == "ok" && r.Checks["replica"] == "ok" {
		t.Errorf("not ready without a reason: %+v", r)
	}
	if status, body := get(t, http.DefaultClient, s.AdminURL()+"/healthz"); status != 200 {
		t.Errorf("healthz goes with NATS, so an orchestrator would restart what a restart can't mend: %d %s", status, body)
	}
	nats.Restart()
	wait(true)

	// Keys that are made elsewhere after the interruption must be known here too: what follows them has survived it.
	other := cfg
	other.DataDir, other.AdminListen = t.TempDir(), ""
	sharedKey(t, start(t, other), s, "default", access.Scopes()...)
}

func TestStartRefusesARetentionBelowMaxAge(t *testing.T) {
	cfg := testConfig(t)
	b := natstest.Start(t)
	cfg.NATS.URL = b.URL()
	other, err := bus.Open(t.Context(), bus.Config{URL: b.URL(), Retention: 2 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	if err := other.EnsureStreams(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := try(t, cfg); err == nil || !strings.Contains(strings.ToLower(err.Error()), "retention") && !strings.Contains(err.Error(), "MaxAge") && !strings.Contains(err.Error(), "max_age") {
		t.Errorf("got %v, want a refusal that names the retention", err)
	}
}

func TestTLS(t *testing.T) {
	cfg := testConfig(t)
	var pool *x509.CertPool
	cfg.TLSCertFile, cfg.TLSKeyFile, pool = tlstest.Certificate(t)
	s := start(t, cfg)
	if !strings.HasPrefix(s.URL(), "https://") {
		t.Errorf("got %s", s.URL())
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	if status, body := get(t, client, s.URL()+"/v1/revocations"); status != 401 || !strings.Contains(body, "api_key_missing") {
		t.Errorf("got %d %s", status, body)
	}
}
