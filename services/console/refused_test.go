package console_test

import (
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/curfewhq/curfew/internal/access"
)

// answers are requests of every kind, and what they are answered with to nobody.
var answers = []struct {
	method, path string
	status       int
}{
	{"GET", "/console", 302}, {"GET", "/console/", 200}, {"HEAD", "/console/", 200}, {"POST", "/console/", 405},
	{"GET", "/console/assets/none.js", 404}, {"GET", "/console/nothing", 404}, {"GET", "/console/methods", 200},
	{"GET", "/console/session", 401}, {"DELETE", "/console/session", 401}, {"POST", "/console/session/touch", 401},
	{"GET", "/console/metrics", 401}, {"GET", "/console/fleet", 401}, {"GET", "/console/findings", 401}, {"POST", "/console/oidc/login", 404}, {"GET", "/console/oidc/callback?code=x&state=y", 404},
	{"GET", "/console/api/v1/revocations", 401}, {"GET", "/console/api/v1/revocations/stats", 401}, {"GET", "/console/api/v1/revocations/7", 401},
	{"GET", "/console/api/v1/explain", 401}, {"GET", "/console/api/v1/replicas", 401}, {"GET", "/console/api/v1/receipts", 401}, {"GET", "/console/api/v1/receipts/x", 401}, {"GET", "/console/api/v1/users/ada/sessions", 401}, {"GET", "/console/api/v1/users/ada/tabs", 401},
	{"POST", "/console/api/v1/users/ada/logout", 401}, {"DELETE", "/console/api/v1/sessions/s1", 401},
	{"GET", "/console/api/v1/parked", 401}, {"GET", "/console/api/v1/parked/1", 401}, {"DELETE", "/console/api/v1/parked/1", 401}, {"POST", "/console/api/v1/parked/1/retry", 401},
	{"GET", "/console/api/v1/replays", 401}, {"POST", "/console/api/v1/replays", 401}, {"GET", "/console/api/v1/replays/x", 401}, {"POST", "/console/api/v1/replays/x/cancel", 401}, {"POST", "/console/api/v1/replays/x/resume", 401},
	{"GET", "/console/api/v1/keys", 404}, {"POST", "/console/api/v1/tickets", 404}, {"GET", "/console/api/v1/connect", 404}, {"PUT", "/console/api/v1/replicas", 405},
}

// Every answer has the headers, and nothing but the page itself is for whoever comes.
func TestNobody(t *testing.T) {
	r := newRig(t, nil)
	_, text := r.key(t, "default", access.Scopes()...)
	want := map[string]string{
		"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
		"X-Content-Type-Options":  "nosniff", "Referrer-Policy": "no-referrer", "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
		"Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()", "X-Frame-Options": "DENY", "Cache-Control": "no-store",
	}
	for _, tt := range answers {
		// A good key in a header is nobody here.
		resp, body := r.call(t, tt.method, tt.path, "", "Authorization", "Bearer "+text)
		if resp.StatusCode != tt.status {
			t.Errorf("%s %s: got %d %s, want %d", tt.method, tt.path, resp.StatusCode, body, tt.status)
		}
		got := map[string]string{}
		for name := range want {
			got[name] = strings.Join(resp.Header.Values(name), "|")
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s %s: %s", tt.method, tt.path, diff)
		}
		if cors := resp.Header.Get("Access-Control-Allow-Origin"); cors != "" {
			t.Errorf("%s %s: others may read it: %s", tt.method, tt.path, cors)
		}
	}
}

// Trap 32: what other pages cause is refused, though the cookie came along: those of other ports of the same host are of the same site.
func TestOtherPages(t *testing.T) {
	r := newRig(t, nil)
	_, text := r.key(t, "acme", access.ScopeAdmin, access.ScopeRead, access.ScopePublish)
	session := r.signIn(t, text)
	paths := []struct{ method, path string }{
		{"GET", "/console/session"}, {"GET", "/console/api/v1/replicas"}, {"POST", "/console/api/v1/users/ada/logout"}, {"POST", "/console/session/touch"}, {"DELETE", "/console/session"}, {"POST", "/console/session"},
	}
	for name, header := range map[string][]string{
		"cross-site": {"Sec-Fetch-Site", "cross-site"}, "another port": {"Sec-Fetch-Site", "same-site"}, "typed in": {"Sec-Fetch-Site", "none"},
	} {
		for _, p := range paths {
			resp, body := r.call(t, p.method, p.path, "{}", append(header, "Cookie", session)...)
			// What a person does in the address bar can't write, but may count as no page's doing; it isn't the page's either.
			if resp.StatusCode != http.StatusForbidden || codeOf(t, body) != "origin_not_allowed" {
				t.Errorf("%s: %s %s: %d %s", name, p.method, p.path, resp.StatusCode, body)
			}
		}
	}
	for _, p := range paths {
		if p.method == http.MethodGet {
			continue // an old browser, which sends no Sec-Fetch-Site, sends no Origin with it either
		}
		if resp, body := r.call(t, p.method, p.path, "{}", "Cookie", session, "Origin", "https://evil.example"); resp.StatusCode != http.StatusForbidden {
			t.Errorf("another origin: %s %s: %d %s", p.method, p.path, resp.StatusCode, body)
		}
	}
	if resp, body := r.call(t, "POST", "/console/api/v1/users/ada/logout", "{}", "Cookie", session, "Origin", r.URL, "Sec-Fetch-Site", "same-origin"); resp.StatusCode != http.StatusOK {
		t.Errorf("the page itself: %d %s", resp.StatusCode, body)
	}
}

// The API hears of the session's key, whatever headers say, and of no cookie.
func TestForward(t *testing.T) {
	r := newRig(t, nil)
	key, text := r.key(t, "acme", access.ScopeAdmin, access.ScopeRead, access.ScopeSessions)
	_, other := r.key(t, "globex", access.Scopes()...)
	session := r.signIn(t, text)
	for name, header := range map[string][]string{"plain": nil, "with another's key": {"Authorization", "Bearer " + other}, "with a bad key": {"Authorization", "Bearer x"}} {
		resp, body := r.call(t, http.MethodGet, "/console/api/v1/users/a%2Fb%20%E2%82%AC/sessions?limit=7", "", append(header, "Cookie", session)...)
		var got map[string]any
		if err := json.Unmarshal([]byte(body), &got); err != nil {
			t.Fatalf("%s: %d %s", name, resp.StatusCode, body)
		}
		want := map[string]any{"key": key.ID, "tenant": "acme", "path": "/v1/users/a%2Fb%20%E2%82%AC/sessions", "query": "limit=7", "cookie": "", "live": true}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	// What the key lacks the session lacks.
	resp, body := r.call(t, http.MethodPost, "/console/api/v1/users/ada/logout", "{}", "Cookie", session)
	if resp.StatusCode != http.StatusForbidden || codeOf(t, body) != "api_key_scope" {
		t.Errorf("without publish: %d %s", resp.StatusCode, body)
	}
	for _, path := range []string{"/console/api/v1/keys", "/console/api/../api/v1/keys", "/console/api/v1/replicas/../keys", "/console/api//v1/keys", "/console/api/v1/%6beys", "/console/api/v1/replicas%2f..%2fkeys"} {
		if resp, body := r.call(t, http.MethodGet, path, "", "Cookie", session); resp.StatusCode == http.StatusOK {
			t.Errorf("%s: %s", path, body)
		}
	}
}

// Nothing but the page's own files is served, by whatever name.
func TestFiles(t *testing.T) {
	r := newRig(t, nil)
	resp, index := r.call(t, http.MethodGet, "/console/", "")
	if resp.Header.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Errorf("the page is %s", resp.Header.Get("Content-Type"))
	}
	if regexp.MustCompile(`(?i)<script(?:\s[^>]*)?>[^<]|<style|\son\w+=|\sstyle=|javascript:|https?://`).MatchString(index) {
		t.Errorf("the page holds what its policy forbids: %s", index)
	}
	types := map[string]string{".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}
	names := regexp.MustCompile(`/console/assets/[A-Za-z0-9_.-]+`).FindAllString(index, -1)
	if len(names) < 3 {
		t.Fatalf("the page names %q", names)
	}
	for _, name := range names {
		resp, body := r.call(t, http.MethodGet, name, "")
		if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != types[filepath.Ext(name)] || resp.Header.Get("Cache-Control") != "public, max-age=31536000, immutable" || body == "" {
			t.Errorf("%s: %d %v", name, resp.StatusCode, resp.Header)
		}
	}
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"..%2findex.html", "%2e%2e%2f%2e%2e%2fgo.mod", "..", "", ".", secret, "..%2f..%2fservice.go", "%00", "C:%5cx"} {
		if resp, body := r.call(t, http.MethodGet, "/console/assets/"+path, ""); resp.StatusCode == http.StatusOK && !strings.Contains(body, "<!doctype html>") {
			t.Errorf("%q: %.80q", path, body)
		}
	}
	// Raw, since clients clean paths.
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", r.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("GET /console/assets/../../../etc/passwd HTTP/1.0\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 64)
	if n, _ := conn.Read(b); strings.Contains(string(b[:n]), " 200 ") {
		t.Errorf("got %s", b[:n])
	}
}
