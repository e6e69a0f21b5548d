package server_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/curfewhq/curfew/cmd/curfew/server"
	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/config"
	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/services/fanout"
)

func readyz(t *testing.T, s *server.Server) (status int, r server.Readiness) {
	t.Helper()
	status, body := get(t, http.DefaultClient, s.AdminURL()+"/readyz")
	if err := json.Unmarshal([]byte(body), &r); err != nil {
		t.Fatal(err)
	}
	return status, r
}

// A process that writes no beat said that the ledger takes writes, whatever the ledger did.
func TestReadinessOfAReader(t *testing.T) {
	ledger := natstest.Start(t)
	cfg := testConfig(t)
	cfg.NATS.URL = ledger.URL()
	start(t, cfg)
	reader := cfg
	reader.Roles, reader.DataDir = []string{config.RoleGate}, ""
	s := start(t, reader)
	status, r := readyz(t, s)
	if _, told := r.Checks["ledger_write"]; told || status != 200 || r.Checks["replica"] != "ok" {
		t.Errorf("got %d %+v, want 200 without ledger_write", status, r)
	}
}

// A replica that hears the others' beats is fresh; that doesn't mean that this process can write.
func TestFreshButCannotWrite(t *testing.T) {
	ledger := natstest.Start(t, natstest.With(func(o *natsserver.Options) {
		o.Users = []*natsserver.User{{Username: "all", Password: "p"}, {Username: "mute", Password: "p", Permissions: &natsserver.Permissions{
			Publish: &natsserver.SubjectPermission{Deny: []string{events.TopicBeat}},
		}}}
	}))
	cfg := testConfig(t)
	cfg.NATS.URL = strings.Replace(ledger.URL(), "://", "://all:p@", 1)
	writer := start(t, cfg)
	mute := cfg
	mute.NATS.URL = strings.Replace(ledger.URL(), "://", "://mute:p@", 1)
	s := start(t, mute)
	status, r := readyz(t, s)
	if status != 503 || r.Ready || r.Checks["replica"] != "ok" || !strings.Contains(r.Checks["ledger_write"], "couldn't be written") {
		t.Errorf("got %d %+v, want a fresh replica that isn't ready", status, r)
	}
	if status, r := readyz(t, writer); status != 200 || r.Checks["ledger_write"] != "ok" {
		t.Errorf("the other: %d %+v", status, r)
	}
}

func TestNKeyFile(t *testing.T) {
	user, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	public, err := user.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	seed, err := user.Seed()
	if err != nil {
		t.Fatal(err)
	}
	ledger := natstest.Start(t, natstest.With(func(o *natsserver.Options) { o.Nkeys = []*natsserver.NkeyUser{{Nkey: public}} }))
	cfg := testConfig(t)
	cfg.NATS.URL = ledger.URL()
	if _, err := try(t, cfg); err == nil {
		t.Fatal("the server takes anybody")
	}
	cfg.NATS.NKeyFile = write(t, "seed", string(seed))
	start(t, cfg)
}

func TestListenPassword(t *testing.T) {
	cfg := testConfig(t)
	cfg.NATS.Listen, cfg.NATS.ListenUser, cfg.NATS.ListenPasswordFile = "127.0.0.1:0", "replica", write(t, "password", "s3cret\n")
	s := start(t, cfg)
	if nc, err := nats.Connect(s.LedgerURL(), nats.Timeout(5*time.Second)); err == nil {
		nc.Close()
		t.Error("it takes anybody")
	}
	nc, err := nats.Connect(s.LedgerURL(), nats.UserInfo("replica", "s3cret"), nats.Timeout(5*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	nc.Close()
	if strings.Contains(strings.Join(config.Describe(cfg), "\n"), "s3cret") {
		t.Error("the configuration shows the password")
	}
}

func TestListenPasswordFaults(t *testing.T) {
	for name, file := range map[string]string{
		"no file": filepath.Join(t.TempDir(), "none"), "empty": write(t, "empty", "\n"), "two lines": write(t, "two", "a\nPLANTED\n"),
	} {
		cfg := testConfig(t)
		cfg.NATS.Listen, cfg.NATS.ListenUser, cfg.NATS.ListenPasswordFile = "127.0.0.1:0", "replica", file
		if _, err := try(t, cfg); err == nil || !strings.Contains(err.Error(), "nats.listen_password_file") || strings.Contains(err.Error(), "PLANTED") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A ticket's id must be remembered for as long as the ticket could be used again.
func TestUsedTicketsOutliveTickets(t *testing.T) {
	if ttl := bus.TicketsBucket().TTL; ttl < 2*fanout.TicketLifetime {
		t.Errorf("ids are kept for %v, want twice %v", ttl, fanout.TicketLifetime)
	}
}
