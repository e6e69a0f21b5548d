package console_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/access/accesstest"
	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/logtext"
	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/internal/problem"
	"github.com/curfewhq/curfew/internal/replicas"
	"github.com/curfewhq/curfew/services/console"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const cookieName = "__Host-curfew-console"

// rig is a console over a NATS of its own, before an API that tells who it was called by.
type rig struct {
	*httptest.Server
	bus     *bus.Bus
	keys    *access.Store
	cfg     console.Config
	svc     *console.Service
	log     *logtext.Buffer
	refused *logtext.Buffer
	client  *http.Client
}

func newRig(t *testing.T, change func(*console.Config)) *rig {
	t.Helper()
	b := natstest.Bus(t)
	keys := accesstest.Open(t, b)
	ended, err := b.KeyValue(t.Context(), bus.ConsoleBucket())
	if err != nil {
		t.Fatal(err)
	}
	fleet, err := replicas.NewFleet(b.Conn())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fleet.Close)
	r := &rig{bus: b, keys: keys, log: &logtext.Buffer{}, refused: &logtext.Buffer{}}
	r.cfg = console.Config{
		API: api(keys), Keys: keys, Seal: []byte("0123456789abcdef0123456789abcdef"), Ended: ended, Conn: b.Conn(), Fleet: fleet, Lifetime: time.Hour, IdleTimeout: 30 * time.Minute,
		Metrics: prometheus.NewRegistry(), Refused: func(code string) { _, _ = io.WriteString(r.refused, code+"\n") }, Log: r.log.Logger(),
		Findings: func(context.Context, bool) any { return map[string]any{"findings": []any{}} },
	}
	if change != nil {
		change(&r.cfg)
	}
	r.svc, r.Server = serve(t, r.cfg)
	r.client = &http.Client{Transport: &http.Transport{}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	t.Cleanup(r.client.CloseIdleConnections)
	return r
}

// serve starts a console, as one more process of the deployment would.
func serve(t *testing.T, cfg console.Config) (*console.Service, *httptest.Server) {
	t.Helper()
	svc, err := console.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	h := svc.Handler()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	t.Cleanup(svc.Close)
	return svc, srv
}

// api answers as the API's handlers do: guarded, and with the key that Guard has found.
func api(keys *access.Store) http.Handler {
	mux := http.NewServeMux()
	tell := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key, _ := access.KeyFrom(r.Context())
		problem.JSON(w, http.StatusOK, map[string]any{"key": key.ID, "tenant": key.Tenant, "path": r.URL.EscapedPath(), "query": r.URL.RawQuery, "cookie": r.Header.Get("Cookie"), "live": keys.Live(key.ID)})
	})
	mux.Handle("GET /v1/replicas", keys.Guard(access.ScopeRead, nil, tell))
	mux.Handle("GET /v1/users/{user}/sessions", keys.Guard(access.ScopeSessions, nil, tell))
	mux.Handle("POST /v1/users/{user}/logout", keys.Guard(access.ScopePublish, nil, tell))
	mux.Handle("GET /v1/keys", keys.Guard(access.ScopeAdmin, nil, tell))
	mux.Handle("GET /v1/revocations", keys.Guard(access.ScopeRead, nil, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done() // a stream without an end
	})))
	return mux
}

func (r *rig) key(t *testing.T, tenant string, scopes ...access.Scope) (access.Key, string) {
	t.Helper()
	return accesstest.Key(t, r.keys, tenant, scopes...)
}

// call sends a request to the path of the console. header are pairs.
func (r *rig) call(t *testing.T, method, path, body string, header ...string) (*http.Response, string) {
	t.Helper()
	q, err := http.NewRequestWithContext(t.Context(), method, r.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if method == http.MethodPost {
		q.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		q.Header.Set(header[i], header[i+1])
	}
	resp, err := r.client.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(b)
}

// signIn returns the cookie that a key is exchanged for, as a Cookie header has it.
func (r *rig) signIn(t *testing.T, text string) string {
	t.Helper()
	resp, body := r.call(t, http.MethodPost, "/console/session", `{"key":"`+text+`"}`)
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("sign in: %d %s", resp.StatusCode, body)
	}
	return cookie(t, resp)
}

func cookie(t *testing.T, resp *http.Response) string {
	t.Helper()
	for _, c := range resp.Cookies() {
		if c.Name == cookieName && c.MaxAge >= 0 {
			return c.Name + "=" + c.Value
		}
	}
	t.Fatal("there is no cookie")
	return ""
}

// status returns what a path is answered with to a cookie.
func (r *rig) status(t *testing.T, path, cookie string) int {
	t.Helper()
	resp, _ := r.call(t, http.MethodGet, path, "", "Cookie", cookie)
	return resp.StatusCode
}

func codeOf(t *testing.T, body string) string {
	t.Helper()
	var p problem.Problem
	if err := json.Unmarshal([]byte(body), &p); err != nil {
		t.Fatalf("%v in %q", err, body)
	}
	return p.Code
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(10 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s: not within 10 s", what)
		}
	}
}
