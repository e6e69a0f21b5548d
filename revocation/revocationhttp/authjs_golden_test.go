package revocationhttp_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationhttp"
)

// golden is a file that test/authjs/generate.mjs wrote with the real Auth.js.
type golden struct {
	name string

	MadeBy     string   `json:"made_by"`
	CookieName string   `json:"cookie_name"`
	Secrets    []string `json:"secrets"`
	Cookies    []struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	} `json:"cookies"`
	// Claims are what Auth.js's own decode returns.
	Claims  map[string]any `json:"claims"`
	Session struct {
		ID         string `json:"id"`
		User       string `json:"user"`
		Device     string `json:"device"`
		Client     string `json:"client"`
		AuthTimeMS int64  `json:"auth_time_ms"`
	} `json:"session"`
}

// goldens reads the committed files, or those that CURFEW_AUTHJS_COOKIES names the folder of.
func goldens(t testing.TB) []golden {
	t.Helper()
	folder := os.Getenv("CURFEW_AUTHJS_COOKIES")
	if folder == "" {
		folder = "testdata/authjs"
	}
	files, err := filepath.Glob(filepath.Join(folder, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	var all []golden
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		g := golden{name: strings.TrimSuffix(filepath.Base(file), ".json")}
		if err := json.Unmarshal(b, &g); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all = append(all, g)
	}
	if len(all) < 12 {
		t.Fatalf("%d cookies in %s", len(all), folder)
	}
	return all
}

func goldenOf(t testing.TB, name string) golden {
	t.Helper()
	all := goldens(t)
	i := slices.IndexFunc(all, func(g golden) bool { return g.name == name })
	if i < 0 {
		t.Fatalf("no golden cookie %s", name)
	}
	return all[i]
}

func (g golden) session() revocation.Session {
	s := revocation.Session{Tenant: "default", ID: g.Session.ID, User: g.Session.User, Device: g.Session.Device, Client: g.Session.Client}
	if g.Session.AuthTimeMS != 0 {
		s.AuthTime = time.UnixMilli(g.Session.AuthTimeMS).UTC()
	}
	return s
}

// header is the Cookie header that a browser sends.
func (g golden) header() string {
	var pairs []string
	for _, c := range g.Cookies {
		pairs = append(pairs, c.Name+"="+c.Value)
	}
	return strings.Join(pairs, "; ")
}

// token is the cookie's value in one piece.
func (g golden) token() string {
	var b strings.Builder
	for _, c := range g.Cookies {
		if strings.HasPrefix(c.Name, g.CookieName) {
			b.WriteString(c.Value)
		}
	}
	return b.String()
}

func (g golden) expiry() time.Time { return time.Unix(int64(g.Claims["exp"].(float64)), 0) }

func secretsOf(texts ...string) []revocationhttp.AuthJSSecret {
	var secrets []revocationhttp.AuthJSSecret
	for _, text := range texts {
		secrets = append(secrets, revocationhttp.NewAuthJSSecret(text))
	}
	return secrets
}

func newAuthJS(t testing.TB, cfg revocationhttp.AuthJSConfig) *revocationhttp.AuthJS {
	t.Helper()
	a, err := revocationhttp.NewAuthJS(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// withCookies is a request with these Cookie headers.
func withCookies(headers ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header["Cookie"] = headers
	return r
}

func TestAuthJSGolden(t *testing.T) {
	for _, g := range goldens(t) {
		t.Run(g.name, func(t *testing.T) {
			byName := newAuthJS(t, revocationhttp.AuthJSConfig{Secrets: secretsOf(g.Secrets...), CookieName: g.CookieName})
			got, err := byName.Session(withCookies(g.header()))
			if err != nil {
				t.Fatalf("a cookie of %s: %v", g.MadeBy, err)
			}
			if diff := cmp.Diff(g.session(), got); diff != "" {
				t.Errorf("session (-want +got):\n%s", diff)
			}
			if strings.HasSuffix(g.name, "chunked") != (len(g.Cookies) > 1 && g.Cookies[0].Name == g.CookieName+".0") {
				t.Errorf("%d cookies: a chunked one isn't, or the other way round", len(g.Cookies))
			}

			anyName := newAuthJS(t, revocationhttp.AuthJSConfig{Secrets: secretsOf(append([]string{"a secret that is newer than all"}, g.Secrets...)...)})
			got, err = anyName.Session(withCookies("theme=dark", g.header()))
			if strings.HasSuffix(g.name, "own-name") {
				wantNoSession(t, err)
				return
			}
			if diff := cmp.Diff(g.session(), got); err != nil || diff != "" {
				t.Errorf("without the name: %v %s", err, diff)
			}
		})
	}
}

// Auth.js allows 15 s, and so does an AuthJS: to the millisecond.
func TestAuthJSExpiry(t *testing.T) {
	for _, name := range []string{"v5-https", "v4-https"} {
		g := goldenOf(t, name)
		for _, tt := range []struct {
			name   string
			leeway time.Duration
			last   time.Duration
		}{{"default", 0, 15 * time.Second}, {"a minute", time.Minute, time.Minute}, {"none", -1, 0}} {
			t.Run(name+"/"+tt.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					a := newAuthJS(t, revocationhttp.AuthJSConfig{Secrets: secretsOf(g.Secrets...), Leeway: tt.leeway})
					pass(time.Until(g.expiry()) + tt.last - time.Millisecond)
					if _, err := a.Session(withCookies(g.header())); err != nil {
						t.Errorf("a millisecond before: %v", err)
					}
					pass(time.Millisecond)
					_, err := a.Session(withCookies(g.header()))
					wantInvalid(t, err, "expired")
				})
			})
		}
	}
}

func FuzzAuthJS(f *testing.F) {
	all := goldens(f)
	known := map[revocation.Session]bool{}
	var secrets []string
	for _, g := range all {
		known[g.session()] = true
		for _, s := range g.Secrets {
			if !slices.Contains(secrets, s) {
				secrets = append(secrets, s)
			}
		}
		header, token := g.header(), g.token()
		f.Add(header)
		f.Add(header + "; " + header)
		f.Add(g.CookieName + "=" + token)
		f.Add(g.CookieName + ".0=" + token[:len(token)/2] + "; " + g.CookieName + ".1=" + token[len(token)/2:])
		f.Add(g.CookieName + "=" + token[:len(token)-1])
		f.Add(strings.Replace(header, "authjs", "next-auth", 1))
	}
	f.Add("authjs.session-token=..%2F..; next-auth.session-token.15=a")
	readers := []*revocationhttp.AuthJS{
		newAuthJS(f, revocationhttp.AuthJSConfig{Secrets: secretsOf(secrets...)}),
		newAuthJS(f, revocationhttp.AuthJSConfig{Secrets: secretsOf(secrets...), CookieName: "shop-session"}),
	}
	f.Fuzz(func(t *testing.T, header string) {
		for _, a := range readers {
			s, err := a.Session(withCookies(header))
			if err == nil {
				if !known[s] {
					t.Fatalf("a session that nobody began: %+v", s)
				}
				continue
			}
			if s != (revocation.Session{}) {
				t.Fatalf("a session beside an error: %+v", s)
			}
			wantNoSessionOrInvalid(t, err)
		}
	})
}

func BenchmarkAuthJS(b *testing.B) {
	for _, name := range []string{"v5-https", "v5-chunked", "v4-https"} {
		g := goldenOf(b, name)
		for _, named := range []bool{true, false} {
			cfg, label := revocationhttp.AuthJSConfig{Secrets: secretsOf(g.Secrets...)}, name+"/any name"
			if named {
				cfg.CookieName, label = g.CookieName, name+"/named"
			}
			b.Run(label, func(b *testing.B) {
				a, r := newAuthJS(b, cfg), withCookies("theme=dark; "+g.header())
				b.ReportAllocs()
				for b.Loop() {
					if _, err := a.Session(r); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
