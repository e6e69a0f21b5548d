package revocationhttp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Defaults of JWKSConfig.
const (
	DefaultMaxStale     = 24 * time.Hour
	DefaultFetchTimeout = 5 * time.Second
)

const (
	maxKeySetBytes = 1 << 20
	// A set is kept for as long as its Cache-Control says, within these bounds; for the last where it says nothing.
	shortestCache, longestCache, defaultCache = time.Minute, time.Hour, 10 * time.Minute
	// An unknown kid makes the set be fetched at most this often, and up to a quarter of it later. A fetch that failed doesn't count.
	unknownInterval = time.Minute
	// After a failed fetch the next waits at least half of this, and at most the longest.
	shortestBackoff, longestBackoff = time.Second, time.Minute
)

// JWKSConfig says where a key set is fetched from. Only URL is required.
type JWKSConfig struct {
	// URL is an https URL. Plain http is allowed to localhost, 127.0.0.0/8 and [::1] only. Redirects aren't followed.
	URL string
	// MaxStale is for how long after the last good fetch its keys are used while the endpoint is down. Zero means DefaultMaxStale;
	// negative means no longer than the set may be cached.
	MaxStale time.Duration
	// Timeout bounds one fetch. Zero means DefaultFetchTimeout.
	Timeout time.Duration
	// Transport is what to fetch with. Nil means a copy of http.DefaultTransport.
	Transport http.RoundTripper
	// OnFetch is told of each fetch: nil, or why it failed. It may be nil. It is called from the fetch's own goroutine.
	OnFetch func(err error)
}

// JWKS is a JSON Web Key Set (RFC 7517) that is fetched when first needed, and then again:
//
//   - when its Cache-Control max-age is over, held between a minute and an hour (ten minutes without one);
//   - when a token names a kid that isn't in it, at most about once a minute. So an issuer that publishes a key and at once signs
//     with it may see tokens refused for that long; publish keys before they are used.
//
// At most one fetch runs at a time, in a goroutine that the JWT owns and Close ends. Requests wait for it only if they can't do without.
// An answer is at most 1 MiB and 100 keys long. While the endpoint is down, answers nonsense, or answers a set without a usable key,
// the keys of the last good fetch are used until MaxStale; then, and for kids that only a fetch could tell of, tokens are answered with
// ErrKeysUnavailable.
func JWKS(cfg JWKSConfig) KeySource { return jwksSource{cfg} }

type jwksSource struct{ cfg JWKSConfig }

func (s jwksSource) open(algorithms []jose.SignatureAlgorithm) (keyring, error) {
	cfg := s.cfg
	if slices.ContainsFunc(algorithms, isSymmetric) {
		return nil, errors.New("a key set holds public keys: use StaticKey for HS256 to HS512")
	}
	if err := checkURL(cfg.URL); err != nil {
		return nil, err
	}
	if cfg.Timeout < 0 {
		return nil, errors.New("the JWKS Timeout can't be negative: leave it zero for the default")
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = DefaultFetchTimeout
	}
	if cfg.MaxStale == 0 {
		cfg.MaxStale = DefaultMaxStale
	}
	closeIdle := func() {} // who made the transport closes its connections
	if cfg.Transport == nil {
		t, ok := http.DefaultTransport.(*http.Transport)
		if !ok {
			t = &http.Transport{Proxy: http.ProxyFromEnvironment}
		}
		t = t.Clone()
		cfg.Transport, closeIdle = t, t.CloseIdleConnections
	}
	client := &http.Client{Transport: cfg.Transport, Timeout: cfg.Timeout, CheckRedirect: func(*http.Request, []*http.Request) error {
		// A redirect would let the endpoint make this process ask others, inside its own network (OWASP ASVS 5.0, 15.3.2).
		return http.ErrUseLastResponse
	}}
	ctx, cancel := context.WithCancel(context.Background())
	return &remoteSet{cfg: cfg, algorithms: algorithms, client: client, closeIdle: closeIdle, ctx: ctx, cancel: cancel}, nil
}

func checkURL(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" {
		return errors.New("the JWKS URL must be an absolute https URL without credentials or fragment") // the parser's error quotes it
	}
	ip := net.ParseIP(u.Hostname())
	loopback := u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
	if u.Scheme != "https" && (u.Scheme != "http" || !loopback) {
		return errors.New("the JWKS URL must be https; http is for loopback only: whoever can change the answer can sign in as anybody")
	}
	return nil
}

// remoteSet is a keyring that is fetched.
type remoteSet struct {
	cfg        JWKSConfig
	algorithms []jose.SignatureAlgorithm
	client     *http.Client
	closeIdle  func()
	// ctx ends with close. A fetch doesn't belong to the request that caused it: others may wait for it as well.
	ctx    context.Context
	cancel context.CancelFunc
	// fetches counts the fetch under way; close waits for it.
	fetches sync.WaitGroup

	mu sync.Mutex
	// set is nil until the first good fetch; fetched is when that began, expires until when it needn't be asked for again.
	set              keySet
	fetched, expires time.Time
	// flight is closed when the fetch under way has ended; nil while there is none.
	flight chan struct{}
	// lastErr is why the last fetch failed; nil if it didn't. failures counts how many did in a row; no fetch before retry.
	lastErr  error
	failures int
	retry    time.Time
	// nextUnknown is when an unknown kid may cause a fetch again.
	nextUnknown time.Time
	closed      bool
}

func (s *remoteSet) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	s.fetches.Wait()
	s.closeIdle()
}

func (s *remoteSet) find(ctx context.Context, kid string, alg jose.SignatureAlgorithm) ([]any, error) {
	keys, wait, err := s.look(kid, alg)
	if wait == nil {
		return keys, err
	}
	select {
	case <-wait:
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", ErrKeysUnavailable, context.Cause(ctx))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if keys = s.usable(time.Now()).find(kid, alg); len(keys) > 0 {
		return keys, nil
	}
	return nil, s.notFound()
}

// usable returns the set at hand, or nil if there is none or it is too old. The caller holds mu.
func (s *remoteSet) usable(now time.Time) keySet {
	if !now.Before(s.expires) && now.Sub(s.fetched) > s.cfg.MaxStale {
		return nil
	}
	return s.set
}

// look returns keys from the set at hand, or what to wait for, or an error. It starts a fetch where one is due and allowed.
func (s *remoteSet) look(kid string, alg jose.SignatureAlgorithm) ([]any, <-chan struct{}, error) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	set := s.usable(now)
	due := set == nil || !now.Before(s.expires)
	if keys := set.find(kid, alg); len(keys) > 0 {
		if due {
			s.fetch(now) // nobody waits for it: the keys at hand are good
		}
		return keys, nil, nil
	}
	switch {
	case due, s.lastErr != nil: // the pause after a failure is enough
		s.fetch(now)
	case s.flight == nil && !now.Before(s.nextUnknown):
		s.nextUnknown = now.Add(unknownInterval + rand.N(unknownInterval/4))
		s.fetch(now)
	}
	if s.flight != nil {
		return nil, s.flight, nil
	}
	return nil, nil, s.notFound()
}

// notFound says why there is no key: a kid that the issuer's current set doesn't hold is bad, and one that only a fetch could tell of may
// be good. The caller holds mu.
func (s *remoteSet) notFound() error {
	if s.usable(time.Now()) == nil || s.lastErr != nil || s.closed {
		return fmt.Errorf("%w: %w", ErrKeysUnavailable, s.fetchError())
	}
	return errUnknownKey
}

func (s *remoteSet) fetchError() error {
	switch {
	case s.lastErr != nil:
		return s.lastErr
	case s.closed:
		return errors.New("closed")
	}
	return errors.New("no set that is young enough")
}

// fetch starts a fetch unless one is under way, the last one failed just now, or the set is closed. The caller holds mu.
func (s *remoteSet) fetch(now time.Time) {
	if s.flight != nil || s.closed || now.Before(s.retry) {
		return
	}
	flight := make(chan struct{})
	s.flight = flight
	s.fetches.Go(func() {
		set, keep, err := s.get()
		s.fetchedSet(now, set, keep, err)
		close(flight)
		if s.cfg.OnFetch != nil {
			s.cfg.OnFetch(err)
		}
	})
}

// fetchedSet takes the result of the fetch that began at began. A set is replaced whole.
func (s *remoteSet) fetchedSet(began time.Time, set keySet, keep time.Duration, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flight, s.lastErr = nil, err
	if err != nil {
		pause := min(shortestBackoff<<min(s.failures, 10), longestBackoff)
		s.failures++
		// Half of it, and up to the whole at random: services mustn't come back together.
		s.retry = time.Now().Add(pause/2 + rand.N(pause/2))
		return
	}
	s.set, s.fetched, s.expires = set, began, began.Add(keep)
	s.failures, s.retry = 0, time.Time{}
}

// get asks the endpoint. Errors are for operators; they quote the configured URL, and nothing of the answer.
func (s *remoteSet) get() (keySet, time.Duration, error) {
	req, err := http.NewRequestWithContext(s.ctx, http.MethodGet, s.cfg.URL, nil)
	if err != nil {
		return nil, 0, err
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	res, err := s.client.Do(req)
	if err != nil {
		return nil, 0, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, 0, fmt.Errorf("the JWKS endpoint answered %d, want 200 without a redirect", res.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxKeySetBytes+1))
	if err != nil {
		return nil, 0, fmt.Errorf("read the key set: %w", err)
	}
	if len(body) > maxKeySetBytes {
		return nil, 0, fmt.Errorf("the key set is longer than %d bytes", maxKeySetBytes)
	}
	set, err := parseKeySet(body, s.algorithms)
	return set, cacheFor(res.Header), err
}

// cacheFor reads Cache-Control (RFC 9111 section 5.2.2) as far as it matters here, and keeps it within bounds.
func cacheFor(h http.Header) time.Duration {
	keep := defaultCache
	for _, directive := range strings.Split(strings.Join(h.Values("Cache-Control"), ","), ",") {
		name, value, _ := strings.Cut(strings.ToLower(strings.TrimSpace(directive)), "=")
		switch name {
		case "no-store", "no-cache":
			return shortestCache
		case "max-age":
			seconds, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 31)
			if err == nil {
				keep = time.Duration(seconds) * time.Second
			}
		}
	}
	return min(max(keep, shortestCache), longestCache)
}
