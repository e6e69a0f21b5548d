package canary_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/ledger"
	"github.com/curfewhq/curfew/internal/logtext"
	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/internal/replicas"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationnats"
	"github.com/curfewhq/curfew/services/canary"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a canary over a real ledger with real replicas.
type rig struct {
	t       *testing.T
	srv     *natstest.Server
	bus     *bus.Bus
	stream  *bus.Publisher
	metrics *canary.Metrics
	log     *logtext.Buffer
	// check is Config.Check.
	check func(context.Context, replicas.Question) (string, error)
	// applied is Config.Applied.
	applied func(context.Context, uint64, time.Time) (replicas.Progress, error)
	tenants []string
}

func newRig(t *testing.T) *rig {
	t.Helper()
	srv := natstest.Start(t)
	b := natstest.Open(t, bus.Config{URL: srv.URL()})
	natstest.Beat(t, b, 50*time.Millisecond)
	return &rig{t: t, srv: srv, bus: b, stream: b.Publisher(), metrics: canary.NewMetrics(prometheus.NewRegistry()), log: &logtext.Buffer{}, tenants: []string{"acme"}}
}

func (r *rig) connect(url string) *nats.Conn {
	r.t.Helper()
	nc, err := nats.Connect(url, revocationnats.Options("test")...)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(nc.Close)
	return nc
}

// follow returns a replica that follows the ledger over url.
func (r *rig) follow(url string, budget time.Duration) *revocation.Replica {
	r.t.Helper()
	js, err := jetstream.New(r.connect(url))
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(r.t.Context(), 20*time.Second)
	defer cancel()
	replica, err := revocation.Open(ctx, revocation.Config{Feed: revocationnats.NewFeed(js, revocationnats.Config{}), StalenessBudget: budget})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = replica.Close() })
	return replica
}

// replica is one process's, which follows the ledger over url and answers over a connection of its own.
func (r *rig) replica(name, url string, budget time.Duration) *revocation.Replica {
	r.t.Helper()
	replica := r.follow(url, budget)
	natstest.Answer(r.t, r.connect(r.srv.URL()), name, func(q replicas.Question) replicas.Answer {
		d := replica.Check(revocation.Session{Tenant: q.Tenant, ID: q.Session, User: q.User, AuthTime: q.AuthTime})
		return replicas.Answer{State: d.State.String()}
	})
	return replica
}

func (r *rig) service(patience time.Duration) *canary.Service {
	r.t.Helper()
	svc, err := canary.New(canary.Config{
		Publisher: r.stream, Tenants: func() []string { return r.tenants }, Check: r.check, Applied: r.applied, Interval: 20 * time.Millisecond, Patience: patience, Leeway: 5 * time.Minute, Metrics: r.metrics, Log: r.log.Logger(),
		Ask: func(ctx context.Context, q replicas.Question, each func(replicas.Answer) bool) error {
			return replicas.AskEach(ctx, r.bus.Conn(), q, each)
		},
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return svc
}

// runUntil runs the canary until done holds.
func (r *rig) runUntil(svc *canary.Service, what string, done func() bool) {
	r.t.Helper()
	ctx, cancel := context.WithCancel(r.t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); svc.Run(ctx) }()
	defer func() { cancel(); <-ended }()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(30 * time.Second); !done(); <-tick.C {
		if time.Now().After(deadline) {
			r.t.Fatalf("%s: not in time\n%s", what, r.log)
		}
	}
}

func (r *rig) probes(result string) float64 {
	return testutil.ToFloat64(r.metrics.Probes.WithLabelValues(result))
}

// stored are the canaries in the ledger.
func (r *rig) stored() []*events.SessionRevoked {
	r.t.Helper()
	var list []*events.SessionRevoked
	err := ledger.NewReader(r.bus.JetStream(), bus.LedgerStream).Read(r.t.Context(), ledger.Range{Topics: []string{events.TopicAll}}, func(e ledger.Entry) error {
		if s, ok := e.Event.(*events.SessionRevoked); ok && s.User == canary.User {
			list = append(list, s)
		}
		return e.Err
	}, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	return list
}

// quiet fails where the log holds a session's id: the ids of canaries aren't secret, but no log line has one.
func (r *rig) quiet() {
	r.t.Helper()
	for _, e := range r.stored() {
		if strings.Contains(r.log.String(), e.Session) {
			r.t.Errorf("the log names a session: %s", r.log)
		}
	}
}
