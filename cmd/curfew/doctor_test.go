package main

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/curfewhq/curfew/cmd/curfew/server"
	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/config"
	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/revocation/revocationnats"
)

func TestDoctorFindsNothingWrong(t *testing.T) {
	startServer(t)
	out := must(t, "doctor", "--show-config")
	for _, want := range []string{"ok    configuration", "ok    api key", "ok    replica", "ok    ledger_write", "ok    clock: ", "ok    streams", "staleness_budget = 15s"} {
		if !strings.Contains(out, want) {
			t.Errorf("want %q in\n%s", want, out)
		}
	}
}

func TestDoctorSaysWhatToDo(t *testing.T) {
	s := startServer(t)
	t.Setenv("CURFEW_DATA_DIR", t.TempDir())
	t.Setenv("CURFEW_DANGEROUSLY_FAIL_OPEN", "true")
	stdout, _, code := command(t, "doctor")
	if code != exitFailed || !strings.Contains(stdout, "fail  api key") || !strings.Contains(stdout, "warn  fail open") || !strings.Contains(stdout, "hint: give --api-key-file") {
		t.Errorf("exit code %d\n%s", code, stdout)
	}
	// Somebody publishes what this version doesn't know.
	ack, err := s.Bus().JetStream().Publish(t.Context(), "curfew.v1.default.00.session", []byte(`{"specversion":"1.0"}`))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Replica().WaitFor(t.Context(), ack.Sequence); err != nil {
		t.Fatal(err)
	}
	if stdout, _, _ = command(t, "doctor"); !strings.Contains(stdout, "warn  skipped: 1 messages") || !strings.Contains(stdout, "curfew parked ls") {
		t.Errorf("doctor doesn't tell of the message:\n%s", stdout)
	}
}

// What is stale isn't ok, and nobody is sent after the wrong thing while NATS is down.
func TestDoctorWithoutNATS(t *testing.T) {
	ledger := natstest.Start(t)
	startServer(t, func(c *config.Config) {
		c.NATS.URL, c.StalenessBudget, c.Ledger.BeatInterval = ledger.URL(), time.Second, 300*time.Millisecond
	})
	ledger.Stop()
	var stdout string
	var code int
	for deadline := time.Now().Add(30 * time.Second); !strings.Contains(stdout, "fail  freshness"); {
		if stdout, _, code = command(t, "doctor"); time.Now().After(deadline) {
			t.Fatalf("freshness never fails:\n%s", stdout)
		}
	}
	if code != exitFailed || !strings.Contains(stdout, "fail  replica") || !strings.Contains(stdout, "hint: is NATS up") {
		t.Errorf("exit code %d\n%s", code, stdout)
	}
}

// startWithBilling starts a server, and beside it the replica of another process, which reports itself over a connection of its own.
func startWithBilling(t *testing.T) (*server.Server, *nats.Conn) {
	t.Helper()
	ledger := natstest.Start(t)
	s := startServer(t, func(c *config.Config) { c.NATS.URL = ledger.URL() })
	nc, err := nats.Connect(ledger.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	p, err := revocationnats.NewPresence(nc, s.Replica(), revocationnats.PresenceConfig{Name: "billing-7", Group: "billing", Version: "4.2.1"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return s, nc
}

// A replica of another process that is away is in none of the server's own findings, which look well.
func TestDoctorNamesAReplicaThatIsAway(t *testing.T) {
	_, nc := startWithBilling(t)
	doctor := func(want string) {
		t.Helper()
		var out string
		for deadline := time.Now().Add(20 * time.Second); !strings.Contains(out, want); {
			if out = must(t, "doctor"); time.Now().After(deadline) {
				t.Fatalf("want %q in\n%s", want, out)
			}
		}
	}
	doctor("ok    replicas: answers: 2; fresh: 2")
	nc.Close()
	doctor("warn  replica billing-7: ")
}

// A gateway's process answers neither publishers nor checks, and its key is a good one all the same.
func TestDoctorAtAGateway(t *testing.T) {
	ledger := natstest.Start(t)
	startServer(t, func(c *config.Config) { c.NATS.URL = ledger.URL() })
	keys := os.Getenv("CURFEW_DATA_DIR")
	startServer(t, func(c *config.Config) { c.NATS.URL, c.Roles = ledger.URL(), []string{config.RoleFanout} })
	t.Setenv("CURFEW_DATA_DIR", keys)
	if out := must(t, "doctor"); !strings.Contains(out, "ok    api key") {
		t.Errorf("got\n%s", out)
	}
}

// Trap 12: an operator shortens how long the stream keeps events.
func TestDoctorRefusesAShortRetention(t *testing.T) {
	s := startServer(t)
	js := s.Bus().JetStream()
	stream, err := js.Stream(t.Context(), bus.LedgerStream)
	if err != nil {
		t.Fatal(err)
	}
	cfg := stream.CachedInfo().Config
	cfg.MaxAge = 24 * time.Hour
	if _, err := js.UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	stdout, _, code := command(t, "doctor")
	const want = "fail  streams: CURFEW: max age is 24h0m0s instead of 744h5m0s: a revocation expires while its session can still be alive"
	if code != exitFailed || !strings.Contains(stdout, want) || !strings.Contains(stdout, "nats stream edit CURFEW") {
		t.Errorf("exit code %d, want %d and %q with what to do in\n%s", code, exitFailed, want, stdout)
	}
}
