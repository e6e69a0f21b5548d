package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/internal/config"
	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationhttp"
	"github.com/curfewhq/curfew/revocation/revocationnats"
)

const tokenKey = "0123456789abcdef0123456789abcdef"

// far is a deployment whose second server, and a service with a replica of its own, reach NATS over a link that a test can stall.
type far struct {
	*fleet
	link *natstest.Proxy
	// service and asking are the service's pages: by its own replica, and by the first server's gate where that can't tell.
	service, asking string
	client          *http.Client
}

func startFar(t *testing.T) *far {
	t.Helper()
	url := natstest.Run(t).ClientURL()
	keyFile := filepath.Join(t.TempDir(), "token.key")
	if err := os.WriteFile(keyFile, []byte(tokenKey), 0o600); err != nil {
		t.Fatal(err)
	}
	f := &far{fleet: &fleet{keys: map[string]string{}}, link: natstest.NewProxy(t, strings.TrimPrefix(url, "nats://")), client: &http.Client{Transport: &http.Transport{}}}
	t.Cleanup(f.client.CloseIdleConnections)
	f.servers = append(f.servers, startServer(t, url, nil), startServer(t, f.link.URL(), func(c *config.Config) {
		c.JWT.Algorithms, c.JWT.KeyFile = []string{"HS256"}, keyFile
	}))
	f.newKey(t, "default")
	f.fleet.client(t, 1, "default")
	f.startService(t)
	// Before anything that waits for the link is stopped.
	t.Cleanup(f.link.Heal)
	return f
}

func (f *far) startService(t *testing.T) {
	t.Helper()
	nc, err := nats.Connect(f.link.URL(), revocationnats.Options("billing")...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	replica, err := revocation.Open(ctx, revocation.Config{Feed: revocationnats.NewFeed(js, revocationnats.Config{})})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = replica.Close() })
	tokens, err := revocationhttp.NewJWT(revocationhttp.JWTConfig{
		Algorithms: []jose.SignatureAlgorithm{jose.HS256}, Keys: revocationhttp.StaticKey([]byte(tokenKey)),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tokens.Close() })
	gate, err := revocationhttp.NewGate(revocationhttp.GateConfig{
		URL: f.servers[0].URL(), Keys: map[string]revocationhttp.APIKey{"default": revocationhttp.NewAPIKey(f.keys["default"])}, Timeout: 10 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = gate.Close() })
	guard, err := revocationhttp.New(revocationhttp.Config{Replica: replica, Session: tokens.Session})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = guard.Close() })
	page := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") })
	mux := http.NewServeMux()
	mux.Handle("GET /own", guard.Handler(page))
	mux.Handle("GET /asking", guard.With(revocationhttp.Policy{Ask: gate}).Handler(page))
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	f.service, f.asking = srv.URL+"/own", srv.URL+"/asking"
}

// ways are the requests in which the far side can be asked about a session: name → request.
func (f *far) ways(t *testing.T, sid, user string) map[string]func() *http.Request {
	t.Helper()
	began := time.Now().Add(-time.Minute)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: []byte(tokenKey)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.Signed(signer).Claims(map[string]any{
		"sid": sid, "sub": user, "auth_time_ms": began.UnixMilli(), "exp": time.Now().Add(time.Hour).Unix(),
	}).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	query := fmt.Sprintf("?session=%s&user=%s&auth_time=%s", sid, user, began.UTC().Format("2006-01-02T15:04:05.000Z"))
	make := func(method, url, body, bearer string) func() *http.Request {
		return func() *http.Request {
			r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
			if err != nil {
				panic(err) // the methods and URLs are those below
			}
			r.Header.Set("Authorization", "Bearer "+bearer)
			if body != "" {
				r.Header.Set("Content-Type", "application/json")
			}
			return r
		}
	}
	second := f.servers[1].URL()
	question := fmt.Sprintf(`[{"session":%q,"user":%q,"auth_time":%q}]`, sid, user, began.UTC().Format("2006-01-02T15:04:05.000Z"))
	return map[string]func() *http.Request{
		"middleware":      make(http.MethodGet, f.service, "", token),
		"forward-auth":    make(http.MethodGet, second+"/v1/forward-auth", "", token),
		"check":           make(http.MethodGet, second+"/v1/check"+query, "", f.keys["default"]),
		"check in a body": make(http.MethodPost, second+"/v1/check", question, f.keys["default"]),
	}
}

// state sends a request, with a position if it isn't 0, and says what its answer means.
func (f *far) state(r *http.Request, position uint64) (string, error) {
	if position > 0 {
		r.Header.Set("Curfew-Position", fmt.Sprint(position))
	}
	resp, err := f.client.Do(r)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	var problem struct {
		Code      string
		Decisions []struct{ State string }
	}
	if err := json.Unmarshal(body, &problem); err == nil && len(problem.Decisions) == 1 {
		return problem.Decisions[0].State, nil
	}
	switch {
	case resp.StatusCode == http.StatusOK:
		return "active", nil
	case resp.StatusCode == http.StatusUnauthorized && problem.Code == "session_revoked":
		return "revoked", nil
	case resp.StatusCode == http.StatusServiceUnavailable && problem.Code == "session_undetermined" && resp.Header.Get("Retry-After") == "1":
		return "undetermined", nil
	}
	return "", fmt.Errorf("%d %s", resp.StatusCode, body)
}

// logOut publishes at the first server and returns the position of its answer.
func (f *far) logOut(t *testing.T, path, body string) uint64 {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.servers[0].URL()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+f.keys["default"])
	r.Header.Set("Content-Type", "application/json")
	resp, err := f.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct{ Position uint64 }
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || resp.StatusCode != http.StatusOK || answer.Position == 0 {
		t.Fatalf("%s: %d, position %d, %v", path, resp.StatusCode, answer.Position, err)
	}
	return answer.Position
}

// Read your logout, from end to end: every way of publishing answers with a position, and nobody to whom it is shown vouches for the session, however
// far behind its replica is. It waits for a second, and then says that it can't tell.
func TestReadYourLogoutFromEndToEnd(t *testing.T) {
	f := startFar(t)
	for _, logout := range []struct{ sid, user, path, body string }{
		{"s-1", "ann", "/v1/revocations", `{"scope":"session","session":"s-1","user":"ann"}`},
		{"s-2", "bob", "/v1/revocations", `[{"scope":"session","session":"s-0"},{"scope":"session","session":"s-2"}]`},
		{"s-3", "eve", "/v1/users/eve/logout", `{"scope":"everywhere"}`},
	} {
		t.Run(logout.sid, func(t *testing.T) { f.testReadYourLogout(t, logout.sid, logout.user, logout.path, logout.body) })
	}
}

func (f *far) testReadYourLogout(t *testing.T, sid, user, path, body string) {
	ways := f.ways(t, sid, user)
	f.link.Stall()
	defer f.link.Heal()
	position := f.logOut(t, path, body)
	var all sync.WaitGroup
	for way, request := range ways {
		// Who shows no position may be told what was true a moment ago: this is what the position is for.
		if got, err := f.state(request(), 0); got != "active" || err != nil {
			t.Fatalf("%s without the position: %s, %v; want active: the link isn't stalled", way, got, err)
		}
		all.Go(func() {
			began := time.Now()
			if got, err := f.state(request(), position); got != "undetermined" || err != nil {
				t.Errorf("%s with a link that is stalled: %s, %v; want undetermined", way, got, err)
			}
			if took := time.Since(began); took < 950*time.Millisecond || took > 10*time.Second {
				t.Errorf("%s with a link that is stalled: answered after %v, want a second", way, took)
			}
		})
	}
	// A service that asks a gate which has heard of it needn't leave it at that.
	for _, about := range []struct{ sid, user, want string }{{sid, user, "revoked"}, {"another", "nobody", "active"}} {
		r := f.ways(t, about.sid, about.user)["middleware"]()
		var err error
		if r.URL, err = r.URL.Parse(f.asking); err != nil {
			t.Fatal(err)
		}
		all.Go(func() {
			if got, err := f.state(r, position); got != about.want || err != nil {
				t.Errorf("a service that asks, about %s: %s, %v; want %s", about.sid, got, err, about.want)
			}
		})
	}
	all.Wait()
	// The link heals while they wait, and nobody of them says active before it says revoked.
	for way, request := range ways {
		all.Go(func() {
			for deadline := time.Now().Add(30 * time.Second); ; {
				got, err := f.state(request(), position)
				switch {
				case err != nil || got == "active" || time.Now().After(deadline):
					t.Errorf("%s: %s, %v; want revoked", way, got, err)
					return
				case got == "revoked":
					return
				}
			}
		})
	}
	f.link.Heal()
	all.Wait()
}
