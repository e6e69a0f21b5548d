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
	// stop ends the watcher's context, which a goroutine of nats.go waits for.
	stop context.CancelFunc
	done chan struct{}

	mu sync.RWMutex
	// keys: id → key, revoked ones too.
	keys map[string]record
}

// Open reads all keys and goes on following the bucket until Close. ctx bounds the opening only.
func Open(ctx context.Context, kv jetstream.KeyValue) (*Store, error) {
	// The watcher lives as long as its context, so it must not be the caller's, which ends with the opening.
	watching, stop := context.WithCancel(context.WithoutCancel(ctx))
	watcher, err := kv.WatchAll(watching)
	if err != nil {
		stop()
		return nil, fmt.Errorf("follow the API keys: %w", err)
	}
	s := &Store{kv: kv, watcher: watcher, stop: stop, done: make(chan struct{}), keys: map[string]record{}}
	loaded := make(chan struct{})
	go s.follow(loaded)
	select {
	case <-loaded:
		return s, nil
	case <-s.done:
		_ = s.Close()
		return nil, errors.New("read the API keys: the connection was closed")
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
		r := record{revision: entry.Revision()}
		if entry.Operation() != jetstream.KeyValuePut || json.Unmarshal(entry.Value(), &r) != nil || r.ID != entry.Key() {
			// Keys are revoked and never deleted; whatever else stands there is no key.
			s.mu.Lock()
			delete(s.keys, entry.Key())
			s.mu.Unlock()
			continue
		}
		s.put(r)
	}
}

// put takes a state of a key, unless it knows a later one. Without that a revoked key would come back for a moment:
//
//  1. Create stores revision 1.
//  2. Revoke stores revision 2 and puts it.
//  3. follow gets to revision 1, and only then to revision 2.
func (s *Store) put(r record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keys[r.ID].revision <= r.revision {
		s.keys[r.ID] = r
	}
}

// Close stops following and waits for it. It may be called more than once, with and without a connection, and never fails: what can't be said
// to the server ends there by itself.
func (s *Store) Close() error {
	_ = s.watcher.Stop()
	s.stop()
	<-s.done
	return nil
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
	if r.revision, err = s.kv.Create(ctx, r.ID, b); err != nil {
		return Key{}, Text{}, fmt.Errorf("store key: %w", err)
	}
	s.put(r)
	return r.Key, text, nil
}

// Revoke ends a key for good. Revoking a revoked key changes nothing.
func (s *Store) Revoke(ctx context.Context, id string) (Key, error) {
	for {
		r, err := s.revoke(ctx, id)
		// Somebody else wrote the key meanwhile: look again. Only a revocation writes an existing key, so the next turn ends it.
		if errors.Is(err, jetstream.ErrKeyExists) {
			continue
		}
		if err != nil {
			return Key{}, err
		}
		s.put(r)
		return r.Key, nil
	}
}

func (s *Store) revoke(ctx context.Context, id string) (record, error) {
	// The id is a caller's and becomes part of a NATS subject; the server closes the connection of whoever sends one of some kilobytes.
	if !isID(id) {
		return record{}, ErrNoKey
	}
	entry, err := s.kv.Get(ctx, id)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return record{}, ErrNoKey
	}
	if err != nil {
		return record{}, fmt.Errorf("read key: %w", err)
	}
	r := record{revision: entry.Revision()}
	if err := json.Unmarshal(entry.Value(), &r); err != nil {
		return record{}, fmt.Errorf("decode key: %w", err)
	}
	if !r.RevokedAt.IsZero() {
		return r, nil
	}
	r.RevokedAt = time.Now().UTC()
	b, err := json.Marshal(r)
	if err != nil {
		return record{}, fmt.Errorf("encode key: %w", err)
	}
	if r.revision, err = s.kv.Update(ctx, id, b, entry.Revision()); err != nil {
		return record{}, fmt.Errorf("store key: %w", err)
	}
	return r, nil
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

// Live reports whether a key that a request came with is still good, for answers that go on for long.
func (s *Store) Live(id string) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	r, ok := s.keys[id]
	return ok && r.RevokedAt.IsZero()
}
