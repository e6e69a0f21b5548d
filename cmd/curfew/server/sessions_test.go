package server_test

import (
	"crypto/hkdf"
	"crypto/sha256"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/go-cmp/cmp"

	"github.com/curfewhq/curfew/internal/config"
)

const (
	tokenSecret  = "the secret that tokens are signed with"
	cookieSecret = "the secret of the application's Auth.js"
	cookieName   = "__Secure-authjs.session-token"
)

// authJSCookie makes the value of a cookie as Auth.js does.
func authJSCookie(t *testing.T, claims map[string]any) string {
	t.Helper()
	key, err := hkdf.Key(sha256.New, []byte(cookieSecret), []byte(cookieName), "Auth.js Generated Encryption Key ("+cookieName+")", 64)
	if err != nil {
		t.Fatal(err)
	}
	e, err := jose.NewEncrypter(jose.A256CBC_HS512, jose.Recipient{Algorithm: jose.DIRECT, Key: key}, nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := jwt.Encrypted(e).Claims(claims).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func signed(t *testing.T, claims map[string]any) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: []byte(tokenSecret)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func fileWith(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Forward-auth takes the cookies of Auth.js, alone and beside tokens.
func TestForwardAuthOfAuthJS(t *testing.T) {
	claims := func(sid string) map[string]any {
		return map[string]any{"sub": "ada", "sid": sid, "exp": time.Now().Add(time.Hour).Unix(), "auth_time_ms": time.Now().Add(-time.Hour).UnixMilli()}
	}
	one, two := claims("s1"), claims("s2")
	cookie := func(c map[string]any) string { return cookieName + "=" + authJSCookie(t, c) }
	tests := []struct {
		name   string
		tokens bool
		header http.Header
		status int
		user   string
	}{
		{name: "cookie", header: http.Header{"Cookie": {cookie(one)}}, status: 200, user: "ada"},
		{name: "a bearer is nothing to it", header: http.Header{"Authorization": {"Bearer x"}}, status: 401},
		{name: "bad cookie", header: http.Header{"Cookie": {cookie(one) + "x"}}, status: 401},
		{name: "nothing", status: 401},
		{name: "cookie where tokens are read too", tokens: true, header: http.Header{"Cookie": {cookie(one)}}, status: 200, user: "ada"},
		{name: "token where cookies are read too", tokens: true, header: http.Header{"Authorization": {"Bearer " + signed(t, one)}}, status: 200, user: "ada"},
		{name: "both, one session", tokens: true, header: http.Header{"Authorization": {"Bearer " + signed(t, one)}, "Cookie": {cookie(one)}}, status: 200, user: "ada"},
		{name: "both, two sessions", tokens: true, header: http.Header{"Authorization": {"Bearer " + signed(t, one)}, "Cookie": {cookie(two)}}, status: 401},
		{name: "a bad token beside a good cookie", tokens: true, header: http.Header{"Authorization": {"Bearer x"}, "Cookie": {cookie(one)}}, status: 401},
		{name: "nothing of either", tokens: true, status: 401},
	}
	urls := map[bool]string{}
	for _, tokens := range []bool{false, true} {
		cfg := testConfig(t)
		cfg.AuthJS.SecretFiles = []string{fileWith(t, "a newer secret, of which there are no cookies yet"), fileWith(t, cookieSecret+"\n")}
		if tokens {
			cfg.JWT.Algorithms, cfg.JWT.KeyFile = []string{"HS256"}, fileWith(t, tokenSecret)
		}
		urls[tokens] = start(t, cfg).URL()
	}
	client := &http.Client{}
	t.Cleanup(client.CloseIdleConnections)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, urls[tt.tokens]+"/v1/forward-auth", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header = tt.header
			resp, err := client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if got := []any{resp.StatusCode, resp.Header.Get("X-User-ID")}; !cmp.Equal(got, []any{tt.status, tt.user}) {
				t.Errorf("got %v, want %d %q", got, tt.status, tt.user)
			}
		})
	}
}

func TestAuthJSConfigurationIsRefused(t *testing.T) {
	tests := []struct {
		name   string
		change func(*testing.T, *config.Config)
		want   []string
	}{
		{"no such file", func(_ *testing.T, c *config.Config) { c.AuthJS.SecretFiles = []string{"/does/not/exist"} }, []string{"authjs.secret_files", "/does/not/exist"}},
		{"empty", func(t *testing.T, c *config.Config) { c.AuthJS.SecretFiles = []string{fileWith(t, "\n")} }, []string{"is empty", "AUTH_SECRET"}},
		{"two lines", func(t *testing.T, c *config.Config) {
			c.AuthJS.SecretFiles = []string{fileWith(t, "hunter2 hunter2 hunter2\nhunter2")}
		}, []string{"one secret and nothing else"}},
		{"white space", func(t *testing.T, c *config.Config) {
			c.AuthJS.SecretFiles = []string{fileWith(t, "hunter2 hunter2 hunter2 \n")}
		}, []string{"white space"}},
		{"short", func(t *testing.T, c *config.Config) { c.AuthJS.SecretFiles = []string{fileWith(t, "hunter2\n")} }, []string{"authjs: ", "number 1 is shorter than 16 bytes"}},
		{"everything at once", func(t *testing.T, c *config.Config) {
			c.AuthJS.SecretFiles = []string{"/does/not/exist", fileWith(t, "")}
			c.JWT.Algorithms, c.JWT.KeyFile = []string{"HS256"}, "/neither/does/this"
		}, []string{"/does/not/exist", "is empty", "/neither/does/this"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := testConfig(t)
			tt.change(t, &cfg)
			s, err := try(t, cfg)
			if err == nil {
				stop(t, s)
				t.Fatal("it starts")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q isn't said in: %v", want, err)
				}
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("a secret is quoted: %v", err)
			}
		})
	}
}
