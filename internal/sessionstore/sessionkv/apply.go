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
	s.mu.Lock()
	defer s.mu.Unlock()
	if entry == nil {
		if s.anew != nil {
			s.heard, s.anew = *s.anew, nil
		}
		s.forget(s.table.Prune(time.Now())) // what has expired while nobody told
		s.wake()
		return
	}
	h := &s.heard
	if s.anew != nil {
		h = s.anew
	}
	put := entry.Operation() == jetstream.KeyValuePut
	switch {
	case strings.HasPrefix(entry.Key(), sheetPrefix):
		if put {
			h.applySheet(entry, s.cfg)
		}
	case put:
		h.applySession(entry, s.cfg)
	default:
		h.remove(entry)
	}
	h.applied = max(h.applied, entry.Revision())
	s.wake()
}

// current reports whether everything was told that the bucket held when the connection was last made. Who follows hears of a new connection a moment later than we may be asked, so it is looked
// which one that was.
func (s *Store) current() bool {
	following := s.following.Load()
	return following != nil && following.Current() && s.made() == s.over()
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

// wake tells those who wait for what was heard. It needs mu.
func (s *Store) wake() {
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
