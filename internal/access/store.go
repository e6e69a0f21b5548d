package access

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// ErrNoKey is returned for a key id that doesn't exist.
var ErrNoKey = errors.New("no such key: list them with 'curfew keys ls'")

// Store holds the keys. It is safe for concurrent use.
type Store struct {
	kv      jetstream.KeyValue
	watcher jetstream.KeyWatcher
	done    chan struct{}

	mu sync.RWMutex
	// keys: id → key, revoked ones too.
	keys map[string]record
}

// Open reads all keys and goes on following the bucket until Close. ctx bounds the opening only.
func Open(ctx context.Context, kv jetstream.KeyValue) (*Store, error) {
	// The watcher lives as long as its context, so it must not be the caller's, which ends with the opening.
	watcher, err := kv.WatchAll(context.WithoutCancel(ctx))
	if err != nil {
		return nil, fmt.Errorf("follow the API keys: %w", err)
	}
	s := &Store{kv: kv, watcher: watcher, done: make(chan struct{}), keys: map[string]record{}}
	loaded := make(chan struct{})
	go s.follow(loaded)
	select {
	case <-loaded:
		return s, nil
	case <-ctx.Done():
		_ = s.Close()
		return nil, fmt.Errorf("read the API keys: %w", context.Cause(ctx))
	}
}

// follow closes loaded once all that the bucket held has been read.
func (s *Store) follow(loaded chan<- struct{}) {
	defer close(s.done)
	for entry := range s.watcher.Updates() {
		if entry == nil {
			close(loaded)
			continue
		}
		var r record
		if entry.Operation() != jetstream.KeyValuePut || json.Unmarshal(entry.Value(), &r) != nil {
			// Keys are revoked and never deleted; whatever else stands there is no key.
			s.mu.Lock()
			delete(s.keys, entry.Key())
			s.mu.Unlock()
			continue
		}
		s.put(r)
	}
}

func (s *Store) put(r record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys[r.ID] = r
}

// Close stops following. It may be called more than once.
func (s *Store) Close() error {
	err := s.watcher.Stop()
	<-s.done
	return err
}

// Create makes a key and stores its hash. The text is the only copy of the secret.
func (s *Store) Create(ctx context.Context, q Request) (Key, Text, error) {
	if err := q.Validate(); err != nil {
		return Key{}, Text{}, err
	}
	text := newText()
	r := record{Key: Key{ID: text.id, Name: q.Name, Tenant: q.Tenant, Scopes: slices.Clone(q.Scopes), CreatedAt: time.Now().UTC()}, Hash: text.hash()}
	b, err := json.Marshal(r)
	if err != nil {
		return Key{}, Text{}, fmt.Errorf("encode key: %w", err)
	}
	if _, err := s.kv.Create(ctx, r.ID, b); err != nil {
		return Key{}, Text{}, fmt.Errorf("store key: %w", err)
	}
	s.put(r)
	return r.Key, text, nil
}

// Revoke ends a key for good. Revoking a revoked key changes nothing.
func (s *Store) Revoke(ctx context.Context, id string) (Key, error) {
	entry, err := s.kv.Get(ctx, id)
	if errors.Is(err, jetstream.ErrKeyNotFound) || errors.Is(err, jetstream.ErrInvalidKey) {
		return Key{}, ErrNoKey
	}
	if err != nil {
		return Key{}, fmt.Errorf("read key: %w", err)
	}
	var r record
	if err := json.Unmarshal(entry.Value(), &r); err != nil {
		return Key{}, fmt.Errorf("decode key: %w", err)
	}
	if !r.RevokedAt.IsZero() {
		return r.Key, nil
	}
	r.RevokedAt = time.Now().UTC()
	b, err := json.Marshal(r)
	if err != nil {
		return Key{}, fmt.Errorf("encode key: %w", err)
	}
	if _, err := s.kv.Update(ctx, id, b, entry.Revision()); err != nil {
		return Key{}, fmt.Errorf("store key: %w", err)
	}
	s.put(r)
	return r.Key, nil
}

// List returns all keys, oldest first.
func (s *Store) List() []Key {
	s.mu.RLock()
	defer s.mu.RUnlock()
	keys := make([]Key, 0, len(s.keys))
	for _, r := range s.keys {
		keys = append(keys, r.Key)
	}
	slices.SortFunc(keys, func(a, b Key) int {
		if c := a.CreatedAt.Compare(b.CreatedAt); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return keys
}

// Lookup returns the live key that text belongs to.
func (s *Store) Lookup(text Text) (Key, bool) {
	s.mu.RLock()
	r, ok := s.keys[text.id]
	s.mu.RUnlock()
	// An unknown id takes as long as a wrong secret.
	if !r.matches(text) || !ok || !r.RevokedAt.IsZero() {
		return Key{}, false
	}
	return r.Key, true
}
