package gate_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationhttp"
)

// service is a service with a replica of its own, which can be cut off from the feed that the gate's replica follows, and the gate to ask.
type service struct {
	*rig
	link  *link
	own   *revocation.Replica
	guard *revocationhttp.Middleware
	// asked is what OnAsk was told last; asks how often.
	asks  atomic.Int32
	asked atomic.Value // error, wrapped
}

type askError struct{ error }

// link is a way to a feed that can be cut.
type link struct {
	revocation.Feed
	mu    sync.Mutex
	cut   bool
	leave context.CancelFunc
	// away, if true, makes a link that is cut show a stream of which nothing has come yet, so that the replica isn't synced at once.
	away bool
}

func (l *link) Follow(ctx context.Context, sink revocation.Sink) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	l.mu.Lock()
	cut, away := l.cut, l.away
	l.leave = cancel
	l.mu.Unlock()
	switch {
	case cut && away:
		if _, err := sink.Begin(revocation.Head{Stream: "another", Last: 1 << 60}); err != nil {
			return err
		}
		<-ctx.Done()
		return ctx.Err()
	case cut:
		return errors.New("the link is cut")
	}
	return l.Feed.Follow(ctx, sink)
}

// set cuts the link or mends it.
func (l *link) set(cut bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = cut
	l.leave()
}

func newService(t testing.TB, g *rig, away bool) *service {
	t.Helper()
	s := &service{rig: g, link: &link{Feed: g.feed, away: away}}
	var err error
	if s.own, err = revocation.Open(t.Context(), revocation.Config{Feed: s.link}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.own.Close() })
	s.guard, err = revocationhttp.New(revocationhttp.Config{
		Replica: s.own,
		Session: func(r *http.Request) (revocation.Session, error) {
			return revocation.Session{ID: r.Header.Get("X-Test-Session"), User: "ada", AuthTime: time.Now().Add(-time.Hour)}, nil
		},
		OnAsk: func(_ *http.Request, _ revocation.Decision, err error) {
			s.asks.Add(1)
			s.asked.Store(askError{err})
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.guard.Close() })
	return s
}

// gate returns a gate for policies; change may be nil.
func (s *service) gate(t testing.TB, url string, transport http.RoundTripper, change func(*revocationhttp.GateConfig)) *revocationhttp.Gate {
	t.Helper()
	cfg := revocationhttp.GateConfig{
		URL: url, Transport: transport, Keys: map[string]revocationhttp.APIKey{events.DefaultTenant: revocationhttp.NewAPIKey(s.keys.check)},
	}
	if change != nil {
		change(&cfg)
	}
	gate, err := revocationhttp.NewGate(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = gate.Close() })
	return gate
}

// request asks the service for a page, and returns the answer's status and code.
func (s *service) request(p revocationhttp.Policy, sid string, position uint64) string {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("X-Test-Session", sid)
	if position > 0 {
		r.Header.Set(revocationhttp.PositionHeader, fmt.Sprint(position))
	}
	w := httptest.NewRecorder()
	s.guard.With(p).Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(w, r)
	_, code, _ := strings.Cut(w.Body.String(), `"code":"`)
	code, _, _ = strings.Cut(code, `"`)
	return strings.TrimSpace(fmt.Sprint(w.Code, " ", code))
}

// pipes is a listener and the way to it, without a network: it works in a bubble.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes", Net: "unix"} }

// serve answers with h over pipes until stop is called, at the latest at the test's end.
func serve(t testing.TB, h http.Handler) (transport http.RoundTripper, stop func()) {
	t.Helper()
	p := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
	srv := &http.Server{Handler: h}
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(p) }()
	tr := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		here, there := net.Pipe()
		select {
		case p.conns <- there:
			return here, nil
		case <-p.closed:
			return nil, net.ErrClosed
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}}
	stop = func() {
		tr.CloseIdleConnections()
		_ = srv.Shutdown(context.Background())
		<-done
	}
	t.Cleanup(stop)
	return tr, stop
}

const (
	passes       = "200"
	revoked      = "401 session_revoked"
	undetermined = "503 session_undetermined"
)

// A service whose replica is stale asks this gate, over HTTP, with a key; and believes it no further than its own route allows.
func TestAskThisGate(t *testing.T) {
	bubble(t, nil, func(t *testing.T, g *rig) {
		transport, stop := serve(t, g.mux)
		s := newService(t, g, false)
		gate := s.gate(t, "http://localhost", transport, nil)
		ask := revocationhttp.Policy{Ask: gate}
		want := func(what, got, want string, err error) {
			t.Helper()
			if told, _ := s.asked.Swap(askError{}).(askError); got != want || !errors.Is(told.error, err) {
				t.Errorf("%s: %s, OnAsk told %v; want %s, %v", what, got, told.error, want, err)
			}
		}
		synctest.Wait()
		want("while it is fresh", s.request(ask, "laptop", 0), passes, nil)
		if n := s.asks.Load(); n > 0 {
			t.Fatalf("asked %d times while it is fresh", n)
		}
		s.link.set(true)
		pass(16 * time.Second)
		want("an active one", s.request(ask, "laptop", 0), passes, nil)
		position := g.publish(t, sessionRevoked("laptop"))
		if n := s.asks.Load(); n != 1 || s.own.Status().Position >= position {
			t.Fatalf("asked %d times, at position %d: the service isn't cut off", n, s.own.Status().Position)
		}
		want("a revoked one", s.request(ask, "laptop", 0), revoked, nil)
		want("a revoked one, at a fail-open route", s.request(revocationhttp.Policy{Ask: gate, DangerouslyFailOpen: true}, "laptop", 0), revoked, nil)
		want("a revoked one, without asking", s.request(revocationhttp.Policy{}, "laptop", 0), undetermined, nil)
		want("at the position of the logout", s.request(ask, "phone", position), passes, nil)
		want("further than the gate is", s.request(ask, "phone", position+1<<40), undetermined, revocationhttp.ErrGateUnavailable)

		g.feed.Stall()
		pass(700 * time.Millisecond)
		fresh := func(budget time.Duration) revocationhttp.Policy {
			return revocationhttp.Policy{Ask: gate, Require: revocation.Require{MaxStaleness: budget}}
		}
		want("within a short budget", s.request(fresh(2*time.Second), "phone", 0), passes, nil)
		want("beyond a shorter one", s.request(fresh(600*time.Millisecond), "phone", 0), undetermined, revocationhttp.ErrGateUndetermined)
		g.feed.Resume()
		synctest.Wait()

		// A key of another tenant would be told of other people: its answer says so.
		other := s.gate(t, "http://localhost", transport, func(c *revocationhttp.GateConfig) {
			c.Keys = map[string]revocationhttp.APIKey{events.DefaultTenant: revocationhttp.NewAPIKey(s.keys.acme)}
		})
		want("with another tenant's key", s.request(revocationhttp.Policy{Ask: other}, "laptop", 0), undetermined, revocationhttp.ErrGateRefused)
		for name, text := range map[string]string{"a publisher's key": s.keys.publish, "an unknown key": "cfw_0123456789abcdef_" + strings.Repeat("0", 64)} {
			wrong := s.gate(t, "http://localhost", transport, func(c *revocationhttp.GateConfig) {
				c.Keys = map[string]revocationhttp.APIKey{events.DefaultTenant: revocationhttp.NewAPIKey(text)}
			})
			want("with "+name, s.request(revocationhttp.Policy{Ask: wrong}, "phone", 0), undetermined, revocationhttp.ErrGateRefused)
			want("with "+name+", failing open", s.request(revocationhttp.Policy{Ask: wrong, DangerouslyFailOpen: true}, "phone", 0), passes, revocationhttp.ErrGateRefused)
		}

		g.feed.Stall()
		pass(16 * time.Second)
		want("when the gate is stale too", s.request(ask, "phone", 0), undetermined, revocationhttp.ErrGateUndetermined)
		want("when the gate is stale and knows the end", s.request(ask, "laptop", 0), revoked, nil)
		stop()
		began := time.Now()
		want("when the gate is down", s.request(ask, "phone", 0), undetermined, revocationhttp.ErrGateUnavailable)
		if took := time.Since(began); took > 300*time.Millisecond {
			t.Errorf("a gate that is down held a request up for %v", took)
		}
		g.feed.Resume()
		s.link.set(false)
		pass(3 * time.Second)
		asks := s.asks.Load()
		want("fresh again", s.request(ask, "phone", 0), passes, nil)
		want("fresh again, a revoked one", s.request(ask, "laptop", 0), revoked, nil)
		if n := s.asks.Load(); n != asks {
			t.Errorf("asked %d times though it is fresh", n-asks)
		}
	})
}

// A gate that hangs holds a request up for 300 ms and no longer.
func TestAskAGateThatHangs(t *testing.T) {
	bubble(t, nil, func(t *testing.T, g *rig) {
		over := make(chan struct{})
		transport, _ := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			<-over
			g.mux.ServeHTTP(w, r)
		}))
		defer close(over)
		s := newService(t, g, false)
		gate := s.gate(t, "http://localhost", transport, nil)
		s.link.set(true)
		pass(16 * time.Second)
		for _, p := range []struct {
			revocationhttp.Policy
			want string
		}{{revocationhttp.Policy{Ask: gate}, undetermined}, {revocationhttp.Policy{Ask: gate, DangerouslyFailOpen: true}, passes}} {
			began := time.Now()
			if got := s.request(p.Policy, "laptop", 0); got != p.want || time.Since(began) != 300*time.Millisecond {
				t.Errorf("fails open %t: %s after %v, want %s after 300 ms", p.DangerouslyFailOpen, got, time.Since(began), p.want)
			}
		}
	})
}

// A thousand requests at once while the replica can't tell, over a real network: each has its right answer, and the gate is asked no more at once
// than was said.
func TestAskWithAThousandRequests(t *testing.T) {
	g := newRig(t, newKeys(t), nil)
	const requests, places = 1000, 64
	sid := func(i int) string { return fmt.Sprintf("s%d", i) }
	var at, most atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := at.Add(1)
		defer at.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		g.mux.ServeHTTP(w, r)
	}))
	defer srv.Close()
	s := newService(t, g, true)
	// What the replica knows of itself, it knows without asking.
	known := sid(0)
	position := g.feed.Publish(sessionRevoked(known))
	if err := errors.Join(s.own.WaitFor(t.Context(), position), g.replica.WaitFor(t.Context(), position)); err != nil {
		t.Fatal(err)
	}
	s.link.set(true)
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	for s.own.Status().Synced {
		select {
		case <-poll.C:
		case <-deadline.C:
			t.Fatal("the service's replica is still synced")
		}
	}
	for i := range requests {
		if i%2 == 1 {
			position = g.feed.Publish(sessionRevoked(sid(i)))
		}
	}
	if err := g.replica.WaitFor(t.Context(), position); err != nil {
		t.Fatal(err)
	}
	gate := s.gate(t, srv.URL, nil, func(c *revocationhttp.GateConfig) { c.MaxConcurrent, c.Timeout = places, 20*time.Second })
	outcomes := make([]string, requests)
	var all sync.WaitGroup
	for i := range requests {
		all.Go(func() { outcomes[i] = s.request(revocationhttp.Policy{Ask: gate}, sid(i), 0) })
	}
	all.Wait()
	for i, got := range outcomes {
		want := passes
		if i%2 == 1 || sid(i) == known {
			want = revoked
		}
		if got != want {
			t.Errorf("%s: %s, want %s", sid(i), got, want)
		}
	}
	if n := s.asks.Load(); n != requests-1 {
		t.Errorf("asked %d times, want once for each but the one that the replica knew", n)
	}
	if most := most.Load(); most > places {
		t.Errorf("%d questions at the gate at once, want %d at most", most, places)
	}
}
