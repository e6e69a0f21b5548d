package sessionkv

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/internal/sessionstore"
)

// take applies one entry of the bucket; nil once everything has been told.
func (s *Store) take(entry jetstream.KeyValueEntry) {
	if entry == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.forget(s.table.Prune(time.Now())) // what has expired while nobody told
		clear(s.early)
		return
	}
	put := entry.Operation() == jetstream.KeyValuePut
	switch {
	case strings.HasPrefix(entry.Key(), sheetPrefix):
		if put {
			s.applySheet(entry)
		}
	case put:
		s.applySession(entry)
	default:
		s.remove(entry)
	}
	s.advance(entry.Revision())
}

// applySession takes the state of a session. A name that isn't the session's is none that Curfew has written.
func (s *Store) applySession(entry jetstream.KeyValueEntry) {
	session, err := sessionstore.Decode(entry.Value())
	if err != nil || s.cfg.Hasher.Session(session.Key()) != entry.Key() {
		s.remove(entry)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.table.Put(session, entry.Revision(), s.cfg.Due(session)) {
		s.names[entry.Key()] = session.Key()
	}
	if seen, ok := s.early[entry.Key()]; ok {
		delete(s.early, entry.Key())
		s.table.Before(session.Key(), seen, s.cfg.Due)
	}
}

// remove forgets what the bucket holds no session of any more.
func (s *Store) remove(entry jetstream.KeyValueEntry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.early, entry.Key())
	key, known := s.names[entry.Key()]
	if !known {
		return
	}
	if _, revision, _ := s.table.Get(key); revision < entry.Revision() {
		s.table.Remove(key)
		delete(s.names, entry.Key())
	}
}

// applySheet takes touches. While the bucket is read anew, those of a session come before its state where that was written later.
func (s *Store) applySheet(entry jetstream.KeyValueEntry) {
	reading := !s.current()
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, at := range readSheet(entry.Value()) {
		if key, known := s.names[name]; known {
			s.table.Touch(key, at, entry.Revision(), s.cfg.Due)
		} else if reading && at.After(s.early[name]) {
			s.early[name] = at
		}
	}
}

// current reports whether everything was told that the bucket held when it was last read anew.
func (s *Store) current() bool {
	following := s.following.Load()
	return following != nil && following.Current()
}

// forget drops the names of sessions that are gone. It needs mu.
func (s *Store) forget(gone []sessionstore.Key) {
	for _, key := range gone {
		delete(s.names, s.cfg.Hasher.Session(key))
	}
}

// waiter waits until the bucket has told of a revision.
type waiter struct {
	revision uint64
	done     chan struct{}
}

// advance says that everything up to a revision was told.
func (s *Store) advance(revision uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.applied = max(s.applied, revision)
	s.waiting = slices.DeleteFunc(s.waiting, func(w waiter) bool {
		if w.revision > s.applied {
			return false
		}
		close(w.done)
		return true
	})
}

// reached waits until the bucket has told of everything up to a revision.
func (s *Store) reached(ctx context.Context, revision uint64) error {
	w := waiter{revision, make(chan struct{})}
	s.mu.Lock()
	if s.applied >= revision {
		s.mu.Unlock()
		return nil
	}
	s.waiting = append(s.waiting, w)
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	select {
	case <-w.done:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = slices.DeleteFunc(s.waiting, func(other waiter) bool { return other.done == w.done })
	return writeError(ctx.Err())
}
