package sessionkv

import (
	"testing"
	"time"

	"github.com/curfewhq/curfew/internal/sessionstore"
)

func holding(t *testing.T) (*Store, sessionstore.Session) {
	t.Helper()
	s := &Store{cfg: Config{Hasher: sessionstore.NewHasher([]byte("key")), Due: func(s sessionstore.Session) time.Time { return s.ExpiresAt }}}
	s.reset()
	at := time.Now().Add(-90 * 24 * time.Hour)
	return s, sessionstore.Session{Tenant: "acme", ID: "s-1", User: "ada", AuthTime: at, CreatedAt: at, SeenAt: at, ExpiresAt: at.Add(time.Hour)}
}

// TestPrunedNamesGo: what has expired while the connection was away leaves nothing.
func TestPrunedNamesGo(t *testing.T) {
	s, old := holding(t)
	s.table.Put(old, 1, old.ExpiresAt)
	s.names[s.cfg.Hasher.Session(old.Key())] = old.Key()
	s.take(nil)
	if s.table.Len() != 0 || len(s.names) != 0 {
		t.Errorf("%d sessions and %d names are left", s.table.Len(), len(s.names))
	}
}
