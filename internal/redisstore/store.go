package redisstore

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/go-redis/redis/v8"

	"github.com/curfewhq/curfew/internal/sessionstore"
)

const (
	sessionPrefix = "curfew:session:"
	userPrefix    = "curfew:user:"
	dueKey        = "curfew:due"

	dialTimeout = 2 * time.Second
	callTimeout = time.Second
	// attempts is how often a change is tried that others were faster with.
	attempts = 20
	// touchesAtOnce is how many touches one script takes: Redis does nothing else meanwhile.
	touchesAtOnce = 100
	// hastenedAtOnce is how many sessions are made due by one command.
	hastenedAtOnce = 1000
)

// Config of a store. Its members are required.
type Config struct {
	// URL is redis://user:password@host:port/db, or rediss:// for TLS.
	URL    string
	Hasher sessionstore.Hasher
}

// Store is a session store in Redis. Make it with Open and close it.
type Store struct {
	client *redis.Client
	hasher sessionstore.Hasher
}

var _ sessionstore.Store = (*Store)(nil)

// Open makes a store. It doesn't wait for Redis, which may come later: until then calls return ErrUnavailable. The error never quotes the URL, which has a password.
func Open(cfg Config) (*Store, error) {
	client, err := connect(cfg.URL)
	if err != nil {
		return nil, err
	}
	return &Store{client: client, hasher: cfg.Hasher}, nil
}

// connect makes a client.
func connect(url string) (*redis.Client, error) {
	opts, err := redis.ParseURL(url)
	if err != nil {
		return nil, errors.New("redis url: write redis://user:password@host:port/db, or rediss:// for TLS")
	}
	opts.DialTimeout, opts.ReadTimeout, opts.WriteTimeout, opts.PoolTimeout = dialTimeout, callTimeout, callTimeout, dialTimeout
	// A script that was done, and whose answer was lost, must not be done again: it would say that nothing was to be done. The pool finds closed connections by itself.
	opts.MaxRetries = -1
	opts.Dialer = dialer(opts.TLSConfig)
	return redis.NewClient(opts), nil
}

// dialer dials no longer than its context lasts, which the client's own doesn't see to with TLS.
func dialer(config *tls.Config) func(ctx context.Context, network, addr string) (net.Conn, error) {
	plain := &net.Dialer{Timeout: dialTimeout, KeepAlive: 5 * time.Minute}
	if config == nil {
		return plain.DialContext
	}
	return (&tls.Dialer{NetDialer: plain, Config: config}).DialContext
}

// Close closes the connections.
func (s *Store) Close() error { return s.client.Close() }

// Ping asks whether Redis is there.
func (s *Store) Ping(ctx context.Context) error { return failure(s.client.Ping(ctx).Err()) }

func (s *Store) sessionKey(key sessionstore.Key) string {
	return sessionPrefix + s.hasher.Session(key)
}

func (s *Store) userKey(tenant, user string) string {
	return userPrefix + s.hasher.User(tenant, user)
}

// Create does what sessionstore.Store says.
func (s *Store) Create(ctx context.Context, session sessionstore.Session, due time.Time) (sessionstore.Session, bool, error) {
	there, err := createScript.Run(ctx, s.client,
		[]string{s.sessionKey(session.Key()), s.userKey(session.Tenant, session.User), dueKey},
		encode(session), session.KeptUntil().UnixMilli(), session.ID, place(session), member(session.Key()), score(due), time.Now().UnixMilli(),
	).Text()
	if errors.Is(err, redis.Nil) {
		return session, true, nil
	}
	if err != nil {
		return sessionstore.Session{}, false, failure(err)
	}
	stored, err := decode(there)
	return stored, false, err
}

// Session does what sessionstore.Store says.
func (s *Store) Session(ctx context.Context, key sessionstore.Key) (sessionstore.Session, error) {
	session, _, err := s.get(ctx, key)
	return session, err
}

// get returns a session and how it is stored.
func (s *Store) get(ctx context.Context, key sessionstore.Key) (session sessionstore.Session, value string, err error) {
	value, err = s.client.Get(ctx, s.sessionKey(key)).Result()
	if errors.Is(err, redis.Nil) {
		return session, "", sessionstore.ErrUnknown
	}
	if err != nil {
		return session, "", failure(err)
	}
	session, err = decode(value)
	return session, value, err
}

// Sessions does what sessionstore.Store says. What has expired stands in the user's set until somebody looks: then it goes, and it is looked again.
func (s *Store) Sessions(ctx context.Context, tenant, user string, limit int) (list []sessionstore.Session, more bool, err error) {
	set := s.userKey(tenant, user)
	for {
		ids, err := s.client.ZRevRange(ctx, set, 0, int64(limit)).Result()
		if err != nil || len(ids) == 0 {
			return nil, false, failure(err)
		}
		list, gone, err := s.read(ctx, tenant, ids)
		if err != nil {
			return nil, false, err
		}
		if len(gone) == 0 {
			return list[:min(limit, len(list))], len(list) > limit, nil
		}
		if err := s.client.ZRem(ctx, set, gone...).Err(); err != nil {
			return nil, false, failure(err)
		}
	}
}

// read returns the sessions with the ids, and the ids of those that are gone.
func (s *Store) read(ctx context.Context, tenant string, ids []string) (list []sessionstore.Session, gone []any, err error) {
	keys := make([]string, len(ids))
	for i, id := range ids {
		keys[i] = s.sessionKey(sessionstore.Key{Tenant: tenant, ID: id})
	}
	values, err := s.client.MGet(ctx, keys...).Result()
	if err != nil {
		return nil, nil, failure(err)
	}
	for i, value := range values {
		text, there := value.(string)
		if !there {
			gone = append(gone, ids[i])
			continue
		}
		session, err := decode(text)
		if err != nil {
			return nil, nil, err
		}
		list = append(list, session)
	}
	return list, gone, nil
}

// Due does what sessionstore.Store says.
func (s *Store) Due(ctx context.Context, at time.Time, limit int) ([]sessionstore.Key, error) {
	members, err := s.client.ZRangeByScore(ctx, dueKey, &redis.ZRangeBy{Min: "-inf", Max: strconv.FormatInt(at.UnixMilli(), 10), Count: int64(limit)}).Result()
	if err != nil {
		return nil, failure(err)
	}
	keys := make([]sessionstore.Key, 0, len(members))
	for _, m := range members {
		tenant, id, _ := strings.Cut(m, "/")
		keys = append(keys, sessionstore.Key{Tenant: tenant, ID: id})
	}
	return keys, nil
}

// Postpone does what sessionstore.Store says.
func (s *Store) Postpone(ctx context.Context, key sessionstore.Key, next time.Time) error {
	return failure(postponeScript.Run(ctx, s.client, []string{s.sessionKey(key), dueKey}, member(key), score(next)).Err())
}

// Hasten does what sessionstore.Store says.
func (s *Store) Hasten(ctx context.Context, next time.Time) error {
	for {
		members, err := s.client.ZRangeByScore(ctx, dueKey, &redis.ZRangeBy{Min: "(" + score(next), Max: "+inf", Count: hastenedAtOnce}).Result()
		if err != nil || len(members) == 0 {
			return failure(err)
		}
		sooner := make([]*redis.Z, len(members))
		for i, m := range members {
			sooner[i] = &redis.Z{Score: float64(next.UnixMilli()), Member: m}
		}
		if err := s.client.ZAddXX(ctx, dueKey, sooner...).Err(); err != nil {
			return failure(err)
		}
	}
}

// alive is added to the place of sessions that go on, which come first. Scores are exact up to 2^53.
const alive = 4_000_000_000_000_000

// place is a session's in its user's set: by when it was created.
func place(s sessionstore.Session) int64 {
	if s.Ended != nil && !s.Ended.Pending() {
		return s.CreatedAt.UnixMilli()
	}
	return s.CreatedAt.UnixMilli() + alive
}

// member stands for a session in the set of what is due. Tenants have no slash.
func member(key sessionstore.Key) string { return key.Tenant + "/" + key.ID }

// score is a time in that set; empty for never.
func score(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return strconv.FormatInt(t.UnixMilli(), 10)
}

// failure says which errors mean what. None of the client's tells a password.
func failure(err error) error {
	if err == nil || errors.Is(err, redis.Nil) {
		return nil
	}
	return fmt.Errorf("%w: redis: %w", sessionstore.ErrUnavailable, err)
}
