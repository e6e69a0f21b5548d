package server_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/curfewhq/curfew/cmd/curfew/server"
	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/config"
	"github.com/curfewhq/curfew/internal/lease"
	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/internal/tlstest"
	"github.com/curfewhq/curfew/services/replay"
)

// released leaves a lease as somebody does who has given it back: otherwise the first process waits for as long as another might have it.
func released(t *testing.T, b *bus.Bus, key string) {
	t.Helper()
	kv, err := b.KeyValue(t.Context(), bus.LeasesBucket())
	if err != nil {
		t.Fatal(err)
	}
	if err := lease.Run(t.Context(), b.Conn(), kv, lease.Config{Key: key, TTL: 100 * time.Millisecond}, func(context.Context) error { return nil }); err != nil {
		t.Fatal(err)
	}
}

// metric returns a metric's line, or "".
func metric(t *testing.T, s *server.Server, name string) string {
	t.Helper()
	_, text := get(t, http.DefaultClient, s.AdminURL()+"/metrics")
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, name+" ") {
			return strings.TrimSpace(strings.TrimPrefix(line, name))
		}
	}
	return ""
}

// TestCanaryOfTwoProcesses: one of them revokes, both must refuse, each tenant has its own, and whoever gives way is followed at once.
func TestCanaryOfTwoProcesses(t *testing.T) {
	srv := natstest.Start(t)
	released(t, natstest.Open(t, bus.Config{URL: srv.URL()}), "canary")
	var both []*server.Server
	for range 2 {
		cfg := testConfig(t)
		cfg.NATS.URL, cfg.Canary = srv.URL(), true
		both = append(both, start(t, cfg))
	}
	other := newKey(t, both[0], "globex", access.ScopeRead)
	elected := func() (one, idle *server.Server) {
		for i, s := range both {
			if metric(t, s, "curfew_canary_elected") == "1" {
				if one != nil {
					t.Fatal("both revoke canaries")
				}
				one, idle = s, both[1-i]
			}
		}
		return one, idle
	}
	await(t, "a good round", func() bool {
		one, _ := elected()
		return one != nil && metric(t, one, `curfew_canary_probes_total{result="ok"}`) != ""
	})
	one, idle := elected()
	// Both processes' replicas were asked, or more than once where the round came before the other process.
	if n := metric(t, one, `curfew_canary_refused_seconds_count{via="replica"}`); n == "" || n == "0" {
		t.Errorf("%q replicas have refused it", n)
	}
	if n := metric(t, one, `curfew_canary_refused_seconds_count{via="http"}`); n == "" || n == "0" {
		t.Errorf("%q calls were answered with a refusal", n)
	}
	if _, ready := get(t, http.DefaultClient, one.AdminURL()+"/readyz"); !strings.Contains(ready, `"ready":true`) {
		t.Error(ready)
	}
	full := newKey(t, one, "default", access.ScopeRead, access.ScopeOperator)
	var stats replay.Stats
	call(t, one, full, http.MethodGet, "/v1/revocations/stats?tenant=*&initiator=system&initiator_id=canary&reason=policy", "", &stats)
	if stats.Events == 0 || stats.Scopes["session"] != stats.Events {
		t.Errorf("%+v", stats)
	}
	// What the canary calls itself with is no key that anybody sees.
	for _, key := range one.Keys().List() {
		if key.Name == "canary" {
			t.Errorf("a key is listed: %+v", key)
		}
	}
	stop(t, one)
	await(t, "the other goes on", func() bool { return metric(t, idle, `curfew_canary_probes_total{result="ok"}`) != "" })
	stats = replay.Stats{}
	call(t, idle, other, http.MethodGet, "/v1/revocations/stats", "", &stats)
	if stats.Events == 0 || len(stats.Tenants) != 1 || stats.Tenants["globex"] != stats.Events {
		t.Errorf("of the other tenant: %+v", stats)
	}
}

// TestCanaryOverTLS: a process that speaks TLS trusts its own certificate, whatever names that has, and a canary is off unless asked for.
func TestCanaryOverTLS(t *testing.T) {
	srv := natstest.Start(t)
	released(t, natstest.Open(t, bus.Config{URL: srv.URL()}), "canary")
	cfg := testConfig(t)
	cfg.NATS.URL, cfg.Canary = srv.URL(), true
	cfg.TLSCertFile, cfg.TLSKeyFile, _ = tlstest.Certificate(t)
	s := start(t, cfg)
	await(t, "a good round", func() bool { return metric(t, s, `curfew_canary_probes_total{result="ok"}`) != "" })
	if n := metric(t, s, `curfew_canary_refused_seconds_count{via="http"}`); n != "1" {
		t.Errorf("%q", n)
	}
	if off := start(t, testConfig(t)); metric(t, off, "curfew_canary_elected") != "" {
		t.Error("there is a canary that nobody has asked for")
	}
	if d := config.Default(); d.Canary || d.CanaryInterval != time.Minute {
		t.Errorf("by default it is on (%v), or comes each %v", d.Canary, d.CanaryInterval)
	}
}
