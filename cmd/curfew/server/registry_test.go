package server_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/curfewhq/curfew/cmd/curfew/server"
	"github.com/curfewhq/curfew/events/tab"
	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/config"
	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/internal/redisstore"
	"github.com/curfewhq/curfew/internal/redistest"
	"github.com/curfewhq/curfew/internal/sessionstore"
	"github.com/curfewhq/curfew/internal/tabclient"
)

// ask calls the API, and returns the status and the code of the answer.
func ask(t *testing.T, s *server.Server, key, method, path, body string) (status int, code string) {
	t.Helper()
	status, b := answerOf(t, s, key, method, path, body)
	var answer struct{ Code string }
	_ = json.Unmarshal(b, &answer) // what has no code has none
	return status, answer.Code
}

// Losing Redis loses no revocation: the list says that it is away, and revoking, also of everything that a user has, goes on.
func TestRedisAway(t *testing.T) {
	redis := redistest.Start(t)
	cfg := testConfig(t)
	cfg.Redis.URL = redis.URL()
	s := start(t, cfg)
	key := newKey(t, s, "default", access.Scopes()...)
	if status, code := ask(t, s, key, http.MethodPost, "/v1/sessions", `{"session":"s-1","user":"ann"}`); status != http.StatusCreated {
		t.Fatal(status, code)
	}
	redis.Stop()
	for _, call := range []struct {
		method, path, body string
		status             int
		code               string
	}{
		{http.MethodGet, "/v1/users/ann/sessions", "", 503, "registry_unavailable"},
		{http.MethodGet, "/v1/sessions/s-1", "", 503, "registry_unavailable"},
		{http.MethodPost, "/v1/sessions", `{"user":"ann"}`, 503, "registry_unavailable"},
		{http.MethodPost, "/v1/sessions/s-1/touch", "", 503, "registry_unavailable"},
		{http.MethodDelete, "/v1/sessions/s-1", "", 200, ""},
		{http.MethodPost, "/v1/users/ann/logout", `{"scope":"everywhere"}`, 200, ""},
		{http.MethodPost, "/v1/revocations", `{"scope":"session","session":"s-2"}`, 200, ""},
		{http.MethodGet, "/v1/check?session=s-1&dangerously_allow_missing=user,auth_time", "", 401, "session_revoked"},
	} {
		if status, code := ask(t, s, key, call.method, call.path, call.body); status != call.status || code != call.code {
			t.Errorf("%s %s: %d %s, want %d %s", call.method, call.path, status, code, call.status, call.code)
		}
	}
	redis.Start(t)
	if status, code := ask(t, s, key, http.MethodPost, "/v1/sessions", `{"user":"ann"}`); status != http.StatusCreated {
		t.Errorf("when it is back: %d %s", status, code)
	}
}

// The setting reaches the registry: so many sessions of a user, and with 0 any number.
func TestMaxSessionsPerUser(t *testing.T) {
	for limit, want := range map[int]int{1: http.StatusTooManyRequests, 0: http.StatusCreated} {
		cfg := testConfig(t)
		cfg.Sessions.MaxPerUser = limit
		s := start(t, cfg)
		key := newKey(t, s, "default", access.Scopes()...)
		if status, code := ask(t, s, key, http.MethodPost, "/v1/sessions", `{"session":"s-1","user":"ann"}`); status != http.StatusCreated {
			t.Fatal(status, code)
		}
		if status, code := ask(t, s, key, http.MethodPost, "/v1/sessions", `{"session":"s-2","user":"ann"}`); status != want {
			t.Errorf("at most %d: %d %s, want %d", limit, status, code, want)
		}
		if status, code := ask(t, s, key, http.MethodDelete, "/v1/sessions/s-1", ""); status != http.StatusOK {
			t.Fatal(status, code)
		}
	}
}

// A Redis that can't be is refused before anything is started, and what is refused is what the store's client refuses.
func TestRedisConfigurationIsRefused(t *testing.T) {
	for _, url := range []string{
		"redis://127.0.0.1:6379/0", "redis://u:p@127.0.0.1", "rediss://redis.internal:6380/15/", "unix:///run/redis.sock", "redis://127.0.0.1/?db=2",
		"http://127.0.0.1:6379", "localhost:6379", "127.0.0.1:6379", "redis://127.0.0.1:x", "redis://127.0.0.1/a", "redis://127.0.0.1/0/1", "unix://", "redis://%zz", "//127.0.0.1/0",
	} {
		cfg := config.Default()
		cfg.Redis.URL = url
		refused := cfg.Validate()
		store, err := redisstore.Open(redisstore.Config{URL: url, Hasher: sessionstore.NewHasher([]byte("key"))})
		if (refused == nil) != (err == nil) {
			t.Errorf("%s: the configuration says %v, the store %v", url, refused, err)
		}
		if err == nil {
			_ = store.Close()
		}
	}
	cfg := testConfig(t)
	cfg.Redis.URLFile = filepath.Join(t.TempDir(), "absent")
	s, err := try(t, cfg)
	if err == nil {
		stop(t, s)
		t.Fatal("it starts")
	}
	if !strings.Contains(err.Error(), "redis.url_file (--redis-url-file, CURFEW_REDIS_URL_FILE)") {
		t.Error(err)
	}
	if _, err := os.Stat(cfg.DataDir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("something was started before: %v", err)
	}
}

// A tab at one server hears, of sessions that the other one has registered: that there is one more, that its own is about to end, that it isn't any more, and that it has.
func TestTabsOfTheRegistry(t *testing.T) {
	nats := natstest.Start(t)
	serve := func() *server.Server {
		cfg := testConfig(t)
		cfg.NATS.URL = nats.URL()
		cfg.Sessions.IdleTimeout, cfg.Sessions.Notice = 5*time.Second, 4*time.Second
		return start(t, cfg)
	}
	one, other := serve(), serve()
	key := sharedKey(t, one, other, "default", access.Scopes()...)
	// The tab is there before its session is registered: what it is told comes while it listens.
	c := openTab(t, other, key, "s-1")
	for _, id := range []string{"s-1", "s-2"} {
		if status, code := ask(t, one, key, http.MethodPost, "/v1/sessions", `{"session":"`+id+`","user":"ann"}`); status != http.StatusCreated {
			t.Fatal(status, code)
		}
		hears(t, c, tab.TypeSessionsChanged)
	}
	expiring := hears(t, c, tab.TypeSessionExpiring)
	if expiring.Reason != "idle_timeout" || expiring.InMS <= 0 || expiring.InMS > 4000 {
		t.Errorf("%+v", expiring)
	}
	if status, code := ask(t, one, key, http.MethodPost, "/v1/sessions/s-1/touch", ""); status != http.StatusOK {
		t.Fatal(status, code)
	}
	hears(t, c, tab.TypeSessionRenewed)
	// The other session of the same user goes first; then it is this one's turn.
	logout := hears(t, c, tab.TypeLogout)
	if logout.Reason != "idle_timeout" || logout.Scope != "session" || logout.Message == "" {
		t.Errorf("%+v", logout)
	}
}

// What a server's registry knows its publisher puts into events: a logout of a user names the sessions, and the end of a session names the user.
func TestEventsNameWhatIsRegistered(t *testing.T) {
	s := start(t, testConfig(t))
	key := newKey(t, s, "default", access.Scopes()...)
	for _, id := range []string{"s-1", "s-2", "s-3"} {
		if status, code := ask(t, s, key, http.MethodPost, "/v1/sessions", `{"session":"`+id+`","user":"ann","device":"tv"}`); status != http.StatusCreated {
			t.Fatal(status, code)
		}
	}
	var told struct{ Position uint64 }
	call(t, s, key, http.MethodDelete, "/v1/sessions/s-1", "", &told)
	// Its end must be noted: what has ended isn't named any more.
	for deadline := time.Now().Add(20 * time.Second); ; {
		var v struct {
			EndedAt time.Time `json:"ended_at"`
		}
		if call(t, s, key, http.MethodGet, "/v1/sessions/s-1", "", &v); !v.EndedAt.IsZero() {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the end of s-1 isn't noted")
		}
	}
	call(t, s, key, http.MethodPost, "/v1/users/ann/logout", `{"scope":"others","current_session":"s-2"}`, &told)
	var history struct {
		Revocations []struct {
			Event struct {
				Data struct {
					User, Device  string
					Session       string
					Except        []string
					KnownSessions []string `json:"known_sessions"`
				}
			}
		}
	}
	call(t, s, key, http.MethodGet, "/v1/revocations", "", &history)
	if len(history.Revocations) != 2 {
		t.Fatalf("%+v", history)
	}
	if e := history.Revocations[0].Event.Data; e.Session != "s-1" || e.User != "ann" || e.Device != "tv" {
		t.Errorf("the end of a session: %+v", e)
	}
	if e := history.Revocations[1].Event.Data; !slices.Equal(e.KnownSessions, []string{"s-3"}) || !slices.Equal(e.Except, []string{"s-2"}) {
		t.Errorf("the logout of the others: %+v", e)
	}
}

// hears returns the next frame of a type.
func hears(t *testing.T, c *tabclient.Conn, want tab.FrameType) tab.Frame {
	t.Helper()
	for {
		f, err := c.Next(t.Context())
		if err != nil {
			t.Fatalf("want %s: %v", want, err)
		}
		if f.Type == want {
			return f
		}
	}
}
