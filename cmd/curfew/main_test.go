package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"go.uber.org/goleak"

	"github.com/curfewhq/curfew/cmd/curfew/apiclient"
	"github.com/curfewhq/curfew/cmd/curfew/server"
	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/access/accesstest"
	"github.com/curfewhq/curfew/internal/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// startServer runs the services for a test and points the verbs at them.
func startServer(t *testing.T, change ...func(*config.Config)) *server.Server {
	t.Helper()
	log := logrus.New()
	log.SetOutput(io.Discard)
	cfg := config.Default()
	cfg.Listen, cfg.AdminListen, cfg.DataDir = "127.0.0.1:0", "127.0.0.1:0", filepath.Join(t.TempDir(), "data")
	cfg.Ledger.SyncInterval, cfg.DrainWindow = 10*time.Second, 10*time.Millisecond
	for _, c := range change {
		c(&cfg)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	s, err := server.Start(ctx, cfg, server.Options{Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := s.Stop(ctx); err != nil {
			t.Error(err)
		}
		http.DefaultClient.CloseIdleConnections()
	})
	t.Setenv("CURFEW_URL", s.URL())
	t.Setenv("CURFEW_ADMIN_URL", s.AdminURL())
	t.Setenv("CURFEW_DATA_DIR", cfg.DataDir)
	return s
}

// newKey makes a key of the default tenant.
func newKey(t *testing.T, s *server.Server, scopes ...access.Scope) string {
	t.Helper()
	_, text := accesstest.Key(t, s.Keys(), events.DefaultTenant, scopes...)
	return text
}

// caller calls a server's API as a backend does, with a key of every scope.
func caller(t *testing.T, s *server.Server) *apiclient.Client {
	t.Helper()
	c, err := apiclient.New(s.URL(), newKey(t, s, access.Scopes()...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// output is a writer that a test can wait on.
type output struct {
	mu   sync.Mutex
	b    bytes.Buffer
	seen chan struct{}
	want string
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.b.Write(p)
	if o.want != "" && strings.Contains(o.b.String(), o.want) {
		close(o.seen)
		o.want = ""
	}
	return len(p), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// until returns a channel that is closed once the output holds want.
func (o *output) until(want string) <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.seen, o.want = make(chan struct{}), want
	if strings.Contains(o.b.String(), want) {
		close(o.seen)
		o.want = ""
	}
	return o.seen
}

// command runs one command line to its end.
func command(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs output
	code = run(t.Context(), args, &out, &errs)
	return out.String(), errs.String(), code
}

// must runs a command line that has to succeed.
func must(t *testing.T, args ...string) string {
	t.Helper()
	stdout, stderr, code := command(t, args...)
	if code != exitDone {
		t.Fatalf("curfew %s: exit code %d\n%s%s", strings.Join(args, " "), code, stdout, stderr)
	}
	return stdout
}

// background runs a command line until stop, which returns its exit code.
func background(t *testing.T, args ...string) (out *output, stop func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	out = &output{}
	ended := make(chan int, 1)
	go func() { ended <- run(ctx, args, out, out) }()
	var once sync.Once
	code := 0
	stop = func() int {
		once.Do(func() { cancel(); code = <-ended })
		return code
	}
	t.Cleanup(func() { stop() })
	return out, stop
}

// await fails the test if the output doesn't hold want soon.
func await(t *testing.T, out *output, want string) {
	t.Helper()
	select {
	case <-out.until(want):
	case <-time.After(20 * time.Second):
		t.Fatalf("want %q in:\n%s", want, out)
	}
}

// begun is an auth time within max age.
func begun() string { return time.Now().Add(-time.Hour).UTC().Format(time.RFC3339Nano) }
