package console_test

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/curfewhq/curfew/services/console"
)

const flowCookie = "__Host-curfew-console-login"

// withProvider is a rig whose console lets in whom a provider vouches for.
func withProvider(t *testing.T, change func(*console.OIDC)) (*rig, *idp) {
	t.Helper()
	p := newIDP(t)
	return newRig(t, func(c *console.Config) {
		c.OIDC = &console.OIDC{
			Issuer: p.URL, ClientID: clientID, Secret: p.secret, RedirectURL: "https://console.example/console/oidc/callback", Scopes: []string{"profile"}, Claim: "groups",
			Operators: map[string]string{"sre": "default"}, Admins: map[string]string{"acme-support": "acme", "globex-support": "globex"},
		}
		if change != nil {
			change(c.OIDC)
		}
	}), p
}

// login begins to sign in, and returns the browser's cookie and where it is sent to.
func (r *rig) login(t *testing.T) (flow, to string) {
	t.Helper()
	resp, body := r.call(t, http.MethodPost, "/console/oidc/login", "{}")
	var q struct{ Location string }
	if err := json.Unmarshal([]byte(body), &q); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("login: %d %s", resp.StatusCode, body)
	}
	c := resp.Cookies()
	if len(c) != 1 || c[0].Name != flowCookie || !c[0].HttpOnly || !c[0].Secure || c[0].SameSite != http.SameSiteLaxMode {
		t.Fatalf("the cookie is %v", c)
	}
	return c[0].Name + "=" + c[0].Value, q.Location
}

// authorize goes to the provider, and returns the path with which it sends the browser back.
func (r *rig) authorize(t *testing.T, to string) string {
	t.Helper()
	resp, err := r.client.Get(to)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	back, err := url.Parse(resp.Header.Get("Location"))
	if err != nil || back.Host != "console.example" {
		t.Fatalf("the provider sends to %q, %v", back, err)
	}
	return back.RequestURI()
}

// come returns how a sign-in at the provider ends.
func (r *rig) come(t *testing.T) (*http.Response, string) {
	t.Helper()
	flow, to := r.login(t)
	resp, _ := r.call(t, http.MethodGet, r.authorize(t, to), "", "Cookie", flow, "Sec-Fetch-Site", "cross-site")
	return resp, resp.Header.Get("Location")
}

func TestOIDC(t *testing.T) {
	for _, tt := range []struct {
		name           string
		claims         map[string]any
		tenant, scopes string
	}{
		{"operator", map[string]any{"sub": "u1", "name": "Ida", "groups": []string{"x", "sre"}}, "default", "publish check sessions read admin operator"},
		{"admin", map[string]any{"sub": "u2", "name": "Ida", "groups": []string{"acme-support"}}, "acme", "publish check sessions read admin"},
		{"a text", map[string]any{"sub": "u3", "name": "Ida", "groups": "globex-support"}, "globex", "publish check sessions read admin"},
		{"both", map[string]any{"sub": "u4", "name": "Ida", "groups": []string{"acme-support", "sre"}}, "default", "publish check sessions read admin operator"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, p := withProvider(t, nil)
			p.is(tt.claims, nil)
			resp, to := r.come(t)
			if resp.StatusCode != http.StatusSeeOther || to != "/console/" {
				t.Fatalf("got %d %s\n%s", resp.StatusCode, to, r.log)
			}
			session := cookie(t, resp)
			_, body := r.call(t, http.MethodGet, "/console/session", "", "Cookie", session)
			var who struct {
				ID, Name, Tenant string
				Scopes           []string
			}
			if err := json.Unmarshal([]byte(body), &who); err != nil {
				t.Fatal(err)
			}
			if who.Name != "Ida" || who.Tenant != tt.tenant || strings.Join(who.Scopes, " ") != tt.scopes || !strings.HasPrefix(who.ID, "oidc-") {
				t.Errorf("got %s", body)
			}
			// The API's guard lets him pass as that, and long answers of his go on.
			_, told := r.call(t, http.MethodGet, "/console/api/v1/replicas", "", "Cookie", session)
			want := `{"cookie":"","key":"` + who.ID + `","live":true,"path":"/v1/replicas","query":"","tenant":"` + tt.tenant + `"}` + "\n"
			if told != want {
				t.Error(cmp.Diff(want, told))
			}
			if r.keys.Live(who.ID) {
				t.Error("he is vouched for after his request")
			}
			// Nothing of his goes into a log but a hash.
			if strings.Contains(r.log.String(), "Ida") || strings.Contains(r.log.String(), `"u1"`) {
				t.Errorf("the log names him: %s", r.log)
			}
		})
	}
}

// Whoever isn't meant is let in by no answer of the provider.
func TestOIDCRefuses(t *testing.T) {
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	sre := map[string]any{"sub": "u1", "groups": []string{"sre"}}
	for _, tt := range []struct {
		name   string
		claims map[string]any
		change func(map[string]any)
		oidc   func(*console.OIDC)
		signer *rsa.PrivateKey
		want   string
	}{
		{name: "no group", claims: map[string]any{"sub": "u1"}, want: "not-granted"},
		{name: "another group", claims: map[string]any{"sub": "u1", "groups": []string{"SRE", "sre ", "acme"}}, want: "not-granted"},
		{name: "numbers", claims: map[string]any{"sub": "u1", "groups": []any{7, map[string]any{"sre": true}}}, want: "not-granted"},
		{name: "an e-mail that isn't verified", claims: map[string]any{"sub": "u1", "email": "a@example.com"}, oidc: func(o *console.OIDC) { o.Claim, o.Operators = "email", map[string]string{"a@example.com": "default"} }, want: "not-granted"},
		{name: "another sign-in's nonce", claims: sre, change: func(c map[string]any) { c["nonce"] = "x" }, want: "provider"},
		{name: "no nonce", claims: sre, change: func(c map[string]any) { delete(c, "nonce") }, want: "provider"},
		{name: "another audience", claims: sre, change: func(c map[string]any) { c["aud"] = "shop" }, want: "provider"},
		{name: "another issuer", claims: sre, change: func(c map[string]any) { c["iss"] = "https://id.example" }, want: "provider"},
		{name: "expired", claims: sre, change: func(c map[string]any) { c["exp"] = 1 }, want: "provider"},
		{name: "signed by somebody else", claims: sre, signer: stranger, want: "provider"},
		{name: "a wrong client secret", claims: sre, oidc: func(o *console.OIDC) { o.Secret = "a wrong one" }, want: "provider"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, p := withProvider(t, tt.oidc)
			p.is(tt.claims, tt.change)
			if tt.signer != nil {
				p.signer = tt.signer
			}
			resp, to := r.come(t)
			if to != "/console/#/sign-in?failed="+tt.want {
				t.Errorf("got %s\n%s", to, r.log)
			}
			for _, c := range resp.Cookies() {
				if c.Name == cookieName {
					t.Error("there is a session")
				}
			}
			if strings.Contains(r.log.String(), p.secret) || strings.Contains(r.log.String(), "a wrong one") {
				t.Errorf("the log holds a secret: %s", r.log)
			}
		})
	}
}

// A browser is signed in only by the sign-in that it has begun itself (login CSRF), once.
func TestOIDCIsBoundToTheBrowser(t *testing.T) {
	r, p := withProvider(t, nil)
	p.is(map[string]any{"sub": "u1", "groups": []string{"sre"}}, nil)
	flow, to := r.login(t)
	back := r.authorize(t, to)
	other, _ := r.login(t)
	_, text := r.key(t, "acme", "admin")
	session := r.signIn(t, text)
	for name, header := range map[string]string{
		"no cookie": "", "another sign-in's": other, "tampered": flow[:len(flow)-4] + "AAAA", "a session": strings.Replace(session, cookieName, flowCookie, 1),
	} {
		resp, _ := r.call(t, http.MethodGet, back, "", "Cookie", header)
		if to := resp.Header.Get("Location"); to != "/console/#/sign-in?failed=provider" {
			t.Errorf("%s: %d %s", name, resp.StatusCode, to)
		}
	}
	for _, query := range []string{"", "?state=x&code=y", "?error=access_denied&" + strings.SplitN(back, "?", 2)[1]} {
		if resp, _ := r.call(t, http.MethodGet, "/console/oidc/callback"+query, "", "Cookie", flow); resp.Header.Get("Location") != "/console/#/sign-in?failed=provider" {
			t.Errorf("%q: %s", query, resp.Header.Get("Location"))
		}
	}
	// The cookie of a sign-in isn't one of a session.
	if status := r.status(t, "/console/session", strings.Replace(flow, flowCookie, cookieName, 1)); status != http.StatusUnauthorized {
		t.Errorf("as a session: %d", status)
	}
	if resp, _ := r.call(t, http.MethodGet, back, "", "Cookie", flow); resp.Header.Get("Location") != "/console/" {
		t.Errorf("its own: %s\n%s", resp.Header.Get("Location"), r.log)
	}
	if resp, _ := r.call(t, http.MethodGet, back, "", "Cookie", flow); resp.Header.Get("Location") != "/console/#/sign-in?failed=provider" {
		t.Errorf("a second time: %s", resp.Header.Get("Location"))
	}
}

// A grant that is taken out of the configuration ends its sessions, and so does another provider; one of the other kind stays.
func TestOIDCGrantTaken(t *testing.T) {
	r, p := withProvider(t, nil)
	p.is(map[string]any{"sub": "u1", "groups": []string{"sre"}}, nil)
	resp, _ := r.come(t)
	session := cookie(t, resp)
	for name, change := range map[string]func(*console.Config){
		"without the grant": func(c *console.Config) { o := *c.OIDC; o.Operators = nil; c.OIDC = &o },
		"another issuer":    func(c *console.Config) { o := *c.OIDC; o.Issuer = "https://id.example"; c.OIDC = &o },
		"no provider":       func(c *console.Config) { c.OIDC = nil },
	} {
		cfg := r.cfg
		change(&cfg)
		_, srv := serve(t, cfg)
		there := *r
		there.Server = srv
		if status := there.status(t, "/console/session", session); status != http.StatusUnauthorized {
			t.Errorf("%s: %d", name, status)
		}
	}
	if status := r.status(t, "/console/session", session); status != http.StatusOK {
		t.Errorf("with it: %d", status)
	}
}

// A provider that is away costs nobody else the console.
func TestOIDCProviderAway(t *testing.T) {
	r, p := withProvider(t, nil)
	_, text := r.key(t, "acme", "admin")
	p.Close()
	resp, body := r.call(t, http.MethodPost, "/console/oidc/login", "{}")
	if resp.StatusCode != http.StatusServiceUnavailable || codeOf(t, body) != "provider_unavailable" {
		t.Errorf("got %d %s", resp.StatusCode, body)
	}
	r.signIn(t, text)
}
