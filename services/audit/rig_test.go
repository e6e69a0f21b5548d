package audit_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/access/accesstest"
	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/chain"
	"github.com/curfewhq/curfew/internal/ledger"
	"github.com/curfewhq/curfew/internal/logtext"
	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/internal/signing"
	"github.com/curfewhq/curfew/services/audit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is the service over a real ledger.
type rig struct {
	t    testing.TB
	bus  *bus.Bus
	keys *signing.Keys
	api  *access.Store
	log  *logtext.Buffer
	book *ledger.Reader
}

func newRig(t testing.TB, b *bus.Bus) *rig {
	t.Helper()
	if err := b.EnsureAudit(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, bus: b, log: &logtext.Buffer{}, book: ledger.NewReader(b.JetStream(), bus.LedgerStream)}
	secrets, err := b.KeyValue(t.Context(), bus.SecretsBucket())
	if err != nil {
		t.Fatal(err)
	}
	if r.keys, err = signing.Open(t.Context(), secrets); err != nil {
		t.Fatal(err)
	}
	r.api = accesstest.Open(t, b)
	return r
}

// service makes one. Its interval is short.
func (r *rig) service(change ...func(*audit.Config)) *audit.Service {
	r.t.Helper()
	cfg := audit.Config{
		Ledger: r.book, Checkpoints: ledger.NewReader(r.bus.JetStream(), bus.AuditStream), Topic: bus.AuditTopic, Stream: r.bus, Signer: r.keys, Keys: r.api,
		Interval: 10 * time.Millisecond, Metrics: audit.NewMetrics(prometheus.NewRegistry(), func(string) {}), Log: r.log.Logger(),
	}
	for _, c := range change {
		c(&cfg)
	}
	svc, err := audit.New(cfg)
	if err != nil {
		r.t.Fatal(err)
	}
	return svc
}

// run makes checkpoints until done says so, and tries again what fails.
func (r *rig) run(svc *audit.Service, done func() bool) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 30*time.Second)
	defer cancel()
	for ctx.Err() == nil {
		if err := svc.Run(ctx, func() {
			if done() {
				cancel()
			}
		}); err != nil && ctx.Err() == nil {
			r.t.Logf("goes on after: %v", err)
		}
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		r.t.Fatalf("not in time: %s", r.log)
	}
}

// signedUpTo reports whether there is a checkpoint of a position.
func (r *rig) signedUpTo(position uint64) func() bool {
	return func() bool { return r.last().Position >= position }
}

// last is the last checkpoint; zero if there is none.
func (r *rig) last() chain.Checkpoint {
	r.t.Helper()
	data, _, err := r.bus.LastCheckpoint(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	payload, _, err := signing.Verify(r.keys.Public(), chain.Type, string(data))
	if err != nil {
		return chain.Checkpoint{}
	}
	c, err := chain.Decode(payload)
	if err != nil {
		r.t.Fatal(err)
	}
	return c
}

// store stores the revocations of n sessions, and returns the last one's position.
func (r *rig) store(n int) (last uint64) {
	r.t.Helper()
	for ; n > 1000; n -= 1000 {
		r.store(1000)
	}
	topics, msgs := make([]string, n), make([]*message.Message, n)
	for i := range n {
		id, err := events.NewID()
		if err != nil {
			r.t.Fatal(err)
		}
		e := &events.SessionRevoked{Session: "s-" + id, User: "ada", Common: events.Common{
			ID: id, Time: events.Floor(time.Now()), Source: "test", Tenant: "acme", Reason: events.ReasonAdmin, Initiator: events.Initiator{Type: events.InitiatorSystem},
		}}
		data, err := events.Encode(e)
		if err != nil {
			r.t.Fatal(err)
		}
		topics[i], msgs[i] = events.TopicOf(e).String(), message.NewMessage(id, data)
	}
	acks, errs := r.bus.Publisher().PublishAll(r.t.Context(), topics, msgs)
	for i, err := range errs {
		if err != nil {
			r.t.Fatal(err)
		}
		last = max(last, acks[i].Position)
	}
	return last
}

// checkpoints are those of the stream.
func (r *rig) checkpoints() []chain.Signed {
	r.t.Helper()
	signed := []chain.Signed{}
	err := ledger.NewReader(r.bus.JetStream(), bus.AuditStream).Read(r.t.Context(), ledger.Range{Topics: []string{bus.AuditTopic}, Raw: true}, func(e ledger.Entry) error {
		signed = append(signed, chain.Signed{Number: e.Position, Token: string(e.Data)})
		return nil
	}, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	return signed
}

// verify holds the ledger against its checkpoints.
func (r *rig) verify() chain.Report {
	r.t.Helper()
	trail := chain.Judge(r.checkpoints(), chain.Trust{Now: time.Now(), MaxGap: time.Hour, Open: func(token string) ([]byte, string, error) {
		return signing.Verify(r.keys.Public(), chain.Type, token)
	}})
	head, err := r.book.Head(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	walk := trail.Walk(chain.Head{Made: head.Made, First: head.First, Last: head.Last})
	err = r.book.Read(r.t.Context(), ledger.Range{Topics: []string{events.TopicAll}, After: trail.Begin(head.Made), Raw: true}, func(e ledger.Entry) error {
		return walk.Entry(chain.Entry{Position: e.Position, Stored: e.Stored, Topic: e.Topic, Header: e.Header, Data: e.Data})
	}, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	return walk.Report()
}

func (r *rig) key(tenant string, scopes ...access.Scope) (id, text string) {
	r.t.Helper()
	key, text := accesstest.Key(r.t, r.api, tenant, scopes...)
	return key.ID, text
}

// external is a bus over a server that can be stopped.
func external(t testing.TB) (*natstest.Server, *bus.Bus) {
	t.Helper()
	srv := natstest.Start(t)
	return srv, natstest.Open(t, bus.Config{URL: srv.URL()})
}

// connected waits for the bus to be connected again.
func (r *rig) connected() {
	r.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(30 * time.Second); !r.bus.Conn().IsConnected(); <-tick.C {
		if time.Now().After(deadline) {
			r.t.Fatal("not connected in time")
		}
	}
}
