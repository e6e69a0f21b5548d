package sessions_test

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/access/accesstest"
	"github.com/curfewhq/curfew/internal/app/apptest"
	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/gateways"
	"github.com/curfewhq/curfew/internal/ledger"
	"github.com/curfewhq/curfew/internal/logtext"
	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/internal/redisstore"
	"github.com/curfewhq/curfew/internal/redistest"
	"github.com/curfewhq/curfew/internal/sessionstore"
	"github.com/curfewhq/curfew/internal/sessionstore/sessionkv"
	"github.com/curfewhq/curfew/internal/telemetry"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationnats"
	"github.com/curfewhq/curfew/services/sessions"
)

func TestMain(m *testing.M) {
	// go-redis looks after its connections in the background, and ends that a moment after it was closed.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/go-redis/redis/v8/internal/pool.(*ConnPool).reaper"))
}

const (
	maxAge = 30 * 24 * time.Hour
	leeway = 5 * time.Minute
	// planted is part of every id that tests send. It must never be logged.
	planted = "PLANTED"
)

// stores open a store as one more process would.
type stores func(t *testing.T, timing sessions.Timing) sessionstore.Store

// eachStore runs a test over JetStream and over Redis.
func eachStore(t *testing.T, test func(t *testing.T, b *bus.Bus, open stores)) {
	t.Run("JetStream", func(t *testing.T) {
		b := ledgerBus(t)
		test(t, b, kv(b))
	})
	t.Run("Redis", func(t *testing.T) { test(t, ledgerBus(t), redisStore(redistest.Start(t))) })
}

// hasher names sessions in every store.
func hasher() sessionstore.Hasher { return sessionstore.NewHasher([]byte("key")) }

// kv opens stores in a bucket, and redisStore in a Redis, which may be away.
func kv(b *bus.Bus) stores {
	return func(t *testing.T, timing sessions.Timing) sessionstore.Store { return kvStore(t, b, timing) }
}

func redisStore(server *redistest.Server) stores {
	return func(t *testing.T, _ sessions.Timing) sessionstore.Store {
		t.Helper()
		s, err := redisstore.Open(redisstore.Config{URL: server.URL(), Hasher: hasher()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
}

func kvStore(t *testing.T, b *bus.Bus, timing sessions.Timing) sessionstore.Store {
	t.Helper()
	kv, err := b.KeyValue(t.Context(), bus.SessionsBucket())
	if err != nil {
		t.Fatal(err)
	}
	s, err := sessionkv.Open(t.Context(), b.Conn(), kv, sessionkv.Config{Hasher: hasher(), Due: timing.Due})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// ledgerBus has a ledger, and beats in it.
func ledgerBus(t *testing.T) *bus.Bus {
	t.Helper()
	b := natstest.Bus(t)
	if err := b.EnsureStreams(t.Context()); err != nil {
		t.Fatal(err)
	}
	natstest.Beat(t, b, 250*time.Millisecond)
	return b
}

// desk is one process with a registry, behind a real HTTP server.
type desk struct {
	svc     *sessions.Service
	store   sessionstore.Store
	replica *revocation.Replica
	api     *apptest.Server
	key     string
	log     *logtext.Buffer
	metrics *sessions.Metrics

	mu    sync.Mutex
	hints []gateways.Hint // guarded by mu
}

// newDesk opens a desk. change may be nil.
func newDesk(t *testing.T, b *bus.Bus, open stores, timing sessions.Timing, change func(*sessions.Config)) *desk {
	t.Helper()
	timing.MaxAge = maxAge
	d := &desk{log: &logtext.Buffer{}, store: open(t, timing)}
	keys := accesstest.Open(t, b)
	_, d.key = accesstest.Key(t, keys, "acme", access.ScopeSessions)
	d.log.Never(t, planted, accesstest.Secret(d.key))
	var err error
	d.replica, err = revocation.Open(t.Context(), revocation.Config{Feed: revocationnats.NewFeed(b.JetStream(), revocationnats.Config{}), MaxAge: maxAge})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.replica.Close() })
	cfg := sessions.Config{
		Store: d.store, Replica: d.replica, EventAt: eventAt(b), Stream: b.Publisher(), Keys: keys, Tell: d.tell, Timing: timing, Leeway: leeway, SweepInterval: 10 * time.Millisecond,
		Metrics: sessions.NewMetrics(prometheus.NewRegistry(), func(string) {}), Hasher: telemetry.NewHasher([]byte("0123456789abcdef")), Log: d.log.Logger(),
	}
	if change != nil {
		change(&cfg)
	}
	d.metrics = cfg.Metrics
	if d.svc, err = sessions.New(cfg); err != nil {
		t.Fatal(err)
	}
	d.api = apptest.Serve(t, d.svc.Routes)
	return d
}

// eventAt reads the ledger, as a server does.
func eventAt(b *bus.Bus) func(context.Context, uint64) (events.Event, error) {
	return func(ctx context.Context, position uint64) (events.Event, error) {
		msg, err := b.EventAt(ctx, position)
		if err != nil {
			return nil, err
		}
		return events.DecodeMessage(msg.Subject, msg.Data)
	}
}

func (d *desk) tell(h gateways.Hint) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.hints = append(d.hints, h)
	return nil
}

// told returns the hints of a kind about a session.
func (d *desk) told(kind gateways.HintKind, session string) (hints []gateways.Hint) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, h := range d.hints {
		if h.Kind == kind && h.Session == session {
			hints = append(hints, h)
		}
	}
	return hints
}

// sweep runs the sweeper until the test ends, and the part of the registry that follows the ledger.
func (d *desk) sweep(t *testing.T) {
	ctx, stop := context.WithCancel(context.Background())
	var work sync.WaitGroup
	work.Go(func() { _ = d.svc.Sweep(ctx) })
	t.Cleanup(func() { stop(); work.Wait() })
}

// follow has the desk note what the ledger says, until the test ends.
func (d *desk) follow(t *testing.T, b *bus.Bus) {
	t.Helper()
	sub, err := b.NewSubscriber(bus.SubscriberConfig{Durable: sessions.Durable, MaxDeliver: -1})
	if err != nil {
		t.Fatal(err)
	}
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: 10 * time.Second}, watermill.NopLogger{})
	if err != nil {
		t.Fatal(err)
	}
	router.AddMiddleware(bus.ParkPoison(b.Parker()))
	router.AddConsumerHandler("sessions", events.TopicAll, sub, d.svc.Handle)
	ctx, stop := context.WithCancel(context.Background())
	var work sync.WaitGroup
	work.Go(func() { _ = router.Run(ctx) })
	t.Cleanup(func() { stop(); work.Wait() })
	<-router.Running()
}

// call calls the API, and decodes its answer into v unless that is nil.
func (d *desk) call(t *testing.T, method, path, body string, v any) (status int) {
	t.Helper()
	resp, answer := d.api.Call(t, d.key, method, path, body)
	if v != nil {
		if err := json.Unmarshal(answer, v); err != nil {
			t.Fatalf("%s: %v", answer, err)
		}
	}
	return resp.StatusCode
}

func (d *desk) register(t *testing.T, body string) sessions.Registered {
	t.Helper()
	var got sessions.Registered
	if status := d.call(t, http.MethodPost, "/v1/sessions", body, &got); status != http.StatusCreated && status != http.StatusOK {
		t.Fatalf("register %s: %d", body, status)
	}
	return got
}

// publish stores an event as the publisher would, and waits until the desk's replica has applied it.
func (d *desk) publish(t *testing.T, b *bus.Bus, e events.Event) uint64 {
	t.Helper()
	data, err := events.Encode(e)
	if err != nil {
		t.Fatal(err)
	}
	msg := message.NewMessage(e.Meta().ID, data)
	msg.Metadata.Set("Content-Type", events.ContentType)
	ack, err := b.Publisher().PublishAck(t.Context(), events.TopicOf(e).String(), msg)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.replica.WaitFor(t.Context(), ack.Position); err != nil {
		t.Fatal(err)
	}
	return ack.Position
}

func common(t *testing.T, reason events.Reason) events.Common {
	t.Helper()
	id, err := events.NewID()
	if err != nil {
		t.Fatal(err)
	}
	now := events.Floor(time.Now())
	return events.Common{
		ID: id, Time: now, Source: "test", Tenant: "acme", Reason: reason, Initiator: events.Initiator{Type: events.InitiatorUser}, ExpiresAt: now.Add(maxAge + leeway),
	}
}

// stored returns the sessions' ends in the ledger: session → events.
func stored(t *testing.T, b *bus.Bus) map[string][]*events.SessionRevoked {
	t.Helper()
	all := map[string][]*events.SessionRevoked{}
	err := ledger.NewReader(b.JetStream(), bus.LedgerStream).Read(t.Context(), ledger.Range{Topics: []string{events.TopicAll}}, func(e ledger.Entry) error {
		if r, ok := e.Event.(*events.SessionRevoked); ok {
			all[r.Session] = append(all[r.Session], r)
		}
		return nil
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// await waits for something that gives no signal of its own.
func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-deadline.C:
			t.Fatalf("it doesn't come: %s", what)
		case <-tick.C:
		}
	}
}

// awaitEnds follows the ledger until so many sessions have been ended in it.
func awaitEnds(t *testing.T, b *bus.Bus, all int, within time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	ended := map[string]bool{}
	err := ledger.NewReader(b.JetStream(), bus.LedgerStream).Read(ctx, ledger.Range{Topics: []string{events.TopicAll}, Follow: true}, func(e ledger.Entry) error {
		if r, ok := e.Event.(*events.SessionRevoked); ok {
			ended[r.Session] = true
		}
		if len(ended) < all {
			return nil
		}
		return ledger.ErrStop
	}, nil)
	if err != nil {
		t.Fatalf("%v after they were idle, %d of %d sessions have ended: %v", within, len(ended), all, err)
	}
}
