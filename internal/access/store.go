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

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/internal/bus"
)

// ErrNoKey is returned for a key id that doesn't exist, or that the caller's key can't see.
var ErrNoKey = errors.New("no such key: list them with 'curfew keys ls'")

// Store holds the keys. It is safe for concurrent use.
type Store struct {
	kv        jetstream.KeyValue
	following *bus.Following

	mu sync.RWMutex
	// keys: id → key, revoked ones too.
	keys map[string]record
	// passing: id → key of this process alone; nil until there is one.
	passing map[string]record
	// vouched: id → how many requests Vouch lets pass under it.
	vouched map[string]int
}

// Option is an option of Open.
type Option func(*options)

type options struct{ conn *nats.Conn }

// FollowConn makes the store follow its bucket anew as soon as the connection is back, as [bus.Follow] says. The conn is the bucket's, and is borrowed.
func FollowConn(nc *nats.Conn) Option { return func(o *options) { o.conn = nc } }

// Open reads all keys and goes on following the bucket until Close: a key that somebody else has revoked must not go on working here. ctx bounds the opening only.
func Open(ctx context.Context, kv jetstream.KeyValue, opts ...Option) (*Store, error) {
	var o options
	for _, opt := range opts {
		opt(&o)
	}
	s := &Store{kv: kv, keys: map[string]record{}, vouched: map[string]int{}}
	var err error
	if s.following, err = bus.Follow(ctx, o.conn, kv, s.take); err != nil {
		return nil, fmt.Errorf("read the API keys: %w", err)
	}
	return s, nil
}

// take applies one entry of the bucket.
func (s *Store) take(entry jetstream.KeyValueEntry) {
	if entry == nil {
		return
	}
	r := record{revision: entry.Revision()}
	if entry.Operation() == jetstream.KeyValuePut && json.Unmarshal(entry.Value(), &r) == nil && r.ID == entry.Key() {
		s.put(r)
		return
	}
	// Keys are revoked and never deleted; whatever else stands there is no key.
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.keys, entry.Key())
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

// Close stops following and waits for it, some seconds at most. It may be called more than once, with and without a connection, and never
// fails.
func (s *Store) Close() error {
	s.following.Close()
	return nil
}

// Draft is a key that isn't stored yet, and is worth nothing until then.
type Draft struct {
	record
	text Text
}

// NewDraft makes up a key, for callers that must keep its text safe before it is worth anything.
func NewDraft(q Request) (Draft, error) {
	if err := q.Validate(); err != nil {
		return Draft{}, err
	}
	text := newText()
	return Draft{text: text, record: record{
		Key:  Key{ID: text.id, Name: q.Name, Tenant: q.Tenant, Scopes: slices.Clone(q.Scopes), CreatedBy: q.createdBy, CreatedAt: time.Now().UTC()},
		Hash: text.hash(),
	}}, nil
}

// Text is the only copy of the key's secret.
func (d Draft) Text() Text { return d.text }

// Add stores the hash of a draft, which makes a key of it.
func (s *Store) Add(ctx context.Context, d Draft) (Key, error) {
	r := d.record
	b, err := json.Marshal(r)
	if err != nil {
		return Key{}, fmt.Errorf("encode key: %w", err)
	}
	if r.revision, err = s.kv.Create(ctx, r.ID, b); err != nil {
		return Key{}, fmt.Errorf("store key: %w", err)
	}
	s.put(r)
	return r.Key, nil
}

// Create makes a key and stores its hash. The text is the only copy of the secret.
func (s *Store) Create(ctx context.Context, q Request) (Key, Text, error) {
	d, err := NewDraft(q)
	if err != nil {
		return Key{}, Text{}, err
	}
	key, err := s.Add(ctx, d)
	if err != nil {
		return Key{}, Text{}, err
	}
	return key, d.text, nil
}

// Revoke ends a key for good. Revoking a revoked key changes nothing.
func (s *Store) Revoke(ctx context.Context, id string) (Key, error) {
	return s.revokeIf(ctx, id, func(Key) error { return nil })
}

// revokeIf revokes a key unless may has something against it.
func (s *Store) revokeIf(ctx context.Context, id string, may func(Key) error) (Key, error) {
	for {
		r, err := s.revoke(ctx, id, may)
		// Somebody else wrote the key meanwhile: look again. Only a revocation writes an existing key, so the next turn ends it.
		if errors.Is(err, jetstream.ErrKeyRevisionMismatch) {
			continue
		}
		if err != nil {
			return Key{}, err
		}
		s.put(r)
		return r.Key, nil
	}
}

func (s *Store) revoke(ctx context.Context, id string, may func(Key) error) (record, error) {
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
	if err := may(r.Key); err != nil {
		return record{}, err
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

// Descends reports whether a key was made by another one, or by one that was, as far as is kept.
func (s *Store) Descends(id, from string) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	// A key is younger than the one that made it, so there is no way round, unless somebody has written the bucket by hand.
	for range len(s.keys) {
		by := s.keys[id].CreatedBy
		if by == "" || by == from {
			return by != "" && from != ""
		}
		id = by
	}
	return false
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
	r, ok := s.record(text.id)
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
	if !isID(id) {
		return s.vouched[id] > 0
	}
	r, ok := s.record(id)
	return ok && r.RevokedAt.IsZero()
}

// Revoked reports whether a key is known that was revoked, for work that goes on when the request that it was asked for with has been answered. It is false for whoever was only vouched for, whom nothing revokes.
func (s *Store) Revoked(id string) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	r, ok := s.record(id)
	return ok && !r.RevokedAt.IsZero()
}
