package chaos

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
)

// tight is the shortest beat and budget that serve takes.
var tight = []string{"--ledger-beat-interval", "250ms", "--staleness-budget", "1s"}

// budget is that of tight, and of every replica that the tests open unless they say otherwise.
const budget = time.Second

// beat is that of tight.
const beat = 250 * time.Millisecond

// instance is a running curfew serve.
type instance struct {
	*process
	t    *testing.T
	api  string
	key  string
	args []string
	dir  string
}

// serve starts curfew serve over an external NATS, and waits until it is ready.
func serve(t *testing.T, natsURL string, args ...string) *instance {
	t.Helper()
	i := newInstance(t, natsURL, args...)
	i.run()
	return i
}

func newInstance(t *testing.T, natsURL string, args ...string) *instance {
	t.Helper()
	i := &instance{t: t, dir: t.TempDir()}
	i.args = append([]string{
		"serve", "--nats-url", natsURL, "--listen", "127.0.0.1:0", "--admin-listen", "", "--drain-window", "10ms", "--data-dir", i.dir,
	}, args...)
	return i
}

// successor starts another process in the place of this one, which is gone.
func (i *instance) successor() *instance {
	i.t.Helper()
	next := &instance{t: i.t, dir: i.dir, args: i.args}
	next.run()
	return next
}

func (i *instance) run() {
	i.t.Helper()
	i.begin()
	i.ready()
}

// begin doesn't wait until it is ready.
func (i *instance) begin() { i.t.Helper(); i.process = start(i.t, nil, binary, i.args...) }

func (i *instance) ready() {
	i.t.Helper()
	i.api = i.wait("curfew serves ")
	if key, err := os.ReadFile(filepath.Join(i.dir, "admin.key")); err == nil {
		i.key = strings.TrimSpace(string(key))
	}
}

// revoke ends a session over HTTP. It returns the position if the revocation was acknowledged, and an error if it wasn't or nobody knows.
func (i *instance) revoke(ctx context.Context, session string) (position uint64, err error) {
	body, err := json.Marshal(map[string]string{"scope": "session", "session": session, "user": "ada", "reason": "admin"})
	if err != nil {
		return 0, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, i.api+"/v1/revocations", bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", "Bearer "+i.key)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", session)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err
	}
	if resp.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("%s: %s", resp.Status, answer)
	}
	var receipt struct {
		Position uint64 `json:"position"`
	}
	if err := json.Unmarshal(answer, &receipt); err != nil || receipt.Position == 0 {
		return 0, fmt.Errorf("%w in %s", err, answer)
	}
	return receipt.Position, nil
}
