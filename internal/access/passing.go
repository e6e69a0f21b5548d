package access

import (
	"errors"
	"slices"
)

// Passing makes a key that this process alone knows, in memory: nothing of it is stored, listed, or good at another process. It is for a process that calls its own API, to see what a caller would, and so
// it can have the scope check and no other. remove ends it, and may be called more than once.
func (s *Store) Passing(q Request) (text Text, remove func(), err error) {
	if len(q.Scopes) != 1 || !slices.Contains(q.Scopes, ScopeCheck) {
		return Text{}, nil, errors.New("a key that passes has the scope check and no other")
	}
	d, err := NewDraft(q)
	if err != nil {
		return Text{}, nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.passing == nil {
		s.passing = map[string]record{}
	}
	s.passing[d.ID] = d.record
	return d.text, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.passing, d.ID)
	}, nil
}

// record returns a key; mu must be held for reading.
func (s *Store) record(id string) (record, bool) {
	if r, ok := s.keys[id]; ok {
		return r, true
	}
	r, ok := s.passing[id]
	return r, ok
}
