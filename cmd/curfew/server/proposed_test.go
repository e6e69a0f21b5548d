package server_test

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	natsserver "github.com/nats-io/nats-server/v2/server"

	"github.com/curfewhq/curfew/internal/natstest"
)

// proposed makes a server what deploy/nats/nats.conf says, but for where it listens and keeps its store.
func proposed(t *testing.T) natstest.Option {
	t.Helper()
	conf, err := natsserver.ProcessConfigFile(filepath.Join("..", "..", "..", "deploy", "nats", "nats.conf"))
	if err != nil {
		t.Fatal(err)
	}
	return natstest.With(func(o *natsserver.Options) {
		conf.Host, conf.Port, conf.StoreDir, conf.JetStream, conf.NoLog, conf.NoSigs = o.Host, o.Port, o.StoreDir, true, true, true
		*o = *conf
	})
}

// The server that deploy/nats/nats.conf makes has room for all that every role reserves.
func TestProposedNATSHasRoom(t *testing.T) {
	cfg := testConfig(t)
	cfg.NATS.URL = natstest.Start(t, proposed(t)).URL()
	s := start(t, cfg)
	if status, body := get(t, http.DefaultClient, s.AdminURL()+"/readyz"); status != 200 {
		t.Errorf("not ready: %d %s", status, body)
	}
}

// A server with too little memory is told from one with too small a disk.
func TestTooLittleMemoryInNATS(t *testing.T) {
	ledger := natstest.Start(t, proposed(t), natstest.With(func(o *natsserver.Options) { o.JetStreamMaxMemory = 64 << 20 }))
	cfg := testConfig(t)
	cfg.NATS.URL = ledger.URL()
	if _, err := try(t, cfg); err == nil || !strings.Contains(err.Error(), "max_memory_store") {
		t.Errorf("got %v, want the name of the setting", err)
	}
}
