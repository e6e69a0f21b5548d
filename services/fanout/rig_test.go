package fanout

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/events/tab"
	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/logtext"
	"github.com/curfewhq/curfew/internal/problem"
	"github.com/curfewhq/curfew/internal/tabclient"
	"github.com/curfewhq/curfew/internal/telemetry"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationtest"
)

const (
	tenant = "acme"
	site   = "https://app.example"
	// patience bounds waits that should end at once.
	patience = 20 * time.Second
)

// rig is a gateway over a fake feed, and everything around it. It works inside a synctest bubble and outside.
type rig struct {
	t       *testing.T
	feed    *revocationtest.Feed
	replica *revocation.Replica
	svc     *Service
	metrics *telemetry.Metrics
	log     *logtext.Buffer
	// shown holds the ids of acknowledged notices.
	shownMu sync.Mutex
	shown   []string
	stop    func()
}

// newRig starts a gateway. change may be nil.
func newRig(t *testing.T, change func(*Config)) *rig {
	t.Helper()
	g := idleRig(t, change)
	g.start()
	return g
}

// idleRig is newRig without Run.
func idleRig(t *testing.T, change func(*Config)) *rig {
	t.Helper()
	g := &rig{t: t, feed: revocationtest.New(), metrics: telemetry.NewMetrics(prometheus.NewRegistry()), log: &logtext.Buffer{}}
	g.feed.AutoBeat(time.Second)
	var err error
	if g.replica, err = revocation.Open(t.Context(), revocation.Config{Feed: g.feed}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.replica.Close() })
	cfg := Config{
		Replica: g.replica, Keys: new(access.Store), UsedTickets: &usedTickets{}, TicketKey: bytes.Repeat([]byte{7}, 32), AllowedOrigins: []string{site},
		EventAt: g.eventAt, Metrics: g.metrics, Log: g.log.Logger(), OnShown: func(id string, _ tab.Outcome) {
			g.shownMu.Lock()
			defer g.shownMu.Unlock()
			g.shown = append(g.shown, id)
		},
	}
	if change != nil {
		change(&cfg)
	}
	if g.svc, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	return g
}

func (g *rig) start() {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := g.svc.Run(ctx); err != nil {
			g.t.Errorf("Run: %v", err)
		}
	}()
	g.stop = func() { cancel(); <-ended }
	g.t.Cleanup(g.stop)
}

// eventAt finds the event in the feed by following it once more.
func (g *rig) eventAt(ctx context.Context, position uint64) (events.Event, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := &seeker{want: position, found: cancel}
	_ = g.feed.Follow(ctx, s)
	if s.event == nil {
		return nil, errors.New("no event there")
	}
	return s.event, nil
}

type seeker struct {
	want  uint64
	event events.Event
	found func()
}

func (s *seeker) Begin(revocation.Head) (uint64, error) { return s.want - 1, nil }
func (s *seeker) Event(p revocation.Place, e events.Event) {
	if p.Position == s.want {
		s.event = e
	}
	s.found()
}
func (s *seeker) Skip(revocation.Place, error) { s.found() }
func (s *seeker) Beat(revocation.Place)        { s.found() }
func (s *seeker) Reach(uint64)                 { s.found() }

// usedTickets is a bucket in memory: all of it that a gateway uses.
type usedTickets struct {
	jetstream.KeyValue
	mu  sync.Mutex
	ids map[string]bool
	err error
}

func (u *usedTickets) Create(_ context.Context, key string, _ []byte, _ ...jetstream.KVCreateOpt) (uint64, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case u.err != nil:
		return 0, u.err
	case u.ids[key]:
		return 0, jetstream.ErrKeyExists
	case u.ids == nil:
		u.ids = map[string]bool{}
	}
	u.ids[key] = true
	return uint64(len(u.ids)), nil
}

// who is a session of tenant with an auth time of an hour ago.
func who(user, sid string) revocation.Session {
	return revocation.Session{Tenant: tenant, ID: sid, User: user, AuthTime: time.Now().Add(-time.Hour)}
}

func (g *rig) ticket(s revocation.Session) string {
	g.t.Helper()
	text, _ := g.svc.tickets.issue(ticket{
		Tenant: s.Tenant, User: s.User, Session: s.ID, Device: s.Device, Client: s.Client, AuthTime: s.AuthTime.UnixMilli(),
	}, time.Now())
	return text
}

// pipe opens a conn without a network, which works in a bubble. A pipe holds no byte: who doesn't read blocks the writer at once.
func (g *rig) pipe() *tabclient.Conn {
	g.t.Helper()
	return tabclient.On(g.rawPipe(nil))
}

func (g *rig) rawPipe(early []byte) net.Conn {
	g.t.Helper()
	here, p := g.pipeFrom(peerKey(0), early)
	if p.Status != 0 {
		g.t.Fatalf("no room: %+v", p)
	}
	return here
}

// pipeFrom opens a pipe if the gateway has room for a conn from peer.
func (g *rig) pipeFrom(peer peerKey, early []byte) (net.Conn, problem.Problem) {
	g.t.Helper()
	if p := g.svc.enter(peer, false); p.Status != 0 {
		return nil, p
	}
	here, there := newPipe(g.t)
	go g.svc.open(g.svc.newWebSocket(there, early, peer), caller{origin: site})
	return here, problem.Problem{}
}

// open opens a conn for s and reads ready.
func (g *rig) open(s revocation.Session) *tabclient.Conn {
	g.t.Helper()
	c := g.pipe()
	hello(g.t, c, g.ticket(s))
	if f := next(g.t, c); f.Type != tab.TypeReady || f.Session != s.ID {
		g.t.Fatalf("first frame %+v, want ready", f)
	}
	return c
}

// serve gives the gateway a listener and returns its URL.
func (g *rig) serve() string {
	g.t.Helper()
	mux := http.NewServeMux()
	g.svc.Routes(mux)
	srv := httptest.NewServer(mux)
	g.t.Cleanup(srv.Close)
	return srv.URL
}

func (g *rig) dial(url, ticket string) *tabclient.Conn {
	g.t.Helper()
	c, err := tabclient.Dial(g.t.Context(), strings.Replace(url, "http", "ws", 1), site, ticket)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { _ = c.Close() })
	return c
}

// publish stores an event and waits until the replica has applied it and told of it.
func (g *rig) publish(e events.Event) (position uint64) {
	g.t.Helper()
	told := make(chan struct{})
	defer g.replica.OnApplied(func(a revocation.Applied) {
		if a.Event.Meta().ID == e.Meta().ID {
			close(told)
		}
	})()
	position = g.feed.Publish(e)
	within(g.t, told, "applying")
	return position
}

func (g *rig) closed(code string) float64 {
	return testutil.ToFloat64(g.metrics.ConnsClosed.WithLabelValues(code))
}

func within(t *testing.T, done <-chan struct{}, what string) {
	t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
		t.Fatalf("%s took more than %v", what, patience)
	}
}

// eventually waits for what gives no signal of its own.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for !cond() {
		if !sleep(ctx, 2*time.Millisecond) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

func hello(t *testing.T, c *tabclient.Conn, ticket string) {
	t.Helper()
	if err := c.Hello(ticket); err != nil {
		t.Fatal(err)
	}
}

// next returns the next frame.
func next(t *testing.T, c peer) tab.Frame {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	f, err := c.Next(ctx)
	if err != nil {
		t.Fatalf("next frame: %v", err)
	}
	return f
}

// wantClose reads the close frame, and no other before it.
func wantClose(t *testing.T, c *tabclient.Conn, code tab.CloseCode) *tabclient.CloseError {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	f, err := c.Next(ctx)
	var closed *tabclient.CloseError
	if !errors.As(err, &closed) || closed.Code != code {
		t.Fatalf("got %+v, %v; want close %d", f, err, code)
	}
	return closed
}

func common(reasonUser string) events.Common {
	id, err := events.NewID()
	if err != nil {
		panic(err)
	}
	return events.Common{
		ID: id, Time: time.Now(), Source: "test", Tenant: tenant, Reason: events.ReasonAdmin, ReasonUser: reasonUser,
		ReasonAdmin: "the admins' own business", Initiator: events.Initiator{Type: events.InitiatorAdmin},
	}
}

func sessionRevoked(s revocation.Session, reasonUser string) *events.SessionRevoked {
	return &events.SessionRevoked{Common: common(reasonUser), Session: s.ID, User: s.User}
}

// pass lets time go by, in a bubble.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func timeout(t *testing.T, d time.Duration) (context.Context, context.CancelFunc) {
	t.Helper()
	return context.WithTimeout(t.Context(), d)
}

func newPipe(t *testing.T) (here, there net.Conn) {
	t.Helper()
	here, there = net.Pipe()
	t.Cleanup(func() { _ = here.Close() })
	return here, there
}

// readHeartbeat reads what comes with each ping, for pages.
func readHeartbeat(t *testing.T, r io.Reader) {
	t.Helper()
	if f, err := readFrame(r); err != nil || f.Header.OpCode != ws.OpText || string(f.Payload) != `{"type":"heartbeat"}` {
		t.Fatalf("got %+v, %v; want a heartbeat", f, err)
	}
}

// readFrame reads one frame of the gateway's, which are short.
func readFrame(r io.Reader) (ws.Frame, error) {
	h, err := ws.ReadHeader(r)
	if err != nil {
		return ws.Frame{}, err
	}
	if h.Length > 4<<10 {
		return ws.Frame{}, fmt.Errorf("a frame of %d bytes", h.Length)
	}
	f := ws.Frame{Header: h, Payload: make([]byte, h.Length)}
	_, err = io.ReadFull(r, f.Payload)
	return f, err
}
