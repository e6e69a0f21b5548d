package access_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/natstest"
)

// Guard believes this process's word, and no header's.
func TestVouch(t *testing.T) {
	s := open(t, bucket(t, natstest.Bus(t)))
	live, text := create(t, s, "acme", access.ScopeRead)
	guest := access.Key{ID: "oidc-0123456789abcdef", Tenant: "globex", Scopes: []access.Scope{access.ScopePublish}}
	var got access.Key
	through := func(k access.Key, scope access.Scope, header string) int {
		ctx, end := s.Vouch(t.Context(), k)
		defer end()
		r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil)
		if header != "" {
			r.Header.Set("Authorization", header)
		}
		w := httptest.NewRecorder()
		s.Guard(scope, nil, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			got, _ = access.KeyFrom(r.Context())
			if !s.Live(got.ID) {
				t.Errorf("%s isn't live while it is vouched for", got.ID)
			}
		})).ServeHTTP(w, r)
		return w.Code
	}
	if status := through(live, access.ScopeRead, ""); status != 200 || got.ID != live.ID {
		t.Errorf("a key: %d as %s", status, got.ID)
	}
	if status := through(guest, access.ScopePublish, "Bearer "+text.Reveal()); status != 200 || got.ID != guest.ID || got.Tenant != "globex" {
		t.Errorf("somebody without a key, beside another's key: %d as %s", status, got.ID)
	}
	if status := through(guest, access.ScopeRead, "Bearer "+text.Reveal()); status != http.StatusForbidden {
		t.Errorf("what he lacks, and the key in the header has: %d", status)
	}
	if s.Live(guest.ID) {
		t.Error("he is live although nothing is vouched for any more")
	}
	_, first := s.Vouch(t.Context(), guest)
	_, second := s.Vouch(t.Context(), guest)
	first()
	first()
	if !s.Live(guest.ID) {
		t.Error("one end has ended both")
	}
	second()
	if s.Live(guest.ID) {
		t.Error("both have ended")
	}
}

func TestByID(t *testing.T) {
	s := open(t, bucket(t, natstest.Bus(t)))
	live, _ := create(t, s, "acme", access.ScopeRead)
	if got, ok := s.ByID(live.ID); !ok || got.Tenant != "acme" {
		t.Errorf("got %v %v", got, ok)
	}
	// Vouching makes no key live again.
	_, end := s.Vouch(t.Context(), live)
	defer end()
	if _, err := s.Revoke(t.Context(), live.ID); err != nil {
		t.Fatal(err)
	}
	if _, ok := s.ByID(live.ID); ok || s.Live(live.ID) {
		t.Error("a revoked key is there")
	}
	if _, ok := s.ByID("ffffffffffffffff"); ok {
		t.Error("an unknown key is there")
	}
}
