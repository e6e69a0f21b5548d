package integration

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/cmd/curfew/apiclient"
	"github.com/curfewhq/curfew/cmd/curfew/server"
	"github.com/curfewhq/curfew/internal/config"
	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationhttp"
	"github.com/curfewhq/curfew/revocation/revocationnats"
)

// exposed is a server with a gate, and a service with a replica of its own whose link to the ledger can be stalled. It answers on another link what it let through.
type exposed struct {
	client     *apiclient.Client
	service    *http.Client
	serviceURL string
	replica    *revocation.Replica
	own        *server.Server
	link       *natstest.Proxy
	authTime   time.Time
	log        requestLog
}

func newExposed(t *testing.T, entries int) *exposed {
	t.Helper()
	natsURL := natstest.Run(t).ClientURL()
	x := &exposed{authTime: time.Now().Add(-time.Hour).UTC().Truncate(time.Millisecond), link: natstest.NewProxy(t, strings.TrimPrefix(natsURL, "nats://"))}
	x.own = startServer(t, natsURL, func(c *config.Config) { c.Passes = entries })
	f := &fleet{servers: []*server.Server{x.own}, keys: map[string]string{}}
	f.newKey(t, "default")
	x.client = f.client(t, 0, "default")

	js, err := jetstream.New(dial(t, x.link.URL()))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if x.replica, err = revocation.Open(ctx, revocation.Config{Feed: revocationnats.NewFeed(js, revocationnats.Config{})}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = x.replica.Close() })
	passes, err := revocation.NewPasses(x.replica, revocation.PassesConfig{Entries: entries})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(passes.Close)
	reporting, err := revocationnats.NewPresence(dial(t, natsURL), x.replica, revocationnats.PresenceConfig{Name: "billing", Group: "billing", Passes: passes})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = reporting.Close() })
	guard, err := revocationhttp.New(revocationhttp.Config{Replica: x.replica, Passes: passes, Session: func(r *http.Request) (revocation.Session, error) {
		return revocation.Session{ID: r.URL.Query().Get("session"), User: "ada", AuthTime: x.authTime}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = guard.Close() })
	mux := http.NewServeMux()
	for _, pattern := range []string{"GET /pay/{what}", "GET /read/{what}"} {
		mux.Handle(pattern, guard.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
	}
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	x.service, x.serviceURL = srv.Client(), srv.URL
	return x
}

func dial(t *testing.T, url string) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(url, revocationnats.Options("billing")...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// await waits until both replicas have applied a position.
func (x *exposed) await(t *testing.T, position uint64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for _, r := range []*revocation.Replica{x.replica, x.own.Replica()} {
		if err := r.WaitFor(ctx, position); err != nil {
			t.Fatal(err)
		}
	}
}
