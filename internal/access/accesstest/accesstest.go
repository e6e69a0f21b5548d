package accesstest

import (
	"strings"
	"testing"

	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/natstest"
)

// Open opens the store of a bus's keys, and closes it when the test ends.
func Open(t testing.TB, b *bus.Bus) *access.Store {
	t.Helper()
	kv, err := b.KeyValue(t.Context(), bus.KeysBucket())
	if err != nil {
		t.Fatalf("open the bucket of keys: %v", err)
	}
	keys, err := access.Open(t.Context(), kv, access.FollowConn(b.Conn()))
	if err != nil {
		t.Fatalf("open the store of keys: %v", err)
	}
	t.Cleanup(func() { _ = keys.Close() }) // never fails
	return keys
}

// Apart opens a store over a NATS of its own, for tests whose ledger fails alone.
func Apart(t testing.TB) *access.Store {
	t.Helper()
	return Open(t, natstest.Bus(t))
}

// Key makes a key, and returns it and its text.
func Key(t testing.TB, keys *access.Store, tenant string, scopes ...access.Scope) (key access.Key, text string) {
	t.Helper()
	key, made, err := keys.Create(t.Context(), access.Request{Name: "of " + tenant, Tenant: tenant, Scopes: scopes})
	if err != nil {
		t.Fatalf("make a key of %s: %v", tenant, err)
	}
	return key, made.Reveal()
}

// Secret is what nobody may see of a key's text.
func Secret(text string) string { return text[strings.LastIndexByte(text, '_')+1:] }
