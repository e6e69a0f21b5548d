package sessionkv_test

import (
	"testing"
	"time"

	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/internal/sessionstore"
	"github.com/curfewhq/curfew/internal/sessionstore/sessionkv"
	"github.com/curfewhq/curfew/internal/sessionstore/sessionstoretest"
)

// open opens a store over the bus as a process would.
func open(t *testing.T, b *bus.Bus) *sessionkv.Store {
	t.Helper()
	kv, err := b.KeyValue(t.Context(), bus.SessionsBucket())
	if err != nil {
		t.Fatal(err)
	}
	s, err := sessionkv.Open(t.Context(), b.Conn(), kv, sessionkv.Config{
		Hasher: sessionstore.NewHasher([]byte("key")), Due: func(s sessionstore.Session) time.Time { return s.ExpiresAt },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestStore(t *testing.T) {
	sessionstoretest.Run(t, func(t *testing.T) sessionstoretest.Opener {
		b := natstest.Bus(t)
		return func() sessionstore.Store { return open(t, b) }
	})
}
