package sessionkv

import (
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
	// stop ends what goes on in the background, which is work.
	stop context.CancelFunc
	work sync.WaitGroup
	// following is replaced when the bucket was made anew.
	following atomic.Pointer[bus.Following]

	mu sync.RWMutex
	// What follows is guarded by mu. heard is what is answered from; anew takes its place once the bucket has been told from its beginning again, and is nil otherwise.
	heard
	anew *heard
	// waiting are those who wait until heard has a revision.
	waiting []waiter
}

var _ sessionstore.Store = (*Store)(nil)

// Open reads all sessions and goes on following the bucket until Close. ctx bounds the opening only. The connection is the bucket's, and both are borrowed.
func Open(ctx context.Context, nc *nats.Conn, kv jetstream.KeyValue, cfg Config) (*Store, error) {
	// What isn't acknowledged in time never is: the server's leader may have died with it, and it would take its place among those under way for ever.
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(2*foldedAtOnce), jetstream.WithPublishAsyncTimeout(writeTimeout))
	if err != nil {
		return nil, fmt.Errorf("open the session store: %w", err)
	}
	stream, err := js.Stream(ctx, "KV_"+kv.Bucket())
	if err != nil {
		return nil, fmt.Errorf("open the session store: %w", err)
	}
	s := &Store{cfg: cfg, conn: nc, kv: kv, stream: stream, js: js, prefix: "$KV." + kv.Bucket() + "."}
	s.reset()
	following, err := bus.Follow(ctx, nc, rereading{kv, s}, s.take)
	if err != nil {
		return nil, fmt.Errorf("open the session store: %w", err)
	}
	s.following.Store(following)
	working, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = stop
	s.work.Go(func() { s.watchOver(working) })
	s.work.Go(func() { s.foldTouches(working) })
	return s, nil
}

// reset forgets everything.
func (s *Store) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heard = nothingHeard()
}

// Close stops following and waits for it, some seconds at most. Nothing can be asked afterwards.
func (s *Store) Close() error {
	s.stop()
	s.work.Wait()
	s.following.Load().Close()
	return nil
}

// Ping returns an error if what is in memory may be out of date.
func (s *Store) Ping(context.Context) error { return s.available() }

// get returns a session that is still kept, and its revision.
func (s *Store) get(key sessionstore.Key) (session sessionstore.Session, revision uint64, ok bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	session, revision, ok = s.table.Get(key)
	return session, revision, ok && session.KeptUntil().After(time.Now())
}

// available returns an error if what is in memory may be out of date.
func (s *Store) available() error {
	if s.current() {
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

// Walk does what sessionstore.Store says.
func (s *Store) Walk(_ context.Context, tenant string, most int, each func(sessionstore.Session)) (bool, error) {
	if err := s.available(); err != nil {
		return false, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.table.Walk(tenant, most, time.Now(), each), nil
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
