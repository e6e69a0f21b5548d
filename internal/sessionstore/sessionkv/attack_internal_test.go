package sessionkv

import (
	"testing"
	"time"

	"github.com/curfewhq/curfew/internal/sessionstore"
)

func holding(t *testing.T) (*Store, sessionstore.Session) {
	t.Helper()
	s := &Store{cfg: Config{Hasher: sessionstore.NewHasher([]byte("key")), Due: func(s sessionstore.Session) time.Time { return s.ExpiresAt }},
		table: sessionstore.NewTable(), names: map[string]sessionstore.Key{}, sent: map[string]written{}}
	at := time.Now().Add(-90 * 24 * time.Hour)
	return s, sessionstore.Session{Tenant: "acme", ID: "s-1", User: "ada", AuthTime: at, CreatedAt: at, SeenAt: at, ExpiresAt: at.Add(time.Hour)}
}

// TestPrunedNamesGo: what has expired while the connection was away leaves nothing.
func TestPrunedNamesGo(t *testing.T) {
	s, old := holding(t)
	s.put(s.cfg.Hasher.Session(old.Key()), old, 1, old.ExpiresAt)
	s.take(nil)
	if s.table.Len() != 0 || len(s.names) != 0 {
		t.Errorf("%d sessions and %d names are left", s.table.Len(), len(s.names))
	}
}

// TestWrittenAfterItWentIsDue: 1. a touch is on its way; 2. the entry is deleted by hand, and heard of; 3. the touch is acknowledged. The session is there, and must be due some time.
func TestWrittenAfterItWentIsDue(t *testing.T) {
	s, session := holding(t)
	session.ExpiresAt = time.Now().Add(time.Hour)
	name := s.cfg.Hasher.Session(session.Key())
	s.put(name, session, 1, session.ExpiresAt)
	s.table.Remove(session.Key()) // as apply does
	s.put(name, session, 3, time.Time{}) // as settle and change do
	if due := s.table.Due(time.Now().Add(24*time.Hour), 10); len(due) != 1 {
		t.Errorf("due: %v: it never ends as idle", due)
	}
}
