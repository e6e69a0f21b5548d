package access_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/natstest"
)

type answer struct {
	Status       int
	Authenticate string
	Code         string
}

func send(t *testing.T, h http.Handler, method, path, body string, authorization ...string) (answer, *httptest.ResponseRecorder) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	for _, a := range authorization {
		r.Header.Add("Authorization", a)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	var p struct {
		Code string `json:"code"`
	}
	if w.Code >= 400 {
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
			t.Fatalf("the answer isn't a problem: %v", err)
		}
	}
	return answer{w.Code, w.Header().Get("WWW-Authenticate"), p.Code}, w
}

func TestGuard(t *testing.T) {
	s := open(t, bucket(t, natstest.Bus(t)))
	live, text := create(t, s, "acme", access.ScopePublish, access.ScopeRead)
	gone, revoked := create(t, s, "acme", access.ScopePublish)
	_, reader := create(t, s, "acme", access.ScopeRead)
	_, admin := create(t, s, "acme", access.ScopeAdmin)
	if _, err := s.Revoke(t.Context(), gone.ID); err != nil {
		t.Fatal(err)
	}
	var (
		good     = answer{Status: 200}
		missing  = answer{401, `Bearer realm="curfew"`, "api_key_missing"}
		invalid  = answer{401, `Bearer realm="curfew", error="invalid_token"`, "api_key_invalid"}
		unscoped = answer{403, `Bearer realm="curfew", error="insufficient_scope", scope="publish"`, "api_key_scope"}
	)
	unknown := "Bearer cfw_" + strings.Repeat("a", 16) + "_" + strings.Repeat("b", 64)
	tests := []struct {
		name string
		auth []string
		want answer
	}{
		{name: "a live key", auth: []string{"Bearer " + text.Reveal()}, want: good},
		{name: "the scheme in another case", auth: []string{"bEARER  " + text.Reveal() + " "}, want: good},
		{name: "none", want: missing},
		{name: "two headers", auth: []string{"Bearer " + text.Reveal(), "Bearer " + text.Reveal()}, want: missing},
		{name: "a good one behind a bad one", auth: []string{"Basic eDp5", "Bearer " + text.Reveal()}, want: missing},
		{name: "empty", auth: []string{""}, want: missing},
		{name: "no scheme", auth: []string{text.Reveal()}, want: missing},
		{name: "another scheme", auth: []string{"Basic " + text.Reveal()}, want: missing},
		{name: "two keys in one header", auth: []string{"Bearer " + text.Reveal() + ", " + text.Reveal()}, want: missing},
		{name: "not a key of ours", auth: []string{"Bearer eyJhbGciOiJub25lIn0.e30."}, want: missing},
		{name: "unknown", auth: []string{unknown}, want: invalid},
		{name: "wrong secret", auth: []string{"Bearer cfw_" + live.ID + "_" + strings.Repeat("0", 64)}, want: invalid},
		{name: "revoked", auth: []string{"Bearer " + revoked.Reveal()}, want: invalid},
		{name: "without the scope", auth: []string{"Bearer " + reader.Reveal()}, want: unscoped},
		{name: "admin isn't everything", auth: []string{"Bearer " + admin.Reveal()}, want: unscoped},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var told []string
			passed := false
			h := s.Guard(access.ScopePublish, func(code string) { told = append(told, code) }, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				passed = true
				if k, ok := access.KeyFrom(r.Context()); !ok || !cmp.Equal(k, live) {
					t.Errorf("the context holds %v %v", k, ok)
				}
			}))
			got, w := send(t, h, http.MethodGet, "/", "", tt.auth...)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
			if passed != (tt.want == good) {
				t.Errorf("passed: %v", passed)
			}
			if tt.want != good && !cmp.Equal(told, []string{tt.want.Code}) {
				t.Errorf("told of %v", told)
			}
			for _, secret := range []access.Text{text, revoked, reader, admin} {
				if strings.Contains(w.Body.String(), secret.Reveal()) {
					t.Error("the answer repeats a key")
				}
			}
		})
	}
	h := s.Guard(access.ScopePublish, nil, http.NotFoundHandler())
	if got, _ := send(t, h, http.MethodGet, "/", ""); got != missing {
		t.Errorf("without a hook: %v", got)
	}
	if _, ok := access.KeyFrom(t.Context()); ok {
		t.Error("a bare context has a key")
	}
}

func TestRoutes(t *testing.T) {
	s := open(t, bucket(t, natstest.Bus(t)))
	mux := http.NewServeMux()
	var told []string
	s.Routes(mux, func(code string) { told = append(told, code) })
	_, admin := create(t, s, "acme", access.ScopeAdmin)
	_, reader := create(t, s, "acme", access.ScopeRead)
	auth := "Bearer " + admin.Reveal()

	got, w := send(t, mux, http.MethodPost, "/v1/keys", `{"name":"ci","tenant":"globex","scopes":["publish"]}`, auth)
	var made access.Created
	if err := json.Unmarshal(w.Body.Bytes(), &made); err != nil || got.Status != http.StatusCreated || w.Header().Get("Cache-Control") != "no-store" {
		t.Fatalf("create: %v, %v", got, err)
	}
	if key, ok := s.Lookup(parse(t, made.Text)); !ok || key.Tenant != "globex" || key.ID != made.ID {
		t.Fatalf("the new key is %v %v", key, ok)
	}
	for _, path := range []string{"/v1/keys", "/v1/keys?x=y"} {
		got, w = send(t, mux, http.MethodGet, path, "", auth)
		if _, secret, _ := strings.Cut(made.Text[4:], "_"); got.Status != 200 || !strings.Contains(w.Body.String(), made.ID) || strings.Contains(w.Body.String(), secret) || strings.Contains(w.Body.String(), "hash") {
			t.Errorf("the list has status %d, or shows a secret", got.Status)
		}
	}
	for range 2 {
		if got, w = send(t, mux, http.MethodDelete, "/v1/keys/"+made.ID, "", auth); got.Status != 200 || !strings.Contains(w.Body.String(), "revoked_at") {
			t.Errorf("revoke: %v %s", got, w.Body)
		}
	}
	for name, tt := range map[string]struct {
		method, path, body, auth string
		status                   int
		code                     string
	}{
		"unknown id":     {http.MethodDelete, "/v1/keys/ffffffffffffffff", "", auth, 404, "no_such_key"},
		"odd id":         {http.MethodDelete, "/v1/keys/%2A", "", auth, 404, "no_such_key"},
		"unknown member": {http.MethodPost, "/v1/keys", `{"tenants":"x"}`, auth, 400, "malformed_body"},
		"faults":         {http.MethodPost, "/v1/keys", `{"tenant":"X"}`, auth, 422, "invalid_request"},
		"no scope":       {http.MethodGet, "/v1/keys", "", "Bearer " + reader.Reveal(), 403, "api_key_scope"},
	} {
		t.Run(name, func(t *testing.T) {
			told = nil
			got, _ := send(t, mux, tt.method, tt.path, tt.body, tt.auth)
			if got.Status != tt.status || got.Code != tt.code {
				t.Errorf("got %v, want %d %s", got, tt.status, tt.code)
			}
			if diff := cmp.Diff([]string{tt.code}, told); diff != "" {
				t.Error("the hook:", diff)
			}
		})
	}
}

func TestRoutesWithoutNATS(t *testing.T) {
	b := natstest.Bus(t)
	s := open(t, bucket(t, b))
	mux := http.NewServeMux()
	s.Routes(mux, nil)
	key, admin := create(t, s, "acme", access.ScopeAdmin)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ method, path, body string }{
		{http.MethodPost, "/v1/keys", `{"tenant":"a","scopes":["read"]}`}, {http.MethodDelete, "/v1/keys/" + key.ID, ""},
	} {
		got, w := send(t, mux, tt.method, tt.path, tt.body, "Bearer "+admin.Reveal())
		if got.Status != 503 || got.Code != "keys_unavailable" || w.Header().Get("Retry-After") != "1" {
			t.Errorf("%s: got %v", tt.method, got)
		}
		if strings.Contains(w.Body.String(), "cfw_") {
			t.Error("a key that wasn't stored is shown")
		}
	}
	if got, _ := send(t, mux, http.MethodGet, "/v1/keys", "", "Bearer "+admin.Reveal()); got.Status != 200 {
		t.Errorf("what is known can't be listed: %v", fmt.Sprint(got))
	}
}
