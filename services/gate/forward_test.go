package gate_test

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/sirupsen/logrus"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/services/gate"
)

func TestForwardAuthActive(t *testing.T) {
	g := newRig(t, newKeys(t), nil)
	good, bad := token(t, claims("laptop", "auth0|ada+1@example.com")), "not.a.token"
	tests := []struct {
		name   string
		header http.Header
		status int
	}{
		{"bearer", http.Header{"Authorization": {"Bearer " + good}}, 200},
		{"cookie", http.Header{"Cookie": {"theme=dark; " + cookie + "=" + good}}, 200},
		{"bearer beside the same cookie", http.Header{"Authorization": {"Bearer " + good}, "Cookie": {cookie + "=" + good}}, 200},
		// A token of one's own must not cover somebody else's cookie, which an application behind the proxy may read.
		{"bearer beside another cookie", http.Header{"Authorization": {"Bearer " + good}, "Cookie": {cookie + "=" + bad}}, 401},
		{"cookie beside basic", http.Header{"Authorization": {"Basic YTpi"}, "Cookie": {cookie + "=" + good}}, 200},
		{"bad bearer isn't saved by the cookie", http.Header{"Authorization": {"Bearer " + bad}, "Cookie": {cookie + "=" + good}}, 401},
		{"two cookies", http.Header{"Cookie": {cookie + "=" + good + "; " + cookie + "=" + good}}, 401},
		{"another cookie", http.Header{"Cookie": {"session=" + good}}, 401},
		{"nothing", nil, 401},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			// What callers send under these names has no influence.
			header := http.Header{"X-User-Id": {"root"}, "X-Session-Id": {"root"}}
			maps.Copy(header, tt.header)
			w := g.do(t, call{target: "/v1/forward-auth", header: header})
			var want http.Header
			if tt.status == http.StatusOK {
				want = http.Header{"Cache-Control": {"no-store"}, "X-User-Id": {"auth0|ada+1@example.com"}, "X-Session-Id": {"laptop"}}
			}
			if w.Code != tt.status {
				t.Fatalf("%d, want %d: %s", w.Code, tt.status, w.Body)
			}
			if diff := cmp.Diff(want, w.Header()); tt.status == http.StatusOK && diff != "" {
				t.Errorf("headers (-want +got):\n%s", diff)
			}
			if tt.status != http.StatusOK && (w.Header().Get("X-User-ID") != "" || w.Header().Get("X-Session-ID") != "") {
				t.Errorf("a refusal names somebody: %v", w.Header())
			}
		})
	}
	counted(t, g.metrics.Checks.WithLabelValues("active"), 4)
	counted(t, g.metrics.Refused.WithLabelValues("invalid_token"), 3)
	counted(t, g.metrics.Refused.WithLabelValues("session_required"), 2)
}

func TestForwardAuthRefusals(t *testing.T) {
	const challenge = `Bearer error="invalid_token", error_description=`
	tests := []struct {
		name, code, challenge, retryAfter string
		arrange                           func(*testing.T, *rig)
		without                           string
		status                            int
	}{
		// Trap 39: the code is its own, and final.
		{name: "revoked", status: 401, code: "session_revoked", challenge: challenge + `"The session is over"`,
			arrange: func(t *testing.T, g *rig) { g.publish(t, sessionRevoked("laptop")) }},
		{name: "stale", status: 503, code: "session_undetermined", retryAfter: "1",
			arrange: func(_ *testing.T, g *rig) { g.feed.Stall(); pass(16 * time.Second) }},
		{name: "revoked and stale", status: 401, code: "session_revoked", challenge: challenge + `"The session is over"`,
			arrange: func(t *testing.T, g *rig) {
				g.publish(t, sessionRevoked("laptop"))
				g.feed.Stall()
				pass(16 * time.Second)
			}},
		// Trap 29.
		{name: "no sid", without: "sid", status: 401, code: "session_claims_missing", challenge: challenge + `"A claim of the access token is missing or wrong"`},
		{name: "no sub", without: "sub", status: 401, code: "session_claims_missing", challenge: challenge + `"A claim of the access token is missing or wrong"`},
		{name: "no auth time", without: "auth_time_ms", status: 401, code: "session_claims_missing", challenge: challenge + `"A claim of the access token is missing or wrong"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, nil, func(t *testing.T, g *rig) {
				c := claims("laptop", "ada")
				delete(c, tt.without)
				if tt.arrange != nil {
					tt.arrange(t, g)
				}
				w := g.forward(t, token(t, c))
				got := []string{http.StatusText(w.Code), read(t, w).Code, w.Header().Get("WWW-Authenticate"), w.Header().Get("Retry-After"), w.Header().Get("X-User-ID")}
				if diff := cmp.Diff([]string{http.StatusText(tt.status), tt.code, tt.challenge, tt.retryAfter, ""}, got); diff != "" {
					t.Errorf("answer (-want +got):\n%s", diff)
				}
				if strings.Contains(w.Body.String(), "secret") {
					t.Errorf("the answer tells what is for operators: %s", w.Body)
				}
				counted(t, g.metrics.FailOpen, 0)
			})
		})
	}
}

func TestForwardAuthFailOpen(t *testing.T) {
	open := func(c *gate.Config) { c.DangerouslyFailOpen = true }
	bubble(t, open, func(t *testing.T, g *rig) {
		g.publish(t, sessionRevoked("phone"))
		g.feed.Stall()
		pass(16 * time.Second)
		for range 3 {
			w := g.forward(t, token(t, claims("laptop", "ada")))
			if w.Code != http.StatusOK || w.Header().Get("X-User-ID") != "ada" {
				t.Fatalf("stale: %d %v, want to pass", w.Code, w.Header())
			}
		}
		counted(t, g.metrics.FailOpen, 3)
		counted(t, g.metrics.Checks.WithLabelValues("undetermined"), 3)
		if w := g.forward(t, token(t, claims("phone", "ada"))); w.Code != http.StatusUnauthorized {
			t.Errorf("revoked: %d, want 401", w.Code)
		}
		if w := g.forward(t, token(t, map[string]any{"sub": "ada"})); w.Code != http.StatusUnauthorized {
			t.Errorf("without claims: %d, want 401", w.Code)
		}
		// The check API never fails open.
		if w := g.get(t, whole); w.Code != http.StatusServiceUnavailable {
			t.Errorf("GET /v1/check: %d, want 503", w.Code)
		}
		counted(t, g.metrics.FailOpen, 3)
	})
}

// All passes are counted, and each episode has two lines in the log, however long it is and however many pass.
func TestForwardAuthLogsEpisodes(t *testing.T) {
	open := func(c *gate.Config) { c.DangerouslyFailOpen = true }
	bubble(t, open, func(t *testing.T, g *rig) {
		log := func() string {
			defer g.logged.Reset()
			var told []string
			for line := range strings.Lines(g.logged.String()) {
				if strings.Contains(line, "undetermined") {
					_, line, _ = strings.Cut(line, "level=")
					told = append(told, line)
				}
			}
			return strings.Join(told, "")
		}
		const begins = `warning msg="requests pass although their sessions are undetermined" error="replica is stale"` + "\n"
		ends := func(requests, ms int) string {
			return fmt.Sprintf(`info msg="no more requests pass with undetermined sessions" duration_ms=%d error="replica is stale" requests=%d`+"\n", ms, requests)
		}
		g.feed.Stall()
		pass(16 * time.Second)
		bearer := token(t, claims("laptop", "ada"))
		for range 3 {
			for range 100 {
				g.forward(t, bearer)
			}
			// Longer than an episode may be quiet: it goes on as long as the replica can't tell.
			pass(time.Minute)
		}
		if diff := cmp.Diff(begins, log()); diff != "" {
			t.Errorf("while stale (-want +got):\n%s", diff)
		}
		g.feed.Resume()
		pass(2 * time.Second)
		if diff := cmp.Diff(ends(300, 120_000), log()); diff != "" {
			t.Errorf("fresh again (-want +got):\n%s", diff)
		}
		g.forward(t, bearer)
		g.feed.Stall()
		pass(16 * time.Second)
		g.forward(t, bearer)
		if err := g.svc.Close(); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(begins+ends(1, 0), log()); diff != "" {
			t.Errorf("the next one, to the end of the gate (-want +got):\n%s", diff)
		}
		counted(t, g.metrics.FailOpen, 301)
	})
}

func TestForwardAuthNotConfigured(t *testing.T) {
	g := newRig(t, newKeys(t), func(c *gate.Config) { c.Session = nil })
	w := g.forward(t, token(t, claims("laptop", "ada")))
	if w.Code != http.StatusServiceUnavailable || read(t, w).Code != "forward_auth_not_configured" || w.Header().Get("Retry-After") != "60" {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	counted(t, g.metrics.Refused.WithLabelValues("forward_auth_not_configured"), 1)
}

// What stands in a token reaches the upstream as one header that reads in one way only, or not at all.
func TestForwardAuthHeaderSafety(t *testing.T) {
	g := newRig(t, newKeys(t), nil)
	srv := httptest.NewServer(g.mux)
	t.Cleanup(srv.Close)
	tests := []struct{ name, user, want string }{
		{"plain", "auth0|5f7c8ec7c33c6c004bbafe82", "auth0|5f7c8ec7c33c6c004bbafe82"},
		{"e-mail-like", `"a,b;c"@example.com`, `"a,b;c"@example.com`},
		{"non-ASCII", "zoë", "zo%C3%AB"},
		{"its own encoding is another user", "zo%C3%AB", "zo%25C3%25AB"},
		{"leading space", " ada", "%20ada"},
		{"trailing space", "ada ", "ada%20"},
		{"only a space", " ", "%20"},
		{"line separator", "ada\u2028X-User-ID: root", "ada%E2%80%A8X-User-ID:%20root"},
		{"turned around", "ada\u202e", "ada%E2%80%AE"},
		{"as long as can be", strings.Repeat("ü", events.MaxIDBytes/2), strings.Repeat("%C3%BC", events.MaxIDBytes/2)},
		{"new line", "ada\r\nX-User-ID: root", ""},
		{"bare line feed", "ada\nSet-Cookie: a=b", ""},
		{"null", "ada\x00", ""},
		{"next line (C1)", "ada\u0085X-User-ID: root", ""},
		{"delete", "ada\x7f", ""},
		{"too long", strings.Repeat("x", events.MaxIDBytes+1), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			// Both ids are treated alike.
			for name, c := range map[string]map[string]any{"X-User-ID": claims("laptop", tt.user), "X-Session-ID": claims(tt.user, "ada")} {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL+"/v1/forward-auth", nil)
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Authorization", "Bearer "+token(t, c))
				resp, err := srv.Client().Do(req)
				if err != nil {
					t.Fatal(err)
				}
				_ = resp.Body.Close()
				if tt.want == "" {
					if resp.StatusCode != http.StatusUnauthorized || resp.Header.Get(name) != "" {
						t.Errorf("%s: %d %v, want 401 and no name", name, resp.StatusCode, resp.Header)
					}
					continue
				}
				if diff := cmp.Diff([]string{tt.want}, resp.Header.Values(name)); diff != "" || resp.StatusCode != http.StatusOK {
					t.Errorf("%d, %s (-want +got):\n%s", resp.StatusCode, name, diff)
				}
				if back, err := url.PathUnescape(tt.want); err != nil || back != tt.user {
					t.Errorf("decoded: %q %v, want %q", back, err, tt.user)
				}
			}
		})
	}
}

func TestNewReportsEveryMissingPart(t *testing.T) {
	svc, err := gate.New(gate.Config{})
	if svc != nil || err == nil {
		t.Fatalf("New: %v, %v", svc, err)
	}
	for _, part := range []string{"Replica", "Keys", "Metrics", "Log"} {
		if !strings.Contains(err.Error(), part+" is required") {
			t.Errorf("%v doesn't name %s", err, part)
		}
	}
}

// A bad token's text never reaches the log.
func TestForwardAuthLogsNoToken(t *testing.T) {
	var logged bytes.Buffer
	g := newRig(t, newKeys(t), func(c *gate.Config) {
		log := logrus.New()
		log.SetOutput(&logged)
		log.SetLevel(logrus.TraceLevel)
		c.Log = log
	})
	good := token(t, claims("laptop", "ada"))
	for _, text := range []string{good, good[:len(good)-4] + "AAAA", "secret-text"} {
		g.forward(t, text)
	}
	if strings.Contains(logged.String(), "secret-text") || strings.Contains(logged.String(), good[:20]) {
		t.Errorf("the log quotes a token: %s", &logged)
	}
}
