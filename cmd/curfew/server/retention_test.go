package server_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"

	"github.com/curfewhq/curfew/cmd/curfew/server"
	"github.com/curfewhq/curfew/internal/bus"
)

// Trap 12: the ledger's retention is shortened while the process runs. It goes on, says so once at the level at which somebody is woken, and shows
// it until it is put right.
func TestRetentionIsShortenedWhileRunning(t *testing.T) {
	log, logged := logtest.NewNullLogger()
	log.SetOutput(io.Discard)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	s, err := server.Start(ctx, testConfig(t), server.Options{Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, s) })
	js := s.Bus().JetStream()
	stream, err := js.Stream(ctx, bus.LedgerStream)
	if err != nil {
		t.Fatal(err)
	}
	retention := stream.CachedInfo().Config.MaxAge
	set := func(age time.Duration, metric string) {
		t.Helper()
		cfg := stream.CachedInfo().Config
		cfg.MaxAge = age
		if _, err := js.UpdateStream(ctx, cfg); err != nil {
			t.Fatal(err)
		}
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			if _, body := get(t, http.DefaultClient, s.AdminURL()+"/metrics"); strings.Contains(body, metric+"\n") {
				return
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				t.Fatalf("the metrics never say %s", metric)
			}
		}
	}
	set(time.Hour, "curfew_replica_retention_short 1")
	if status, r := readyz(t, s); status != 200 || r.Checks["replica"] != "ok" {
		t.Errorf("%d %+v, want ready: it has missed nothing", status, r)
	}
	set(retention, "curfew_replica_retention_short 0")
	var errors []string
	for _, e := range logged.AllEntries() {
		if e.Level <= logrus.ErrorLevel {
			errors = append(errors, e.Message)
		}
	}
	if len(errors) != 1 || !strings.Contains(errors[0], "lengthen its retention") {
		t.Errorf("logged as errors: %q, want the short retention once", errors)
	}
}
