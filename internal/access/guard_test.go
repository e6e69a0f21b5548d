package access_test

import (
	"context"
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
	_, operator := create(t, s, "acme", access.Scopes()...)
	_, reader := create(t, s, "acme", access.ScopeRead)
	auth := "Bearer " + operator.Reveal()

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
		{http.MethodPost, "/v1/keys", `{"tenant":"acme","scopes":["admin"]}`}, {http.MethodDelete, "/v1/keys/" + key.ID, ""},
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

// An admin key of one tenant made keys of every tenant, and saw all of them. What each may do:
func TestWhoManagesWhichKeys(t *testing.T) {
	s := open(t, bucket(t, natstest.Bus(t)))
	mux := http.NewServeMux()
	s.Routes(mux, nil)
	keys := map[string]access.Key{}
	bearers := map[string]string{}
	for _, k := range []struct {
		name, tenant string
		scopes       []access.Scope
	}{
		{"publish", "acme", []access.Scope{access.ScopePublish, access.ScopeCheck, access.ScopeRead}},
		{"admin", "acme", []access.Scope{access.ScopeAdmin, access.ScopeRead}},
		{"operator", "default", []access.Scope{access.ScopeOperator}},
		{"first", "default", access.Scopes()},
		{"default's admin", "default", []access.Scope{access.ScopeAdmin}},
	} {
		key, text := create(t, s, k.tenant, k.scopes...)
		keys[k.name], bearers[k.name] = key, "Bearer "+text.Reveal()
	}
	const unscoped, own, unknown = "api_key_scope", "", "no_such_key"
	// needs is the scope that a refusal asks for.
	type want struct{ code, needs string }

	t.Run("create", func(t *testing.T) {
		for _, tt := range []struct {
			by, tenant, scopes string
			want               want
		}{
			{"publish", "acme", `"publish"`, want{unscoped, "admin"}},
			{"admin", "acme", `"read"`, want{own, ""}},
			{"admin", "acme", `"admin"`, want{own, ""}},
			{"admin", "acme", `"read","admin","read"`, want{own, ""}},
			{"admin", "acme", `"publish"`, want{unscoped, "publish"}},
			{"admin", "acme", `"read","check"`, want{unscoped, "check"}},
			{"admin", "acme", `"operator"`, want{unscoped, "operator"}},
			{"admin", "acme", `"admin","operator"`, want{unscoped, "operator"}},
			{"admin", "default", `"read"`, want{unscoped, "operator"}},
			{"admin", "globex", `"admin"`, want{unscoped, "operator"}},
			{"default's admin", "acme", `"admin"`, want{unscoped, "operator"}},
			{"default's admin", "default", `"operator"`, want{unscoped, "operator"}},
			{"operator", "default", `"operator"`, want{own, ""}},
			{"operator", "acme", `"operator"`, want{own, ""}},
			{"operator", "acme", `"admin"`, want{unscoped, "admin"}},
			{"operator", "default", `"publish"`, want{unscoped, "publish"}},
			{"first", "globex", `"publish","check","sessions","read","admin","operator"`, want{own, ""}},
		} {
			before := len(s.List())
			got, w := send(t, mux, http.MethodPost, "/v1/keys", `{"tenant":"`+tt.tenant+`","scopes":[`+tt.scopes+`]}`, bearers[tt.by])
			status, made := 201, 1
			if tt.want.code != own {
				status, made = 403, 0
			}
			if got.Status != status || got.Code != tt.want.code || len(s.List())-before != made {
				t.Errorf("%s makes %s of %s: got %v and %d keys, want %d %s", tt.by, tt.scopes, tt.tenant, got, len(s.List())-before, status, tt.want.code)
			}
			if status == 403 && !strings.Contains(got.Authenticate, `error="insufficient_scope", scope="`+tt.want.needs+`"`) {
				t.Errorf("%s makes %s of %s: %s, want the scope %s", tt.by, tt.scopes, tt.tenant, got.Authenticate, tt.want.needs)
			}
			if tt.by == "admin" && tt.tenant != "acme" && !strings.Contains(w.Body.String(), "--tenant acme") {
				t.Errorf("the refusal doesn't say what to do: %s", w.Body)
			}
		}
	})

	t.Run("list", func(t *testing.T) {
		tenants := func(by string) map[string]bool {
			_, w := send(t, mux, http.MethodGet, "/v1/keys", "", bearers[by])
			var answer struct{ Keys []access.Key }
			if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != 200 {
				t.Fatalf("%d %v", w.Code, err)
			}
			seen := map[string]bool{}
			for _, k := range answer.Keys {
				seen[k.Tenant] = true
			}
			return seen
		}
		for by, want := range map[string]map[string]bool{
			"admin": {"acme": true}, "default's admin": {"default": true},
			"operator": {"acme": true, "default": true, "globex": true}, "first": {"acme": true, "default": true, "globex": true},
		} {
			if diff := cmp.Diff(want, tenants(by)); diff != "" {
				t.Errorf("%s sees keys of: %s", by, diff)
			}
		}
		if got, _ := send(t, mux, http.MethodGet, "/v1/keys", "", bearers["publish"]); got.Code != unscoped {
			t.Errorf("publish: %v", got)
		}
	})

	t.Run("revoke", func(t *testing.T) {
		for _, tt := range []struct {
			by, tenant string
			scope      access.Scope
			want       string
		}{
			{"publish", "acme", access.ScopeRead, unscoped},
			{"admin", "acme", access.ScopePublish, own},
			{"admin", "acme", access.ScopeAdmin, own},
			{"admin", "acme", access.ScopeOperator, unscoped},
			{"admin", "default", access.ScopeRead, unknown},
			{"admin", "default", access.ScopeOperator, unknown},
			{"default's admin", "default", access.ScopeRead, own},
			{"default's admin", "default", access.ScopeOperator, unscoped},
			{"operator", "acme", access.ScopePublish, own},
			{"operator", "default", access.ScopeOperator, own},
			{"first", "globex", access.ScopeOperator, own},
		} {
			victim, _ := create(t, s, tt.tenant, tt.scope)
			got, w := send(t, mux, http.MethodDelete, "/v1/keys/"+victim.ID, "", bearers[tt.by])
			if got.Code != tt.want || s.Live(victim.ID) != (tt.want != own) {
				t.Errorf("%s revokes %s of %s: got %v, live %v, want %q", tt.by, tt.scope, tt.tenant, got, s.Live(victim.ID), tt.want)
			}
			// A foreign key and none at all are answered alike.
			if tt.want == unknown {
				if _, none := send(t, mux, http.MethodDelete, "/v1/keys/ffffffffffffffff", "", bearers[tt.by]); none.Body.String() != w.Body.String() {
					t.Errorf("%s differs from %s", w.Body, none.Body)
				}
			}
		}
	})
	for name, k := range keys {
		if !s.Live(k.ID) {
			t.Errorf("the key %s was revoked", name)
		}
	}
}

// A caller that went away left it open whether there was a key.
func TestCreateOutlivesItsCaller(t *testing.T) {
	s := open(t, bucket(t, natstest.Bus(t)))
	mux := http.NewServeMux()
	s.Routes(mux, nil)
	_, admin := create(t, s, "acme", access.ScopeAdmin)
	ctx, leave := context.WithCancel(t.Context())
	leave()
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/v1/keys", strings.NewReader(`{"tenant":"acme","scopes":["admin"]}`))
	r.Header.Set("Authorization", "Bearer "+admin.Reveal())
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	if w.Code != http.StatusCreated || len(s.List()) != 2 {
		t.Errorf("got %d and %d keys, want 201 and 2", w.Code, len(s.List()))
	}
}
