package server_test

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"

	"github.com/curfewhq/curfew/cmd/curfew/server"
	"github.com/curfewhq/curfew/internal/bus"
)

// noted returns a member of the ledger's metadata.
func noted(t *testing.T, js jetstream.JetStream, member string) string {
	t.Helper()
	stream, err := js.Stream(t.Context(), bus.LedgerStream)
	if err != nil {
		t.Fatal(err)
	}
	return stream.CachedInfo().Config.Metadata[member]
}

// Trap 12: the ledger's retention is shortened while the process runs. It goes on, says so once at the level at which somebody is woken, and shows
// it until it is put right. What was removed meanwhile is noted for whoever starts later.
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
		now, err := js.Stream(ctx, bus.LedgerStream)
		if err != nil {
			t.Fatal(err)
		}
		cfg := now.CachedInfo().Config
		cfg.MaxAge = age
		if _, err := js.UpdateStream(ctx, cfg); err != nil {
			t.Fatal(err)
		}
		await(t, "the metrics say "+metric, func() bool { return shows(t, s, metric) })
	}
	set(time.Hour, "curfew_replica_retention_short 1")
	if status, r := readyz(t, s); status != 200 || r.Checks["replica"] != "ok" {
		t.Errorf("%d %+v, want ready: it has missed nothing", status, r)
	}
	await(t, "the short retention is noted", func() bool { return noted(t, js, bus.RetentionMetadata) == "1h0m0s" })
	since := time.Now().Add(-time.Hour).Truncate(time.Second)
	set(retention, "curfew_replica_retention_short 0")
	await(t, "what it may have removed is noted", func() bool {
		at, err := time.Parse(time.RFC3339, noted(t, js, bus.WholeSinceMetadata))
		return err == nil && !at.Before(since) && noted(t, js, bus.RetentionMetadata) == retention.String()
	})
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
