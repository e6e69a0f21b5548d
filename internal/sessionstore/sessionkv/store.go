package sessionkv

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/sessionstore"
)

// Config of a store. Its members are required.
type Config struct {
	Hasher sessionstore.Hasher
	// Due is when a session is due that another process has stored, or that was there before this one. It is called from one goroutine at a time.
	Due func(sessionstore.Session) time.Time
}

// Store is a session store over a bucket. Make it with Open and close it.
type Store struct {
	cfg    Config
	conn   *nats.Conn
	kv     jetstream.KeyValue
	js     jetstream.JetStream
	stream jetstream.Stream
	prefix string
	// batches has a place for each batch of touches that may be under way.
	batches chan struct{}
	// stop ends watching over the bucket; watched is closed once nothing does any more.
	stop    context.CancelFunc
	watched chan struct{}
	// following is replaced when the bucket was made anew.
	following atomic.Pointer[bus.Following]

	mu sync.RWMutex
	// table, names and sent are guarded by mu. names: name in the bucket → key, by which what the bucket has forgotten is found. sent: name → what this process is about to
	// write, which comes back by the bucket and needn't be read again.
	table *sessionstore.Table
	names map[string]sessionstore.Key
	sent  map[string]written
}

// written is a session as it is written.
type written struct {
	session sessionstore.Session
	data    []byte
}

var _ sessionstore.Store = (*Store)(nil)

// Open reads all sessions and goes on following the bucket until Close. ctx bounds the opening only. The connection is the bucket's, and both are borrowed.
func Open(ctx context.Context, nc *nats.Conn, kv jetstream.KeyValue, cfg Config) (*Store, error) {
	// What isn't acknowledged in time never is: the server's leader may have died with it, and it would take its place among those under way for ever.
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending((maxBatches+1)*sessionstore.MaxTouches), jetstream.WithPublishAsyncTimeout(writeTimeout))
	if err != nil {
		return nil, fmt.Errorf("open the session store: %w", err)
	}
	stream, err := js.Stream(ctx, "KV_"+kv.Bucket())
	if err != nil {
		return nil, fmt.Errorf("open the session store: %w", err)
	}
	s := &Store{
		cfg: cfg, conn: nc, kv: kv, stream: stream, js: js, prefix: "$KV." + kv.Bucket() + ".", batches: make(chan struct{}, maxBatches), watched: make(chan struct{}),
		table: sessionstore.NewTable(), names: map[string]sessionstore.Key{}, sent: map[string]written{},
	}
	following, err := bus.Follow(ctx, nc, kv, s.take)
	if err != nil {
		return nil, fmt.Errorf("open the session store: %w", err)
	}
	s.following.Store(following)
	watching, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = stop
	go s.watchOver(watching)
	return s, nil
}

// Close stops following and waits for it, some seconds at most. Nothing can be asked afterwards.
func (s *Store) Close() error {
	s.stop()
	<-s.watched
	s.following.Load().Close()
	return nil
}

// Ping returns an error if what is in memory may be out of date.
func (s *Store) Ping(context.Context) error { return s.available() }

// Len returns how many sessions there are.
func (s *Store) Len() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.table.Len()
}

// take applies one entry of the bucket; nil once everything has been told.
func (s *Store) take(entry jetstream.KeyValueEntry) {
	if entry == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.forget(s.table.Prune(time.Now())) // what has expired while nobody told
		return
	}
	s.apply(entry)
}

// apply puts what an entry holds into the table, and returns it; ok is false if there is no session in it.
func (s *Store) apply(entry jetstream.KeyValueEntry) (session sessionstore.Session, ok bool) {
	if entry.Operation() == jetstream.KeyValuePut {
		session, ok = s.read(entry.Key(), entry.Value())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if ok {
		s.put(entry.Key(), session, entry.Revision(), s.cfg.Due(session))
		return session, true
	}
	if key, known := s.names[entry.Key()]; known {
		if _, revision, _ := s.table.Get(key); revision < entry.Revision() {
			s.table.Remove(key)
			delete(s.names, entry.Key())
		}
	}
	return sessionstore.Session{}, false
}

// read returns the session that the bucket holds by a name. A name that isn't the session's is none that Curfew has written.
func (s *Store) read(name string, data []byte) (session sessionstore.Session, ok bool) {
	s.mu.RLock()
	own, sent := s.sent[name]
	s.mu.RUnlock()
	if sent && bytes.Equal(own.data, data) {
		return own.session, true
	}
	session, err := sessionstore.Decode(data)
	return session, err == nil && s.cfg.Hasher.Session(session.Key()) == name
}

// forget drops the names of sessions that are gone. It needs mu.
func (s *Store) forget(gone []sessionstore.Key) {
	for _, key := range gone {
		delete(s.names, s.cfg.Hasher.Session(key))
	}
}

// put needs mu.
func (s *Store) put(name string, session sessionstore.Session, revision uint64, due time.Time) {
	if s.table.Put(session, revision, due) {
		s.names[name] = session.Key()
	}
}

// get returns a session that is still kept, and its revision.
func (s *Store) get(key sessionstore.Key) (session sessionstore.Session, revision uint64, ok bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	session, revision, ok = s.table.Get(key)
	return session, revision, ok && session.KeptUntil().After(time.Now())
}

// available returns an error if what is in memory may be out of date.
func (s *Store) available() error {
	if s.following.Load().Current() {
		return nil
	}
	return fmt.Errorf("%w: the connection to NATS is down, or was until a moment ago", sessionstore.ErrUnavailable)
}

// Session does what sessionstore.Store says.
func (s *Store) Session(_ context.Context, key sessionstore.Key) (sessionstore.Session, error) {
	if err := s.available(); err != nil {
		return sessionstore.Session{}, err
	}
	session, _, ok := s.get(key)
	if !ok {
		return sessionstore.Session{}, sessionstore.ErrUnknown
	}
	return session, nil
}

// Sessions does what sessionstore.Store says.
func (s *Store) Sessions(_ context.Context, tenant, user string, limit int) ([]sessionstore.Session, bool, error) {
	if err := s.available(); err != nil {
		return nil, false, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	list, more := s.table.Sessions(tenant, user, limit, time.Now())
	return list, more, nil
}

// Due does what sessionstore.Store says.
func (s *Store) Due(_ context.Context, at time.Time, limit int) ([]sessionstore.Key, error) {
	if err := s.available(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.table.Due(at, limit), nil
}

// Postpone says when a session is due next, to this process alone: another one finds that by itself.
func (s *Store) Postpone(_ context.Context, key sessionstore.Key, next time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.table.Postpone(key, next)
	return nil
}

// Hasten does nothing: Config.Due has told when each session is due.
func (s *Store) Hasten(context.Context, time.Time) error { return nil }
