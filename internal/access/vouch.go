package access

import (
	"context"
	"sync"
)

type vouchedKey struct{}

// Vouch returns a context with which Guard lets a request of this process pass as k, whose holder has been proven by other means than the key's text, and what
// ends that: call it when the request is answered. Only a context says so, never a header. k is a live key, or somebody who has none; his id isn't in the form of
// a key's, and Live holds for it for as long as anything is vouched for under it.
func (s *Store) Vouch(ctx context.Context, k Key) (vouched context.Context, end func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.vouched[k.ID]++
	end = sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.vouched[k.ID]--; s.vouched[k.ID] == 0 {
			delete(s.vouched, k.ID)
		}
	})
	return context.WithValue(ctx, vouchedKey{}, k), end
}

// ByID returns a live key, for what has proven before that its holder has it.
func (s *Store) ByID(id string) (Key, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	r, ok := s.keys[id]
	if !ok || !r.RevokedAt.IsZero() {
		return Key{}, false
	}
	return r.Key, true
}
