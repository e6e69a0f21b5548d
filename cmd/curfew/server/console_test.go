package server_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/curfewhq/curfew/cmd/curfew/server"
)

// operator is a browser that is signed in to the console.
type operator struct {
	t      *testing.T
	url    string
	cookie string
	client *http.Client
}

func signIn(t *testing.T, s *server.Server) *operator {
	t.Helper()
	text, err := os.ReadFile(s.AdminKeyFile())
	if err != nil {
		t.Fatal(err)
	}
	o := &operator{t: t, url: s.AdminURL(), client: &http.Client{Transport: &http.Transport{}}}
	t.Cleanup(o.client.CloseIdleConnections)
	resp := o.call(t.Context(), http.MethodPost, "/console/session", `{"key":"`+strings.TrimSpace(string(text))+`"}`)
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK || len(resp.Cookies()) != 1 {
		t.Fatalf("sign in: %d", resp.StatusCode)
	}
	o.cookie = resp.Cookies()[0].Name + "=" + resp.Cookies()[0].Value
	return o
}

func (o *operator) call(ctx context.Context, method, path, body string) *http.Response {
	o.t.Helper()
	q, err := http.NewRequestWithContext(ctx, method, o.url+path, strings.NewReader(body))
	if err != nil {
		o.t.Fatal(err)
	}
	q.Header.Set("Content-Type", "application/json")
	q.Header.Set("Cookie", o.cookie)
	resp, err := o.client.Do(q)
	if err != nil {
		o.t.Fatal(err)
	}
	return resp
}

func (o *operator) get(path string) (status int, body string) {
	o.t.Helper()
	resp := o.call(o.t.Context(), http.MethodGet, path, "")
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		o.t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// The console is on the admin listener, and there alone.
func TestConsoleIsOnTheAdminListener(t *testing.T) {
	s := start(t, testConfig(t))
	client := &http.Client{Transport: &http.Transport{}}
	if status, body := get(t, client, s.ConsoleURL()); status != 200 || !strings.Contains(body, `id="root"`) {
		t.Errorf("the console: %d %s", status, body)
	}
	for _, path := range []string{"/console", "/console/", "/console/session", "/console/api/v1/replicas", "/console/assets/x.js"} {
		if status, _ := get(t, client, s.URL()+path); status != http.StatusNotFound {
			t.Errorf("the API's listener has %s: %d", path, status)
		}
	}
}

func TestConsoleIsOffWhereItIsTold(t *testing.T) {
	cfg := testConfig(t)
	cfg.Console.Enabled = "false"
	s := start(t, cfg)
	client := &http.Client{Transport: &http.Transport{}}
	if status, _ := get(t, client, s.AdminURL()+"/console/"); status != http.StatusNotFound || s.ConsoleURL() != "" {
		t.Errorf("got %d, %q", status, s.ConsoleURL())
	}
}

// An operator sees what happens while it happens, and logs somebody out, over the API that everybody has.
func TestConsoleOverTheAPI(t *testing.T) {
	s := start(t, testConfig(t))
	o := signIn(t, s)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	stream := o.call(ctx, http.MethodGet, "/console/api/v1/revocations?follow=true", "")
	defer func() { _ = stream.Body.Close() }()
	lines := bufio.NewScanner(stream.Body)
	if stream.StatusCode != http.StatusOK || !lines.Scan() {
		t.Fatalf("the stream: %d", stream.StatusCode)
	}
	done := o.call(ctx, http.MethodPost, "/console/api/v1/users/ada/logout", `{"scope":"everywhere","reason":"compromised"}`)
	b, _ := io.ReadAll(done.Body)
	_ = done.Body.Close()
	if done.StatusCode != http.StatusOK {
		t.Fatalf("logout: %d %s", done.StatusCode, b)
	}
	if !lines.Scan() || !strings.Contains(lines.Text(), `"user":"ada"`) || !strings.Contains(lines.Text(), `"compromised"`) {
		t.Fatalf("the stream tells %q, %v", lines.Text(), lines.Err())
	}
	for path, want := range map[string]string{
		"/console/findings": `"name":"freshness"`, "/console/metrics": `"interval_ms":5000`, "/console/api/v1/replicas": `"fresh":true`, "/console/api/v1/users/ada/tabs": `"complete":true`,
		"/console/api/v1/users/ada/sessions": `"sessions":[]`, "/console/api/v1/explain?user=ada&auth_time=2026-01-01T00:00:00Z": `"state":"revoked"`,
	} {
		if status, body := o.get(path); status != 200 || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s, want %s in it", path, status, body, want)
		}
	}
	// A stream without an end doesn't hold up the stop.
	began := time.Now()
	stop(t, s)
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("stopping took %v", took)
	}
}

func TestConsoleSecretFile(t *testing.T) {
	cfg := testConfig(t)
	cfg.Console.OIDC.Issuer, cfg.Console.OIDC.ClientID, cfg.Console.OIDC.RedirectURL = "https://id.example.com", "c", "https://admin.example.com/console/oidc/callback"
	cfg.Console.OIDC.Operators = []string{"sre=default"}
	dir := t.TempDir()
	for name, content := range map[string]string{"missing": "", "empty": "\n", "two lines": "a\nb\n"} {
		cfg.DataDir, cfg.Console.OIDC.SecretFile = filepath.Join(dir, name+".data"), filepath.Join(dir, name)
		if name != "missing" {
			if err := os.WriteFile(cfg.Console.OIDC.SecretFile, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if s, err := try(t, cfg); err == nil || !strings.Contains(err.Error(), "console.oidc.client_secret_file") {
			t.Errorf("%s: %v %v", name, s, err)
		}
	}
	good := filepath.Join(dir, "good")
	if err := os.WriteFile(good, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg.DataDir, cfg.Console.OIDC.SecretFile = filepath.Join(dir, "good.data"), good
	s := start(t, cfg)
	if status, body := get(t, &http.Client{Transport: &http.Transport{}}, s.ConsoleURL()+"methods"); status != 200 || body != "{\"oidc\":true}\n" {
		t.Errorf("got %d %s", status, body)
	}
}
