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
)

// ErrNoKey is returned for a key id that doesn't exist, or that the caller's key can't see.
var ErrNoKey = errors.New("no such key: list them with 'curfew keys ls'")

const (
	// watchTimeout bounds how long asking for a watch takes; nats.go itself waits as long as its context lives.
	watchTimeout = 2 * time.Second
	// minRetry and maxRetry are between two attempts to follow the bucket anew.
	minRetry, maxRetry = 50 * time.Millisecond, 2 * time.Second
)

// Store holds the keys. It is safe for concurrent use.
type Store struct {
	kv jetstream.KeyValue
	// conn tells of reconnects. It is nil without FollowConn, and borrowed.
	conn *nats.Conn
	// stop ends following.
	stop context.CancelFunc
	// done is closed once nothing is followed any more.
	done chan struct{}

	mu sync.RWMutex
	// keys: id → key, revoked ones too.
	keys map[string]record
}

// Option is an option of Open.
type Option func(*Store)

// FollowConn makes the store follow its bucket anew as soon as the connection is back. The conn is the bucket's, and is borrowed. Without it
// nats.go finds out by itself whether a restarted server has lost its consumer, which takes it ten to twenty seconds.
func FollowConn(nc *nats.Conn) Option { return func(s *Store) { s.conn = nc } }

// Open reads all keys and goes on following the bucket until Close. ctx bounds the opening only.
func Open(ctx context.Context, kv jetstream.KeyValue, opts ...Option) (*Store, error) {
	s := &Store{kv: kv, done: make(chan struct{}), keys: map[string]record{}}
	for _, opt := range opts {
		opt(s)
	}
	// A watch lives as long as its context, so it must not be the caller's, which ends with the opening.
	following, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = stop
	// Before the first watch, so that no reconnect falls between the two.
	var reconnected chan nats.Status
	if s.conn != nil {
		reconnected = s.conn.StatusChanged(nats.CONNECTED)
	}
	opened := context.AfterFunc(ctx, stop)
	w, err := s.watch(following)
	if err != nil {
		stop()
		s.forget(reconnected)
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return nil, fmt.Errorf("follow the API keys: %w", err)
	}
	loaded := make(chan struct{})
	go s.follow(following, w, reconnected, loaded)
	select {
	case <-loaded:
		if opened() {
			return s, nil
		}
	case <-s.done:
	}
	_ = s.Close()
	if cause := context.Cause(ctx); cause != nil {
		return nil, fmt.Errorf("read the API keys: %w", cause)
	}
	return nil, errors.New("read the API keys: the connection was closed")
}

func (s *Store) forget(reconnected chan nats.Status) {
	if reconnected != nil {
		s.conn.RemoveStatusListener(reconnected)
	}
}

// watch is one watch of the bucket.
type watch struct {
	jetstream.KeyWatcher
	// cancel ends the watch's context, which a goroutine of nats.go waits for.
	cancel context.CancelFunc
}

func (s *Store) watch(ctx context.Context) (*watch, error) {
	ctx, cancel := context.WithCancel(ctx)
	late := time.AfterFunc(watchTimeout, cancel)
	w, err := s.kv.WatchAll(ctx)
	if err != nil {
		late.Stop()
		cancel()
		return nil, err
	}
	if !late.Stop() {
		(&watch{w, cancel}).end()
		return nil, context.DeadlineExceeded
	}
	return &watch{w, cancel}, nil
}

// end ends a watch and waits for it. It never fails: what can't be said to the server, because it is away or knows nothing of the watch since
// its restart, ends there by itself.
func (w *watch) end() {
	_ = w.Stop()
	w.cancel()
	for range w.Updates() { // its sender waits for us
	}
}

// follow applies what is written to the bucket, and closes loaded once all that it held has been read. It watches anew after each reconnect,
// and when a watch ends by itself: a key that somebody else has revoked meanwhile must not go on working here. What a new watch repeats is
// known already, and changes nothing.
func (s *Store) follow(ctx context.Context, w *watch, reconnected chan nats.Status, loaded chan<- struct{}) {
	defer close(s.done)
	defer s.forget(reconnected)
	var ending sync.WaitGroup
	defer ending.Wait()
	defer func() { w.end() }()
	updates, wait := w.Updates(), minRetry
	again := time.NewTimer(0)
	again.Stop()
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case entry, open := <-updates:
			switch {
			case !open:
				updates = nil
				again.Reset(0)
			case entry != nil:
				s.take(entry)
			case loaded != nil:
				close(loaded)
				loaded = nil
			}
			continue
		case _, open := <-reconnected:
			if !open {
				reconnected = nil // the connection was closed for good
				continue
			}
		case <-again.C:
		}
		next, err := s.watch(ctx)
		switch {
		case errors.Is(err, nats.ErrConnectionClosed):
			return
		case err != nil:
			again.Reset(wait)
			wait = min(2*wait, maxRetry)
		default:
			ending.Go(w.end)
			w, updates, wait = next, next.Updates(), minRetry
			again.Stop()
		}
	}
}

// take applies one entry of the bucket.
func (s *Store) take(entry jetstream.KeyValueEntry) {
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
	s.stop()
	<-s.done
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
		Key:  Key{ID: text.id, Name: q.Name, Tenant: q.Tenant, Scopes: slices.Clone(q.Scopes), CreatedAt: time.Now().UTC()},
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
