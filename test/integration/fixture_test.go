package integration

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"go.uber.org/goleak"

	"github.com/curfewhq/curfew/cmd/curfew/apiclient"
	"github.com/curfewhq/curfew/cmd/curfew/server"
	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/access/accesstest"
	"github.com/curfewhq/curfew/internal/config"
	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/internal/tabclient"
	"github.com/curfewhq/curfew/services/fanout"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fleet is several processes' worth of Curfew over one NATS.
type fleet struct {
	url     string
	servers []*server.Server
	// keys: tenant → the text of a key with every scope.
	keys map[string]string
}

func startFleet(t *testing.T, n int, tenants ...string) *fleet {
	t.Helper()
	url := natstest.Run(t).ClientURL()
	f := &fleet{url: url, keys: map[string]string{}}
	for range n {
		f.servers = append(f.servers, startServer(t, url, nil))
	}
	for _, tenant := range tenants {
		f.newKey(t, tenant)
	}
	return f
}

// startServer starts a server over a NATS; change may be nil.
func startServer(t *testing.T, natsURL string, change func(*config.Config)) *server.Server {
	t.Helper()
	log := logrus.New()
	log.SetOutput(io.Discard)
	cfg := config.Default()
	cfg.Listen, cfg.AdminListen, cfg.DataDir, cfg.NATS.URL = "127.0.0.1:0", "", t.TempDir(), natsURL
	cfg.DrainWindow = 50 * time.Millisecond
	if change != nil {
		change(&cfg)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	s, err := server.Start(ctx, cfg, server.Options{Log: log})
	if err != nil {
		t.Fatalf("start a server: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := s.Stop(ctx); err != nil {
			t.Errorf("stop a server: %v", err)
		}
	})
	return s
}

// newKey makes a tenant's key with every scope.
func (f *fleet) newKey(t *testing.T, tenant string) {
	t.Helper()
	_, f.keys[tenant] = accesstest.Key(t, f.servers[0].Keys(), tenant, access.Scopes()...)
}

// client returns a client of the i-th server with a tenant's key, once that server knows the key.
func (f *fleet) client(t *testing.T, i int, tenant string) *apiclient.Client {
	t.Helper()
	c, err := apiclient.New(f.servers[i%len(f.servers)].URL(), f.keys[tenant])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	// The key was made on the first server; the others hear of it through NATS.
	deadline := time.Now().Add(10 * time.Second)
	for {
		err := c.Call(t.Context(), http.MethodGet, "/v1/revocations?limit=1", nil, nil, nil)
		if err == nil {
			return c
		}
		if time.Now().After(deadline) {
			t.Fatalf("server %d doesn't know the key: %v", i, err)
		}
	}
}

// open opens a tab of a session at the i-th gateway and sends its hello.
func (f *fleet) open(t *testing.T, c *apiclient.Client, i int, s session) *tabclient.Conn {
	t.Helper()
	var ticket fanout.TicketAnswer
	q := fanout.TicketRequest{User: s.user, Session: s.id, Device: s.device, Client: s.client, AuthTime: &s.authTime}
	if err := c.Call(t.Context(), http.MethodPost, "/v1/tickets", nil, q, &ticket); err != nil {
		t.Fatalf("get a ticket: %v", err)
	}
	url := strings.Replace(f.servers[i%len(f.servers)].URL(), "http", "ws", 1)
	conn, err := tabclient.Dial(t.Context(), url, "", ticket.Ticket)
	if err != nil {
		t.Fatalf("open a tab: %v", err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// label names a tab in failures.
func label(i int, s session) string {
	return fmt.Sprintf("tab %d of %s/%s/%s", i, s.tenant, s.user, s.id)
}
