package blackbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/curfewhq/curfew/events/tab"
	"github.com/curfewhq/curfew/internal/tabclient"
)

// recent is an auth time within max age.
func recent() string { return time.Now().Add(-time.Hour).UTC().Format("2006-01-02T15:04:05.000Z") }

func (i *instance) check(t *testing.T, session, user, begun string) (status string, verdict map[string]any) {
	t.Helper()
	status, body := i.curl(t, "-G", i.api+"/v1/check", "--data-urlencode", "session="+session, "--data-urlencode", "user="+user,
		"--data-urlencode", "auth_time="+begun)
	if err := json.Unmarshal([]byte(body), &verdict); err != nil {
		t.Fatalf("check answered %s %q: %v", status, body, err)
	}
	return status, verdict
}

// tabOf opens a tab for a session with a ticket that curl has got.
func (i *instance) tabOf(t *testing.T, session, user, begun string) *tabclient.Conn {
	t.Helper()
	status, body := i.curl(t, i.api+"/v1/tickets", "-H", "Content-Type: application/json",
		"-d", fmt.Sprintf(`{"user":%q,"session":%q,"auth_time":%q}`, user, session, begun))
	var answer struct {
		Ticket string `json:"ticket"`
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil || status != "200" {
		t.Fatalf("ticket: %s %s", status, body)
	}
	conn, err := tabclient.Dial(t.Context(), strings.Replace(i.api, "http", "ws", 1), "", answer.Ticket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func next(t *testing.T, conn *tabclient.Conn) (tab.Frame, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	return conn.Next(ctx)
}

// TestOneLogoutEndToEnd follows one logout from curl to the check, the tab and tail; then kills the process and finds it all again.
func TestOneLogoutEndToEnd(t *testing.T) {
	dir, begun := t.TempDir(), recent()
	i := serve(t, dir, "127.0.0.1:0")

	info, err := os.Stat(filepath.Join(dir, "curfew-data", "admin.key"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the first admin key: %v %v, want mode 0600", info, err)
	}
	i.log.wait(t, "first admin key written to")
	if status, _ := i.check(t, "s-blackbox-7f3a", "ada-lovelace-1815", begun); status != "200" {
		t.Fatalf("check before: %s, want 200", status)
	}

	tailed := newLines()
	tail := exec.Command(binary, "events", "tail", "--json", "--url", i.api, "--after", "1")
	tail.Dir, tail.Env = dir, cleanEnv()
	tail.Stdout = tailed
	if err := tail.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tail.Process.Kill(); _ = tail.Wait() })

	conn := i.tabOf(t, "s-blackbox-7f3a", "ada-lovelace-1815", begun)
	if f, err := next(t, conn); err != nil || f.Type != tab.TypeReady {
		t.Fatalf("want ready, got %q %v", f.Type, err)
	}

	status, body := i.curl(t, i.api+"/v1/revocations?wait=stored", "-H", "Content-Type: application/json", "-H", "Idempotency-Key: blackbox-1",
		"-d", `{"scope":"session","session":"s-blackbox-7f3a","user":"ada-lovelace-1815","reason":"compromised","reason_user":"Sign in again.","reason_admin":"ticket 7"}`)
	var receipt struct {
		ID       string `json:"id"`
		Position uint64 `json:"position"`
	}
	if err := json.Unmarshal([]byte(body), &receipt); err != nil || status != "200" || receipt.Position == 0 {
		t.Fatalf("revoke: %s %s", status, body)
	}

	f, err := next(t, conn)
	if err != nil || f.Type != tab.TypeLogout || f.ID != receipt.ID || f.Message != "Sign in again." {
		t.Fatalf("notice: %+v %v, want that of %s", f, err, receipt.ID)
	}
	if err := conn.Ack(f.ID, tab.OutcomeSignedOut); err != nil {
		t.Fatal(err)
	}
	var closed *tabclient.CloseError
	if _, err := next(t, conn); !errors.As(err, &closed) || closed.Code != tab.CloseSignedOut {
		t.Fatalf("want close 4501, got %v", err)
	}
	refused := func(i *instance) {
		t.Helper()
		status, verdict := i.check(t, "s-blackbox-7f3a", "ada-lovelace-1815", begun)
		if status != "401" || verdict["code"] != "session_revoked" || verdict["event"] != receipt.ID {
			t.Fatalf("check after: %s %v, want 401 session_revoked by %s", status, verdict, receipt.ID)
		}
	}
	refused(i)
	if line := tailed.wait(t, receipt.ID); !strings.Contains(line, "io.github.curfewhq.SessionRevoked.v1") {
		t.Errorf("tail printed %s", line)
	}

	// More that is acknowledged, and then the end without warning.
	acknowledged := []string{receipt.ID}
	for n := range 20 {
		r := i.curfew(t, "revoke", "user", fmt.Sprintf("user-%d", n), "--json")
		var made struct {
			ID string `json:"id"`
		}
		if err := json.Unmarshal([]byte(r.stdout), &made); err != nil || r.code != 0 {
			t.Fatalf("revoke: %+v", r)
		}
		acknowledged = append(acknowledged, made.ID)
	}
	i.kill(t)

	i = serve(t, dir, i.addr())
	refused(i)
	if strings.Contains(i.log.text(), "first admin key written to") {
		t.Error("a restart made another first admin key")
	}
	status, body = i.curl(t, "-G", i.api+"/v1/revocations", "-d", "limit=1000")
	if status != "200" {
		t.Fatalf("history: %s %s", status, body)
	}
	for _, id := range acknowledged {
		if !strings.Contains(body, id) {
			t.Errorf("event %s was acknowledged and isn't there after kill -9", id)
		}
	}
	// A tab of the ended session comes back and learns it.
	conn = i.tabOf(t, "s-blackbox-7f3a", "ada-lovelace-1815", begun)
	if f, err := next(t, conn); err != nil || f.Type != tab.TypeLogout || f.ID != receipt.ID || f.Message != "Sign in again." {
		t.Fatalf("a tab that came back was told %+v %v", f, err)
	}
	// The same call again is the same event, also across the restart.
	_, again := i.curl(t, i.api+"/v1/revocations", "-H", "Content-Type: application/json", "-H", "Idempotency-Key: blackbox-1",
		"-d", `{"scope":"session","session":"s-blackbox-7f3a","user":"ada-lovelace-1815","reason":"compromised","reason_user":"Sign in again.","reason_admin":"ticket 7"}`)
	if !strings.Contains(again, receipt.ID) || !strings.Contains(again, `"duplicate":true`) {
		t.Errorf("the repeated call answered %s", again)
	}
	if code := i.terminate(t); code != 0 {
		t.Errorf("SIGTERM ended it with %d, want 0", code)
	}
	for _, secret := range []string{"s-blackbox-7f3a", "ada-lovelace-1815", "ticket 7", "Sign in again", "cfw_"} {
		if strings.Contains(i.log.text(), secret) {
			t.Errorf("the log holds %q", secret)
		}
	}
}

func TestExitCodesAndHints(t *testing.T) {
	dir := t.TempDir()
	i := serve(t, dir, "127.0.0.1:0")
	if r := i.curfew(t, "revoke", "session", "s-9", "--user", "eve"); r.code != 0 || !strings.Contains(r.stdout, "stored: session revocation") {
		t.Fatalf("revoke: %+v", r)
	}
	nobody := "http://127.0.0.1:1"
	for _, c := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"active", []string{"check", "--session", "s-8", "--user", "eve", "--auth-time", recent()}, 0, "active"},
		{"revoked", []string{"check", "--session", "s-9", "--user", "eve", "--auth-time", recent()}, 4, "revoked: by session (admin)"},
		{"past max age", []string{"check", "--session", "s-8", "--user", "eve", "--auth-time", "2020-01-01T00:00:00Z"}, 4, "max_age"},
		{"undetermined", []string{"check", "--session", "s-8", "--user", "eve"}, 5, "auth time is missing"},
		{"no such flag", []string{"check", "--sesion", "s-8"}, 2, "unknown flag"},
		{"no such verb", []string{"revok"}, 2, "unknown command"},
		{"missing id", []string{"revoke", "session"}, 2, "usage"},
		{"not an RFC 3339 time", []string{"revoke", "user", "eve", "--cutoff", "yesterday"}, 2, "RFC 3339"},
		{"a tenant takes --yes", []string{"revoke", "tenant"}, 2, "add --yes"},
		{"cutoff in the future", []string{"revoke", "user", "eve", "--cutoff", "2090-01-01T00:00:00Z"}, 6, "lock people out"},
		{"nobody there", []string{"revoke", "session", "x", "--url", nobody}, 3, "curfew serve"},
		{"no key", []string{"revoke", "session", "x", "--data-dir", "nowhere"}, 2, "--api-key-file"},
		{"healthy", []string{"health"}, 0, "ready"},
		{"not healthy", []string{"health", "--admin-url", nobody}, 3, "no curfew answers"},
		{"doctor", []string{"doctor"}, 0, "ok    streams: as they should be"},
		{"doctor without a server", []string{"doctor", "--admin-url", nobody}, 1, "hint: start one"},
		{"version", []string{"version"}, 0, "curfew "},
		{"completion", []string{"completion", "bash"}, 0, "__start_curfew"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := i.curfew(t, c.args...)
			if r.code != c.code || !strings.Contains(r.stdout+r.stderr, c.says) {
				t.Errorf("got exit code %d, want %d, and want %q in:\n%s%s", r.code, c.code, c.says, r.stdout, r.stderr)
			}
		})
	}
}

func TestServeRefusesDangerousConfigurations(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		name string
		args []string
		says []string
	}{
		{"bind outside loopback in the clear", []string{"--listen", "0.0.0.0:0"}, []string{"tls_cert_file", "behind_proxy"}},
		{"retention below max age", []string{"--ledger-retention", "24h"}, []string{"ledger.retention", "outlive"}},
		{"a Redis in no file", []string{"--redis-url-file", "/does/not/exist"}, []string{"redis.url_file (--redis-url-file, CURFEW_REDIS_URL_FILE)", "/does/not/exist"}},
		{"several faults at once", []string{"--roles", "publisher,barber", "--max-age", "1s"}, []string{"barber", "max_age"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := run(t, dir, nil, binary, append([]string{"serve"}, c.args...)...)
			if r.code != 2 || !containsAll(r.stderr, c.says) {
				t.Errorf("got exit code %d, want 2, and want %q in:\n%s", r.code, c.says, r.stderr)
			}
		})
	}
	t.Run("unknown variable", func(t *testing.T) {
		r := run(t, dir, []string{"CURFEW_STALENESS_BUGDET=1s"}, binary, "serve")
		if r.code != 2 || !strings.Contains(r.stderr, "CURFEW_STALENESS_BUGDET") {
			t.Errorf("got %+v", r)
		}
	})
	t.Run("two processes on one data folder", func(t *testing.T) {
		i := serve(t, dir, "127.0.0.1:0")
		r := run(t, dir, nil, binary, "serve", "--listen", "127.0.0.1:0", "--admin-listen", "")
		if r.code != 1 || !strings.Contains(r.stderr, "curfew-data") {
			t.Errorf("got %+v", r)
		}
		i.kill(t)
	})
}
