package revocationhttp

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"sync"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/revocation"
)

// Defaults of TouchesConfig.
const (
	DefaultTouchInterval   = 15 * time.Second
	DefaultTouchTimeout    = 5 * time.Second
	DefaultTouchConcurrent = 4
	DefaultMaxTouched      = 100_000
)

// InputHeader is what Curfew's browser package sends with requests that a person's input has caused; its value is then "1".
const InputHeader = "Curfew-Input"

// HasInput reports whether a person's input has caused a request: a navigation that a person began (Sec-Fetch-User, which browsers send with no other),
// or one that says so (InputHeader). It is TouchesConfig.Input's default, for other tests to build upon.
//
// Everything else is taken for what a page or a browser does by itself: a page that polls in a forgotten tab must not keep its session alive, nor one that is
// fetched ahead in case somebody opens it (Sec-Purpose).
func HasInput(r *http.Request) bool {
	return r.Header.Get("Sec-Purpose") == "" && (r.Header.Get("Sec-Fetch-User") == "?1" || r.Header.Get(InputHeader) == "1")
}

// TouchesConfig is what NewTouches needs. URL and Keys are required.
type TouchesConfig struct {
	// URL is where the session registry is, without /v1/sessions/touch: https, or http to localhost, 127.0.0.0/8 and [::1].
	URL string
	// DangerouslyAllowHTTP allows plain http to other hosts. Whoever can read it on the way learns the keys and the sessions.
	DangerouslyAllowHTTP bool
	// Keys are API keys with the scope sessions: tenant → key. Touches of sessions of other tenants are dropped.
	Keys map[string]APIKey
	// Input says whether a request comes from a person's input. Nil means HasInput. It is called from many goroutines at once.
	Input func(*http.Request) bool
	// Interval is how long touches are gathered before they are sent; so each session is told of at most once in it. Zero means DefaultTouchInterval. It
	// should be a small part of the idle timeout.
	Interval time.Duration
	// Timeout bounds one request, and Close. Zero means DefaultTouchTimeout.
	Timeout time.Duration
	// MaxConcurrent is how many requests may be under way at once, each with up to 1,000 sessions. Zero means DefaultTouchConcurrent.
	MaxConcurrent int
	// MaxSessions bounds the sessions whose touches wait or are on their way; each takes some 300 bytes and its ids. From three quarters of it the oldest are
	// sent early. When it is reached, touches of further sessions are dropped and counted; a tenant whose touches can't be sent never takes the last of it from the
	// others. Zero means DefaultMaxTouched.
	MaxSessions int
	// Transport is what to send with; who made it closes it. Nil means one that keeps MaxConcurrent connections alive and uses no proxy.
	Transport http.RoundTripper
	// OnError tells of each request that failed, with how many touches it held: they are sent again, unless err wraps ErrTouchesRejected. It may be nil, is
	// called by several goroutines at once, and must not block.
	OnError func(tenant string, touches int, err error)
}

// Validate reports every fault of the configuration at once.
func (c TouchesConfig) Validate() error {
	const config = "revocationhttp touches config"
	errs := append([]error{urlFault(config, c.URL, c.DangerouslyAllowHTTP)}, keyFaults(config, "sessions", c.Keys)...)
	for _, n := range []struct {
		name     string
		negative bool
	}{{"Interval", c.Interval < 0}, {"Timeout", c.Timeout < 0}, {"MaxConcurrent", c.MaxConcurrent < 0}, {"MaxSessions", c.MaxSessions < 0}} {
		if n.negative {
			errs = append(errs, errors.New(config+": "+n.name+" can't be negative: leave it zero for the default"))
		}
	}
	return errors.Join(errs...)
}

func (c TouchesConfig) withDefaults() TouchesConfig {
	if c.Input == nil {
		c.Input = HasInput
	}
	if c.Interval == 0 {
		c.Interval = DefaultTouchInterval
	}
	if c.Timeout == 0 {
		c.Timeout = DefaultTouchTimeout
	}
	if c.MaxConcurrent == 0 {
		c.MaxConcurrent = DefaultTouchConcurrent
	}
	if c.MaxSessions == 0 {
		c.MaxSessions = DefaultMaxTouched
	}
	c.Keys = maps.Clone(c.Keys)
	return c
}

// Touches tells the session registry of people's input, by which it knows when a session is idle. It gathers touches in the process, the latest of
// each session, and sends them in batches. Make one with [NewTouches], share it, and close it. It is safe for concurrent use.
//
//	guard.Handler(touches.Handler(pages))
//
// A touch that is late or lost makes a session look idle for longer than it is; none makes it look younger. Touches keep alive what somebody uses: whoever
// has a copied cookie can send the headers too, so an idle timeout is no defence against him, and max age and revocations are.
type Touches struct {
	cfg      TouchesConfig
	endpoint endpoint
	// sending ends when Close's time is up.
	sending context.Context
	giveUp  context.CancelFunc
	// wake takes a token when the goroutine that sends must look again.
	wake          chan struct{}
	once          sync.Once
	closing, done chan struct{}
	// lost is what Close had to give up; read it once done is closed.
	lost int

	mu     sync.Mutex
	closed bool
	// lanes: tenant → what is to be sent with its key. None comes or goes.
	lanes map[string]*lane
	// held counts touches that wait or are on their way.
	held  int
	stats TouchesStats
}

// TouchesStats is what became of touches. All but Waiting count from the beginning.
type TouchesStats struct {
	// Waiting is how many sessions' touches wait or are on their way.
	Waiting int
	// Gathered counts touches that were taken in, several of one session among them.
	Gathered uint64
	// Touched, Ended and Unknown count the registry's answers: the session goes on; it is over; it was never registered.
	Touched, Ended, Unknown uint64
	// Dropped counts touches that were lost: of tenants without a key, with an id that isn't one, for want of room, rejected by the registry, after Close, or
	// given up by it.
	Dropped uint64
	// Failures counts requests that failed.
	Failures uint64
}

// NewTouches returns touches that are sent until they are closed. It reports every fault of the configuration at once, and none of them holds a key.
func NewTouches(cfg TouchesConfig) (*Touches, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	t := &Touches{
		cfg: cfg, endpoint: newEndpoint(cfg.URL, "/v1/sessions/touch", cfg.Transport, cfg.Timeout, cfg.MaxConcurrent),
		wake: make(chan struct{}, 1), closing: make(chan struct{}), done: make(chan struct{}), lanes: map[string]*lane{},
	}
	for tenant, key := range cfg.Keys {
		t.lanes[tenant] = &lane{tenant: tenant, key: key, waiting: map[string]*list.Element{}}
	}
	t.sending, t.giveUp = context.WithCancel(context.Background())
	go t.run()
	return t, nil
}

// Handler returns a handler that touches the session of each request that comes from a person's input, and passes all to next. It belongs inside of a
// Middleware's, which tells the session ([SessionFrom]): so only requests that were let in touch theirs.
func (t *Touches) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if t.cfg.Input(r) {
			if s, ok := SessionFrom(r.Context()); ok {
				t.Touch(s)
			}
		}
		next.ServeHTTP(w, r)
	})
}

// Touch notes that the session is being used now. It never blocks on the network. Handler calls it; call it yourself for input that comes in other
// ways, such as a WebSocket's messages.
func (t *Touches) Touch(s revocation.Session) {
	tenant := s.Tenant
	if tenant == "" {
		tenant = events.DefaultTenant
	}
	at := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.lanes[tenant]
	if t.closed || l == nil {
		t.stats.Dropped++
		return
	}
	if l.renew(s.ID, at.UnixMilli()) {
		t.stats.Gathered++
		return
	}
	// One id that isn't one would have the whole batch rejected.
	if events.IDFault(s.ID) != "" || t.full(l) {
		t.stats.Dropped++
		return
	}
	t.stats.Gathered++
	t.held++
	l.add(touch{s.ID, at.UnixMilli()})
	if l.due.IsZero() {
		l.due = at.Add(t.cfg.Interval)
		t.look()
	}
	if t.crowded() {
		t.look()
	}
}

// Stats returns what became of touches up to now.
func (t *Touches) Stats() TouchesStats {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.stats
	s.Waiting = t.held
	return s
}

// Close sends what waits, within Timeout in all, and ends. It returns an error that wraps ErrTouchesLost if something couldn't be sent by then. Close it when
// the server has shut down. It may be called any number of times, but not from OnError.
func (t *Touches) Close() error {
	t.once.Do(func() {
		t.mu.Lock()
		t.closed = true
		t.mu.Unlock()
		close(t.closing)
		defer time.AfterFunc(t.cfg.Timeout, t.giveUp).Stop()
		<-t.done
		t.giveUp()
		t.endpoint.closeIdle()
	})
	<-t.done
	if t.lost > 0 {
		return fmt.Errorf("%w: of %d sessions", ErrTouchesLost, t.lost)
	}
	return nil
}
