package access_test

import (
	"testing"

	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/natstest"
)

// TestPassingKey: it is good here, for checks, until it is removed, and nowhere else.
func TestPassingKey(t *testing.T) {
	kv := bucket(t, natstest.Bus(t))
	here, elsewhere := open(t, kv), open(t, kv)
	text, remove, err := here.Passing(access.Request{Name: "canary", Tenant: "acme", Scopes: []access.Scope{access.ScopeCheck}})
	if err != nil {
		t.Fatal(err)
	}
	key, ok := here.Lookup(text)
	if !ok || key.Tenant != "acme" || !key.Has(access.ScopeCheck) || !here.Live(key.ID) {
		t.Errorf("%+v, %v", key, ok)
	}
	if _, ok := elsewhere.Lookup(text); ok || elsewhere.Live(key.ID) {
		t.Error("another process knows it")
	}
	if len(here.List()) != 0 {
		t.Errorf("it is listed: %v", here.List())
	}
	remove()
	remove()
	if _, ok := here.Lookup(text); ok || here.Live(key.ID) {
		t.Error("it is good after its end")
	}
	for _, scopes := range [][]access.Scope{nil, {access.ScopePublish}, {access.ScopeOperator}, {access.ScopeCheck, access.ScopeRead}} {
		if _, _, err := here.Passing(access.Request{Tenant: "acme", Scopes: scopes}); err == nil {
			t.Errorf("it has %v", scopes)
		}
	}
	if _, _, err := here.Passing(access.Request{Tenant: "*", Scopes: []access.Scope{access.ScopeCheck}}); err == nil {
		t.Error("it is every tenant's")
	}
}
