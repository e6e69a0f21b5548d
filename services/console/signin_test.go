package console_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/services/console"
)

func TestSignIn(t *testing.T) {
	r := newRig(t, nil)
	_, operator := r.key(t, "default", access.Scopes()...)
	_, admin := r.key(t, "acme", access.ScopeAdmin)
	_, reader := r.key(t, "acme", access.ScopeRead, access.ScopePublish)
	gone, revoked := r.key(t, "acme", access.ScopeAdmin)
	if _, err := r.keys.Revoke(t.Context(), gone.ID); err != nil {
		t.Fatal(err)
	}
	quoted := func(text string) string { return `{"key":"` + text + `"}` }
	for _, tt := range []struct {
		name, body, contentType string
		status                  int
		code                    string
	}{
		{name: "operator", body: quoted(operator), status: 200},
		{name: "admin", body: quoted(admin), status: 200},
		{name: "neither", body: quoted(reader), status: 403, code: "api_key_scope"},
		{name: "revoked", body: quoted(revoked), status: 401, code: "api_key_invalid"},
		{name: "another secret", body: quoted(admin[:len(admin)-8] + "00000000"), status: 401, code: "api_key_invalid"},
		{name: "no key", body: quoted("letmein"), status: 401, code: "api_key_invalid"},
		{name: "empty", body: `{}`, status: 401, code: "api_key_invalid"},
		{name: "unknown member", body: `{"key":"x","tenant":"y"}`, status: 400, code: "malformed_body"},
		{name: "a form's type", body: quoted(admin), contentType: "text/plain", status: 415, code: "unsupported_media_type"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var header []string
			if tt.contentType != "" {
				header = []string{"Content-Type", tt.contentType}
			}
			var resp *http.Response
			var body string
			eventually(t, "there is room for an attempt", func() bool {
				resp, body = r.call(t, http.MethodPost, "/console/session", tt.body, header...)
				return resp.StatusCode != http.StatusTooManyRequests
			})
			if resp.StatusCode != tt.status {
				t.Fatalf("got %d %s", resp.StatusCode, body)
			}
			if tt.status != 200 {
				if code := codeOf(t, body); code != tt.code {
					t.Errorf("got %s, want %s", code, tt.code)
				}
				if len(resp.Cookies()) > 0 {
					t.Error("there is a cookie")
				}
			}
		})
	}
	for _, text := range []string{operator, admin, reader, revoked} {
		if strings.Contains(r.log.String()+r.refused.String(), text[len("cfw_0123456789abcdef_"):]) {
			t.Error("a log holds a key's secret")
		}
	}
}

func TestWho(t *testing.T) {
	r := newRig(t, nil)
	key, text := r.key(t, "acme", access.ScopeAdmin, access.ScopeRead)
	resp, body := r.call(t, http.MethodPost, "/console/session", `{"key":"`+text+`"}`)
	again, told := r.call(t, http.MethodGet, "/console/session", "", "Cookie", cookie(t, resp))
	if again.StatusCode != 200 || told != body {
		t.Errorf("at sign-in %s and then %d %s", body, again.StatusCode, told)
	}
	var who map[string]any
	if err := json.Unmarshal([]byte(body), &who); err != nil {
		t.Fatal(err)
	}
	delete(who, "ends_at")
	want := map[string]any{"id": key.ID, "name": "of acme", "tenant": "acme", "scopes": []any{"admin", "read"}, "idle_timeout_ms": 1.8e6}
	if diff := cmp.Diff(want, who); diff != "" {
		t.Error(diff)
	}
	if strings.Contains(body, text) {
		t.Error("the answer holds the key")
	}
}

// The cookie can't be read by scripts, planted by neighbours or sent along by other pages, and holds nothing that anybody else could use.
func TestCookie(t *testing.T) {
	r := newRig(t, nil)
	key, text := r.key(t, "acme", access.ScopeAdmin)
	resp, _ := r.call(t, http.MethodPost, "/console/session", `{"key":"`+text+`"}`)
	c := resp.Cookies()[0]
	if c.Name != cookieName || !c.HttpOnly || !c.Secure || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || c.Domain != "" {
		t.Errorf("the cookie is %s", c.Raw)
	}
	if in := time.Until(c.Expires); in < 50*time.Minute || in > time.Hour {
		t.Errorf("it expires in %v", in)
	}
	if strings.Contains(c.Value, key.ID) || strings.Contains(c.Value, text) {
		t.Error("it isn't sealed")
	}
	good := c.Name + "=" + c.Value
	flipped := []byte(good)
	flipped[len(flipped)-10] ^= 1
	other := r.cfg
	other.Seal = []byte("another deployment's key, 32 byte")[:32]
	_, foreign := serve(t, other)
	r2 := *r
	r2.Server = foreign
	for name, header := range map[string]string{
		"none": "", "empty": cookieName + "=", "tampered": string(flipped), "cut": good[:len(good)-3], "two": good + "; " + good, "another name": "x=" + c.Value,
		"not base64": cookieName + "=%%%", "of another deployment": r2.signIn(t, text), "padded": good + "=",
	} {
		if status := r.status(t, "/console/session", header); status != http.StatusUnauthorized {
			t.Errorf("%s: %d", name, status)
		}
	}
	if status := r.status(t, "/console/session", good); status != http.StatusOK {
		t.Errorf("the good one: %d", status)
	}
}

func TestSignInsAreBounded(t *testing.T) {
	r := newRig(t, nil)
	_, text := r.key(t, "acme", access.ScopeAdmin)
	session := r.signIn(t, text)
	limited := false
	for range 30 {
		resp, body := r.call(t, http.MethodPost, "/console/session", `{"key":"cfw_0123456789abcdef_`+strings.Repeat("0", 64)+`"}`)
		if resp.StatusCode == http.StatusTooManyRequests {
			limited = true
			if resp.Header.Get("Retry-After") == "" || codeOf(t, body) != "too_many_sign_ins" {
				t.Errorf("got %v %s", resp.Header, body)
			}
			break
		}
	}
	if !limited {
		t.Error("one can guess as fast as one likes")
	}
	if status := r.status(t, "/console/session", session); status != http.StatusOK {
		t.Errorf("who is signed in gets %d", status)
	}
}

func TestConfig(t *testing.T) {
	_, err := console.New(t.Context(), console.Config{})
	if err == nil {
		t.Fatal("nothing is needed")
	}
	for _, part := range []string{"API", "Keys", "Seal", "Ended", "Conn", "Lifetime", "IdleTimeout", "Fleet", "Metrics", "Refused", "Log"} {
		if !strings.Contains(err.Error(), "console config: "+part) {
			t.Errorf("%s isn't named in %v", part, err)
		}
	}
}
