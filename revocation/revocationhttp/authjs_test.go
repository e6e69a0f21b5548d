package revocationhttp_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationhttp"
)

func wantNoSession(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, revocationhttp.ErrNoSession) || errors.Is(err, revocationhttp.ErrInvalidToken) {
		t.Errorf("got %v, want no session", err)
	}
}

func wantInvalid(t *testing.T, err error, why string) {
	t.Helper()
	if !errors.Is(err, revocationhttp.ErrInvalidToken) || errors.Is(err, revocationhttp.ErrNoSession) || !strings.Contains(err.Error(), why) {
		t.Errorf("got %v, want an invalid token: %s", err, why)
	}
}

func wantNoSessionOrInvalid(t *testing.T, err error) {
	t.Helper()
	if errors.Is(err, revocationhttp.ErrNoSession) == errors.Is(err, revocationhttp.ErrInvalidToken) {
		t.Fatalf("got %v, want no session or an invalid token", err)
	}
}

func TestAuthJSSessions(t *testing.T) {
	const began = 1767225600123
	base := revocation.Session{Tenant: "default", ID: "s1", User: "ada", AuthTime: time.UnixMilli(began).UTC()}
	with := func(change func(*revocation.Session)) revocation.Session {
		s := base
		change(&s)
		return s
	}
	tests := []struct {
		name   string
		cfg    revocationhttp.AuthJSConfig
		claims map[string]any
		want   revocation.Session
	}{
		{name: "plain", want: base},
		{name: "device and client", claims: map[string]any{"device_id": "laptop", "azp": "web"},
			want: with(func(s *revocation.Session) { s.Device, s.Client = "laptop", "web" })},
		{name: "no sid", claims: map[string]any{"sid": nil}, want: with(func(s *revocation.Session) { s.ID = "" })},
		{name: "no sub", claims: map[string]any{"sub": nil}, want: with(func(s *revocation.Session) { s.User = "" })},
		{name: "sid null", claims: map[string]any{"sid": json.RawMessage("null")}, want: with(func(s *revocation.Session) { s.ID = "" })},
		// iat is never taken for it: it is new at each read.
		{name: "no auth time", claims: map[string]any{"auth_time_ms": nil}, want: with(func(s *revocation.Session) { s.AuthTime = time.Time{} })},
		{name: "auth time in seconds", claims: map[string]any{"auth_time_ms": nil, "auth_time": 1767225600},
			want: with(func(s *revocation.Session) { s.AuthTime = time.Unix(1767225600, 0).UTC() })},
		{name: "milliseconds before seconds", claims: map[string]any{"auth_time": 1}, want: base},
		{name: "another tenant", cfg: revocationhttp.AuthJSConfig{TenantName: "acme"}, want: with(func(s *revocation.Session) { s.Tenant = "acme" })},
		{name: "tenant in a claim", cfg: revocationhttp.AuthJSConfig{Claims: revocationhttp.Claims{Tenant: "org"}}, claims: map[string]any{"org": "acme"},
			want: with(func(s *revocation.Session) { s.Tenant = "acme" })},
		{name: "other claims", cfg: revocationhttp.AuthJSConfig{Claims: revocationhttp.Claims{Session: "session", User: "userId", Device: "dev", Client: "app"}},
			claims: map[string]any{"session": "s2", "userId": "bob", "dev": "d", "app": "a"},
			want:   with(func(s *revocation.Session) { s.ID, s.User, s.Device, s.Client = "s2", "bob", "d", "a" })},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			claims := map[string]any{"auth_time_ms": began}
			maps.Copy(claims, tt.claims)
			tt.cfg.Secrets = secretsOf(authJSSecret)
			a := newAuthJS(t, tt.cfg)
			payload := authJSClaims(claims)
			for _, cookies := range [][]string{{v5Name + "=" + seal5(payload)}, {v4Name + "=" + seal4(payload)}, {v4Name + "=" + seal4(payload), v5Name + "=" + seal5(payload)}} {
				got, err := a.Session(withCookies(cookies...))
				if diff := cmp.Diff(tt.want, got); err != nil || diff != "" {
					t.Errorf("%v (-want +got):\n%s", err, diff)
				}
			}
		})
	}
	a := newAuthJS(t, revocationhttp.AuthJSConfig{Secrets: secretsOf(authJSSecret), Claims: revocationhttp.Claims{Tenant: "org"}})
	_, err := a.Session(withCookies(v5Name + "=" + seal5(authJSClaims(nil))))
	wantInvalid(t, err, "tenant")
}

func TestAuthJSWithoutCookie(t *testing.T) {
	bearer := withCookies()
	bearer.Header.Set("Authorization", "Bearer "+seal5(authJSClaims(nil)))
	a := newAuthJS(t, revocationhttp.AuthJSConfig{Secrets: secretsOf(authJSSecret)})
	for name, r := range map[string]*http.Request{
		"no cookie": withCookies(), "others": withCookies("theme=dark; authjs.csrf-token=a; __Secure-authjs.callback-url=b"),
		"empty": withCookies(v5Name + "="), "empty chunks": withCookies(v5Name + ".0=; " + v5Name + ".1="), "cleared": withCookies(v5Name + "=; " + v5Name + ".0="),
		"another case": withCookies("Authjs.Session-Token=a"), "bearer": bearer,
	} {
		t.Run(name, func(t *testing.T) {
			_, err := a.Session(r)
			wantNoSession(t, err)
		})
	}
}

// Auth.js takes a bearer token where it finds no cookie, and it may look for another one than the one that was checked.
func TestAuthJSBesideABearer(t *testing.T) {
	own, other := authJSClaims(nil), authJSClaims(map[string]any{"sid": "s2"})
	escaped := strings.ReplaceAll(seal4(other), ".", "%2E")
	a := newAuthJS(t, revocationhttp.AuthJSConfig{Secrets: secretsOf(authJSSecret)})
	for _, tt := range []struct {
		name          string
		authorization []string
		good          bool
	}{
		{"another session", []string{"Bearer " + seal4(other)}, false},
		{"another session of version 5", []string{"Bearer " + seal5(other)}, false},
		{"another session, escaped", []string{"bearer  " + escaped}, false},
		{"another session in a second header", []string{"Basic YTpi", "Bearer " + seal4(other)}, false},
		{"another session, expired", []string{"Bearer " + seal4(authJSClaims(map[string]any{"exp": 1}))}, false},
		{"the same session", []string{"Bearer " + seal4(own)}, true},
		{"somebody else's encrypted token", []string{"Bearer " + sealRaw(key4("the secret of somebody else entirely"), false, `{"alg":"dir","enc":"A256GCM"}`, other)}, true},
		{"a JWT", []string{"Bearer e30.e30.AAAA"}, true},
		{"no escape", []string{"Bearer %zz"}, true},
		{"basic", []string{"Basic YTpi"}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := withCookies(v4Name + "=" + seal4(own))
			r.Header["Authorization"] = tt.authorization
			_, err := a.Session(r)
			if !tt.good {
				wantInvalid(t, err, "Authorization")
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}

// Secrets rotate: the one that a cookie names is found among all, and one that names none is tried with all.
func TestAuthJSRotation(t *testing.T) {
	newest := "the newest secret of all of them"
	payload := authJSClaims(nil)
	key := key5(authJSSecret, v5Name)
	for name, cookie := range map[string]string{
		"v5": v5Name + "=" + seal5(payload), "v4": v4Name + "=" + seal4(payload),
		"v5 without kid": v5Name + "=" + sealRaw(key, true, `{"alg":"dir","enc":"A256CBC-HS512"}`, payload),
	} {
		t.Run(name, func(t *testing.T) {
			for _, secrets := range [][]string{{authJSSecret}, {newest, authJSSecret}, {authJSSecret, newest}} {
				if _, err := newAuthJS(t, revocationhttp.AuthJSConfig{Secrets: secretsOf(secrets...)}).Session(withCookies(cookie)); err != nil {
					t.Error(err)
				}
			}
			_, err := newAuthJS(t, revocationhttp.AuthJSConfig{Secrets: secretsOf(newest)}).Session(withCookies(cookie))
			wantInvalid(t, err, "")
		})
	}
}

func TestAuthJSNotBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuthJS(t, revocationhttp.AuthJSConfig{Secrets: secretsOf(authJSSecret)})
		nbf := time.Now().Add(time.Minute)
		r := withCookies(v5Name + "=" + seal5(authJSClaims(map[string]any{"nbf": nbf.Unix()})))
		pass(time.Minute - 15*time.Second - time.Millisecond)
		_, err := a.Session(r)
		wantInvalid(t, err, "not valid yet")
		pass(time.Millisecond)
		if _, err := a.Session(r); err != nil {
			t.Error(err)
		}
	})
}

// Traps 2 and 29: iat isn't compared, and a missing claim doesn't pass. A copied cookie is good until its session is revoked, however often Auth.js has given it a new iat since.
func TestAuthJSGuards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuthJS(t, revocationhttp.AuthJSConfig{Secrets: secretsOf(authJSSecret), CookieName: v5Name})
		r := newRig(t, revocationhttp.Config{Session: a.Session})
		synctest.Wait()
		get := func(changes map[string]any) string {
			w := httptest.NewRecorder()
			r.guard.Handler(ok).ServeHTTP(w, withCookies(v5Name+"="+seal5(authJSClaims(changes))))
			var p struct{ Code string }
			_ = json.Unmarshal(w.Body.Bytes(), &p)
			return fmt.Sprint(w.Code, " ", p.Code)
		}
		check := func(name, want string, changes map[string]any) {
			t.Helper()
			if got := get(changes); got != want {
				t.Errorf("%s: got %s, want %s", name, got, want)
			}
		}
		began := time.Now().Add(-time.Hour).UnixMilli()
		check("good", "200 ", map[string]any{"auth_time_ms": began})
		check("no sid", "401 session_claims_missing", map[string]any{"sid": nil})
		check("no sub", "401 session_claims_missing", map[string]any{"sub": nil})
		check("no auth time", "401 session_claims_missing", map[string]any{"auth_time_ms": nil})
		check("bad", "401 invalid_token", map[string]any{"exp": 1})

		r.feed.Publish(loggedOutEverywhere(t, "ada"))
		synctest.Wait()
		pass(time.Minute)
		check("read again after the logout", "401 session_revoked", map[string]any{"auth_time_ms": began, "iat": time.Now().Unix()})
		check("signed in again", "200 ", map[string]any{"sid": "s2", "auth_time_ms": time.Now().UnixMilli()})
	})
}

func TestNewAuthJSRefuses(t *testing.T) {
	many := make([]string, revocationhttp.MaxAuthJSSecrets+1)
	for i := range many {
		many[i] = fmt.Sprint("a secret of many, and this is number ", i)
	}
	tests := []struct {
		name string
		cfg  revocationhttp.AuthJSConfig
		want []string
	}{
		{"nothing", revocationhttp.AuthJSConfig{}, []string{"Secrets is required"}},
		{"zero secret", revocationhttp.AuthJSConfig{Secrets: []revocationhttp.AuthJSSecret{{}}}, []string{"number 1 is empty"}},
		{"empty secret", revocationhttp.AuthJSConfig{Secrets: secretsOf(authJSSecret, "")}, []string{"number 2 is empty"}},
		{"short secret", revocationhttp.AuthJSConfig{Secrets: secretsOf(strings.Repeat("x", revocationhttp.MinAuthJSSecretBytes-1))}, []string{"number 1 is shorter than 16 bytes", "openssl rand"}},
		{"many secrets", revocationhttp.AuthJSConfig{Secrets: secretsOf(many...)}, []string{"9 are more than 8"}},
		{"everything at once", revocationhttp.AuthJSConfig{CookieName: "a b", TenantName: "*", Claims: revocationhttp.Claims{Tenant: "org"}},
			[]string{"Secrets is required", "CookieName", "exclude each other", "TenantName must be"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := revocationhttp.NewAuthJS(tt.cfg)
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q isn't said in: %v", want, err)
				}
			}
			if strings.Contains(err.Error(), "xxxx") {
				t.Errorf("a secret is quoted: %v", err)
			}
		})
	}
	if _, err := revocationhttp.NewAuthJS(revocationhttp.AuthJSConfig{Secrets: secretsOf(many[:revocationhttp.MaxAuthJSSecrets]...)}); err != nil {
		t.Error(err)
	}
}

func TestAuthJSSecretNeverPrints(t *testing.T) {
	cfg := revocationhttp.AuthJSConfig{Secrets: secretsOf(authJSSecret)}
	var shown []string
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		shown = append(shown, fmt.Sprintf(verb, cfg), fmt.Sprintf(verb, &cfg), fmt.Sprintf(verb, cfg.Secrets[0]))
	}
	asJSON, err := json.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("a", "secret", cfg.Secrets[0])
	shown = append(shown, string(asJSON), log.String(), cfg.Secrets[0].String())
	for _, text := range shown {
		if strings.Contains(text, authJSSecret) || strings.Contains(text, fmt.Sprintf("%x", authJSSecret)) || !strings.Contains(text, "(authjs secret)") {
			t.Errorf("shown as %s", text)
		}
	}
	// The reader holds keys that are as good as the secrets.
	text := fmt.Sprintf("%+v %#v", newAuthJS(t, cfg), *newAuthJS(t, cfg))
	for _, key := range [][]byte{key5(authJSSecret, v5Name), key4(authJSSecret)} {
		if strings.Contains(text, strings.Trim(fmt.Sprint(key), "[]")) || strings.Contains(text, fmt.Sprintf("%x", key)) || strings.Contains(text, b64(key)) {
			t.Error("the reader shows a key")
		}
	}
}
