package contract

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/go-jose/go-jose/v4"
	"github.com/sirupsen/logrus"
	"go.uber.org/goleak"

	"github.com/curfewhq/curfew/cmd/curfew/server"
	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/access/accesstest"
	"github.com/curfewhq/curfew/internal/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	document  = "../../docs/openapi.yaml"
	tokenKey  = "0123456789abcdef0123456789abcdef"
	origin    = "https://app.example.com"
	adminPath = "/healthz /readyz /doctor /metrics"
)

// rig is a server with the document about it.
type rig struct {
	srv    *server.Server
	doc    *openapi3.T
	router routers.Router
	client *http.Client
	// Texts of keys of acme: full has every scope, the others have the one that they are named for.
	full, publish, check, admin, read string
	// seen: operation and status → how often it was answered so.
	seen map[string]int
}

func start(t *testing.T, change func(*config.Config)) *server.Server {
	t.Helper()
	dir := t.TempDir()
	keyFile := filepath.Join(dir, "token.key")
	if err := os.WriteFile(keyFile, []byte(tokenKey+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := config.Default()
	cfg.Listen, cfg.AdminListen, cfg.DataDir = "127.0.0.1:0", "127.0.0.1:0", filepath.Join(dir, "data")
	cfg.Ledger.SyncInterval, cfg.Ledger.BeatInterval = 10*time.Second, 250*time.Millisecond
	cfg.DrainWindow, cfg.MaxConns, cfg.AllowedOrigins = 10*time.Millisecond, 1, []string{origin}
	cfg.Sessions.IdleTimeout, cfg.Sessions.MaxPerUser = time.Hour, 2
	cfg.JWT.Algorithms, cfg.JWT.KeyFile, cfg.JWT.Tenant = []string{"HS256"}, keyFile, "acme"
	if change != nil {
		change(&cfg)
	}
	log := logrus.New()
	log.SetOutput(io.Discard)
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	srv, err := server.Start(ctx, cfg, server.Options{Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := srv.Stop(ctx); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return srv
}

// load reads the document, which must be valid, examples included.
func load(t *testing.T) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromFile(document)
	if err != nil {
		t.Fatalf("%s: %v", document, err)
	}
	if err := doc.Validate(t.Context(), openapi3.EnableExamplesValidation()); err != nil {
		t.Fatalf("%s: %v", document, err)
	}
	return doc
}

// newRig puts the server's addresses in place of the document's and makes keys.
func newRig(t *testing.T, srv *server.Server, seen map[string]int) *rig {
	t.Helper()
	r := &rig{srv: srv, doc: load(t), client: &http.Client{Transport: &http.Transport{}}, seen: seen}
	t.Cleanup(r.client.CloseIdleConnections)
	r.doc.Servers[0].URL = srv.URL()
	for path, item := range r.doc.Paths.Map() {
		if len(item.Servers) > 0 {
			if !strings.Contains(adminPath, path) {
				t.Errorf("%s has a server of its own", path)
			}
			item.Servers[0].URL = srv.AdminURL()
		}
	}
	var err error
	if r.router, err = gorillamux.NewRouter(r.doc); err != nil {
		t.Fatal(err)
	}
	key := func(scopes ...access.Scope) string {
		_, text := accesstest.Key(t, srv.Keys(), "acme", scopes...)
		return text
	}
	r.full, r.publish, r.check, r.admin, r.read = key(access.Scopes()...), key(access.ScopePublish), key(access.ScopeCheck), key(access.ScopeAdmin), key(access.ScopeRead)
	return r
}

// open makes a call that nothing has held to the contract yet. The caller closes the body.
func (r *rig) open(ctx context.Context, t *testing.T, path string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.srv.URL()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+r.full)
	resp, err := r.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

// accessToken is a token of a session that began a minute ago, changed by more claims.
func accessToken(t *testing.T, session string, more map[string]any) string {
	t.Helper()
	claims := map[string]any{"sid": session, "sub": "ann", "auth_time_ms": time.Now().Add(-time.Minute).UnixMilli(), "exp": time.Now().Add(time.Hour).Unix()}
	for name, v := range more {
		claims[name] = v
		if v == nil {
			delete(claims, name)
		}
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: []byte(tokenKey)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// exchange is one request and what it must be answered with.
type exchange struct {
	name, method, path, body string
	// auth is the Authorization header's token; empty sends none.
	auth string
	// header holds names and values in turn.
	header []string
	status int
	code   string
	// beyond says that the document's schemas can't tell that the request is bad, although the server refuses it with 400, 413, 415 or 422.
	beyond bool
}

// do sends a request, and validates it and its answer against the document. It returns the answer's body.
func (r *rig) do(t *testing.T, x exchange) []byte {
	t.Helper()
	base := r.srv.URL()
	if path, _, _ := strings.Cut(x.path, "?"); strings.Contains(adminPath, path) {
		base = r.srv.AdminURL()
	}
	newRequest := func() *http.Request {
		req, err := http.NewRequestWithContext(t.Context(), x.method, base+x.path, strings.NewReader(x.body))
		if err != nil {
			t.Fatal(err)
		}
		if x.auth != "" {
			req.Header.Set("Authorization", "Bearer "+x.auth)
		}
		if x.body != "" {
			req.Header.Set("Content-Type", "application/json")
		}
		for i := 0; i < len(x.header); i += 2 {
			req.Header.Set(x.header[i], x.header[i+1])
		}
		return req
	}
	req := newRequest()
	route, params, err := r.router.FindRoute(req)
	if err != nil {
		t.Fatalf("the document has no %s %s: %v", x.method, x.path, err)
	}
	input := &openapi3filter.RequestValidationInput{
		Request: req, PathParams: params, Route: route,
		// Keys are the server's business.
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true},
	}
	bad := openapi3filter.ValidateRequest(t.Context(), input)
	refused := x.status == 400 || x.status == 413 || x.status == 415 || x.status == 422
	switch {
	case bad != nil && !refused:
		t.Errorf("the document refuses a request that is answered with %d: %v", x.status, bad)
	case bad == nil && refused && !x.beyond:
		t.Errorf("the document allows a request that is answered with %d", x.status)
	}
	resp, err := r.client.Do(newRequest())
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != x.status {
		t.Fatalf("got %d %s, want %d %s", resp.StatusCode, body, x.status, x.code)
	}
	r.validate(t, input, resp, body)
	var p struct {
		Code   string `json:"code"`
		Status int    `json:"status"`
		Retry  bool   `json:"retry"`
	}
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "application/problem+json") {
		if err := json.Unmarshal(body, &p); err != nil || p.Status != x.status {
			t.Errorf("the problem says status %d, %v", p.Status, err)
		}
		if p.Retry != (resp.Header.Get("Retry-After") != "") {
			t.Errorf("retry is %v and Retry-After %q", p.Retry, resp.Header.Get("Retry-After"))
		}
	}
	if p.Code != x.code {
		t.Errorf("got the code %q, want %q", p.Code, x.code)
	}
	return body
}

// validate holds an answer to the document and counts it.
func (r *rig) validate(t *testing.T, input *openapi3filter.RequestValidationInput, resp *http.Response, body []byte) {
	t.Helper()
	operation := input.Route.Operation
	if operation.Responses.Status(resp.StatusCode) == nil {
		t.Errorf("%s isn't documented to answer with %d", operation.OperationID, resp.StatusCode)
	}
	err := openapi3filter.ValidateResponse(t.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: input, Status: resp.StatusCode, Header: resp.Header, Body: io.NopCloser(bytes.NewReader(body)), Options: input.Options,
	})
	if err != nil {
		t.Errorf("the answer isn't as documented: %v\n%s", err, body)
	}
	r.seen[fmt.Sprint(operation.OperationID, " ", resp.StatusCode)]++
}
