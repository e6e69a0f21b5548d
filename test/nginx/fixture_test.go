package nginx_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/sirupsen/logrus"
	"go.uber.org/goleak"

	"github.com/curfewhq/curfew/cmd/curfew/apiclient"
	"github.com/curfewhq/curfew/cmd/curfew/server"
	"github.com/curfewhq/curfew/internal/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const cookie = "app_session"

// seen is what the application saw of one request.
type seen struct {
	Method, Path, Body string
	Header             http.Header
}

// application answers 200, or what the path says (/status/418), and keeps what it sees.
type application struct {
	mu   sync.Mutex
	seen []seen
}

func (a *application) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	a.mu.Lock()
	a.seen = append(a.seen, seen{Method: r.Method, Path: r.URL.Path, Body: string(body), Header: r.Header.Clone()})
	a.mu.Unlock()
	if status, err := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/status/")); err == nil {
		w.WriteHeader(status)
	}
	_, _ = io.WriteString(w, "the application")
}

// take returns what was seen since the last call.
func (a *application) take() []seen {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := a.seen
	a.seen = nil
	return all
}

// site is a caller's view: nginx, and what stands behind it.
type site struct {
	t      *testing.T
	app    *application
	key    *ecdsa.PrivateKey
	curfew *server.Server
	client *http.Client
	url    string
	// ledgerWasLost is set where the ledger went away meanwhile: then Stop has errors to tell.
	ledgerWasLost bool
}

// newSite starts everything; it is stopped with the test. change may be nil.
func newSite(t *testing.T, change func(*config.Config)) *site {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, app: &application{}, key: key, client: &http.Client{Timeout: patience, Transport: &http.Transport{}}}
	t.Cleanup(s.client.CloseIdleConnections)
	s.startCurfew(change)
	app := httptest.NewServer(s.app)
	t.Cleanup(app.Close)
	s.url = "http://" + startNginx(t, strings.TrimPrefix(s.curfew.URL(), "http://"), strings.TrimPrefix(app.URL, "http://"))
	return s
}

func (s *site) startCurfew(change func(*config.Config)) {
	t := s.t
	t.Helper()
	public, err := x509.MarshalPKIXPublicKey(s.key.Public())
	if err != nil {
		t.Fatal(err)
	}
	keyFile := filepath.Join(t.TempDir(), "issuer.pem")
	if err := os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := config.Default()
	cfg.Listen, cfg.AdminListen, cfg.DataDir = "127.0.0.1:0", "", filepath.Join(t.TempDir(), "data")
	cfg.Ledger.SyncInterval, cfg.DrainWindow = 10*time.Second, time.Millisecond
	cfg.JWT.Algorithms, cfg.JWT.KeyFile, cfg.JWT.Cookie = []string{string(jose.ES256)}, keyFile, cookie
	if change != nil {
		change(&cfg)
	}
	log := logrus.New()
	log.SetOutput(io.Discard)
	if s.curfew, err = server.Start(t.Context(), cfg, server.Options{Log: log}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.stopCurfew)
}

// stopCurfew may be called more than once.
func (s *site) stopCurfew() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.curfew.Stop(ctx); err != nil && !s.ledgerWasLost {
		s.t.Errorf("stop curfew: %v", err)
	}
}

// signIn returns the token of a session that begins now.
func (s *site) signIn(sid, user string) string {
	s.t.Helper()
	now := time.Now()
	payload, err := json.Marshal(map[string]any{"sid": sid, "sub": user, "auth_time_ms": now.UnixMilli(), "exp": now.Add(time.Hour).Unix()})
	if err != nil {
		s.t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: s.key}, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		s.t.Fatal(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		s.t.Fatal(err)
	}
	return token
}

// revoke calls the publisher with the first admin key, and returns the position.
func (s *site) revoke(revocation map[string]any) uint64 {
	s.t.Helper()
	key, err := apiclient.ReadKeyFile(s.curfew.AdminKeyFile())
	if err != nil {
		s.t.Fatal(err)
	}
	c, err := apiclient.New(s.curfew.URL(), key)
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	var receipt struct{ Position uint64 }
	if err := c.Call(s.t.Context(), http.MethodPost, "/v1/revocations", nil, revocation, &receipt); err != nil {
		s.t.Fatal(err)
	}
	return receipt.Position
}

// call is one request to nginx.
type call struct {
	method, path, cookie, bearer, body string
	header                             http.Header
}

// answer is what the caller got.
type answer struct {
	status int
	header http.Header
	body   string
	// code is that of a problem.
	code string
}

func (s *site) do(c call) answer {
	s.t.Helper()
	if c.method == "" {
		c.method = http.MethodGet
	}
	if c.path == "" {
		c.path = "/orders"
	}
	req, err := http.NewRequestWithContext(s.t.Context(), c.method, s.url+c.path, strings.NewReader(c.body))
	if err != nil {
		s.t.Fatal(err)
	}
	for name, values := range c.header {
		req.Header[name] = values
	}
	if c.cookie != "" {
		req.AddCookie(&http.Cookie{Name: cookie, Value: c.cookie})
	}
	if c.bearer != "" {
		req.Header.Set("Authorization", "Bearer "+c.bearer)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	a := answer{status: resp.StatusCode, header: resp.Header, body: string(body)}
	var p struct{ Code string }
	if resp.Header.Get("Content-Type") == "application/problem+json" && json.Unmarshal(body, &p) == nil {
		a.code = p.Code
	}
	return a
}
