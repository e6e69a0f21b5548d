package access

import (
	"testing"
	"time"
)

// A state that the watcher brings late must not undo a later one: a revoked key came back for a moment.
func TestLateStateDoesNotBringAKeyBack(t *testing.T) {
	text := newText()
	live := record{Key: Key{ID: text.id}, Hash: text.hash(), revision: 7}
	revoked := live
	revoked.RevokedAt, revoked.revision = time.Now(), 8
	s := &Store{keys: map[string]record{}}
	for _, r := range []record{live, revoked, live, revoked} {
		s.put(r)
	}
	s.put(live)
	if _, ok := s.Lookup(text); ok || s.Live(text.id) {
		t.Error("the revoked key works")
	}
}
