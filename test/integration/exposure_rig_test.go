package integration

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"

	"github.com/curfewhq/curfew/cmd/curfew/apiclient"
	"github.com/curfewhq/curfew/cmd/curfew/server"
	"github.com/curfewhq/curfew/internal/config"
	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationgrpc"
	"github.com/curfewhq/curfew/revocation/revocationhttp"
	"github.com/curfewhq/curfew/revocation/revocationnats"
)

// exposed is a server with a gate, and a service with a replica of its own whose link to the ledger can be stalled. It answers on another link what it let through.
type exposed struct {
	client     *apiclient.Client
	service    *http.Client
	serviceURL string
	// calls are the service's over gRPC.
	calls    healthpb.HealthClient
	replica  *revocation.Replica
	own      *server.Server
	link     *natstest.Proxy
	authTime time.Time
	log      requestLog
}

func newExposed(t *testing.T, entries int) *exposed {
	t.Helper()
	natsURL := natstest.Run(t).ClientURL()
	x := &exposed{authTime: time.Now().Add(-time.Hour).UTC().Truncate(time.Millisecond), link: natstest.NewProxy(t, strings.TrimPrefix(natsURL, "nats://"))}
	keyFile := filepath.Join(t.TempDir(), "token.key")
	if err := os.WriteFile(keyFile, []byte(tokenSecret), 0o600); err != nil {
		t.Fatal(err)
	}
	x.own = startServer(t, natsURL, func(c *config.Config) {
		c.Passes, c.JWT.Algorithms, c.JWT.KeyFile = entries, []string{"HS256"}, keyFile
	})
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
	x.serveCalls(t, passes)
	return x
}

// serveCalls has the service answer over gRPC as well, behind the other guard, whose passes are the same process's.
func (x *exposed) serveCalls(t *testing.T, passes *revocation.Passes) {
	t.Helper()
	guard, err := revocationgrpc.New(revocationgrpc.Config{Replica: x.replica, Passes: passes, Session: func(ctx context.Context, _ string) (revocation.Session, error) {
		md, _ := metadata.FromIncomingContext(ctx)
		return revocation.Session{ID: strings.Join(md.Get("session"), ""), User: "ada", AuthTime: x.authTime}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	srv := grpc.NewServer(grpc.UnaryInterceptor(guard.Unary))
	healthpb.RegisterHealthServer(srv, health.NewServer())
	at, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(at) }()
	t.Cleanup(func() { srv.Stop(); <-ended })
	conn, err := grpc.NewClient(at.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	x.calls = healthpb.NewHealthClient(conn)
}

// tokenSecret signs the tokens that the server's forward-auth knows.
const tokenSecret = "a secret of thirty-two bytes or more"

// token is what a browser brings of a session.
func (x *exposed) token(t *testing.T, session string) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: []byte(tokenSecret)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := jwt.Signed(signer).Claims(map[string]any{"sid": session, "sub": "ada", "auth_time_ms": x.authTime.UnixMilli(), "exp": time.Now().Add(time.Hour).Unix()}).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
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
