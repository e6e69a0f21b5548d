package replay_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go/jetstream"
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
	"github.com/curfewhq/curfew/internal/problem"
	"github.com/curfewhq/curfew/internal/replicas"
	"github.com/curfewhq/curfew/internal/sessionstore"
	"github.com/curfewhq/curfew/internal/telemetry"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationtest"
	"github.com/curfewhq/curfew/services/replay"
	"github.com/curfewhq/curfew/services/replay/target"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// planted is part of every id that tests send. It must never be logged.
const planted = "PLANTED"

// desk is the service over a real ledger, behind a real HTTP server. Its keys lie in another NATS, so that the ledger's can fail alone.
type desk struct {
	bus    *bus.Bus
	stream *bus.Publisher
	keys   *access.Store
	api    *apptest.Server
	log    *logtext.Buffer
	// key reads acme's, other globex's; operator, of acme, everybody's.
	key, other, operator string
	// sessions are what the registry answers about any user; awry is its error.
	sessions []sessionstore.Session
	awry     error
	// ask and present are what processes answer about exposure, and who is there.
	ask     func(context.Context, replicas.Question) ([]replicas.Answer, error)
	present func(context.Context) ([]replicas.Member, error)
	// cfg is the service's, and svc the service.
	cfg replay.Config
	svc *replay.Service
	// folder is where replays write files.
	folder string
}

func newDesk(t testing.TB, b *bus.Bus, change ...func(*target.Config)) *desk {
	t.Helper()
	d := &desk{bus: b, stream: b.Publisher(), log: &logtext.Buffer{}, folder: t.TempDir()}
	d.ask = func(context.Context, replicas.Question) ([]replicas.Answer, error) { return []replicas.Answer{}, nil }
	d.present = func(context.Context) ([]replicas.Member, error) { return nil, nil }
	d.keys = accesstest.Apart(t)
	d.key, d.other = d.newKey(t, "acme", access.ScopeRead), d.newKey(t, "globex", access.ScopeRead)
	d.operator = d.newKey(t, "acme", access.ScopeRead, access.ScopeOperator)
	d.log.Never(t, planted, accesstest.Secret(d.key), accesstest.Secret(d.operator), accesstest.Secret(d.other))
	feed := revocationtest.New()
	feed.Beat()
	replica, err := revocation.Open(t.Context(), revocation.Config{Feed: feed})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = replica.Close() })
	d.cfg = replay.Config{
		Ledger: ledger.NewReader(b.JetStream(), bus.LedgerStream), Store: d.stream, ImportKey: []byte("import"), Limits: replica, Keys: d.keys, Metrics: telemetry.NewMetrics(prometheus.NewRegistry()), Log: d.log.Logger(),
		Tasks: bucket(t, b, bus.ReplaysBucket()), Leases: bucket(t, b, bus.LeasesBucket()), Conn: b.Conn(), LeaseTTL: 1500 * time.Millisecond,
		Sessions: func(_ context.Context, _, _ string, limit int) ([]sessionstore.Session, bool, error) {
			return d.sessions[:min(limit, len(d.sessions))], len(d.sessions) > limit, d.awry
		},
		AskReplicas: func(ctx context.Context, q replicas.Question) ([]replicas.Answer, error) { return d.ask(ctx, q) },
		Present:     func(ctx context.Context) ([]replicas.Member, error) { return d.present(ctx) },
	}
	d.cfg.Fleet = gateways.NewFleet(b.Conn(), bucket(t, b, bus.GatewaysBucket()), gateways.FleetConfig{})
	t.Cleanup(d.cfg.Fleet.Close)
	targets := target.Config{
		JetStream: b.JetStream(), Fleet: d.cfg.Fleet, WebhookKey: make([]byte, 32), WebhookNetworks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Folder: d.folder,
	}
	for _, c := range change {
		c(&targets)
	}
	d.cfg.Targets = target.NewSet(targets)
	svc, err := replay.New(d.cfg)
	if err != nil {
		t.Fatal(err)
	}
	d.svc, d.api = svc, apptest.Serve(t, svc.Routes)
	return d
}

func bucket(t testing.TB, b *bus.Bus, of bus.Bucket) jetstream.KeyValue {
	t.Helper()
	kv, err := b.KeyValue(t.Context(), of)
	if err != nil {
		t.Fatal(err)
	}
	return kv
}

func (d *desk) newKey(t testing.TB, tenant string, scopes ...access.Scope) string {
	t.Helper()
	_, text := accesstest.Key(t, d.keys, tenant, scopes...)
	return text
}

// common is that of an event of acme, by an admin.
func common(t testing.TB) events.Common {
	t.Helper()
	id, err := events.NewID()
	if err != nil {
		t.Fatal(err)
	}
	return events.Common{
		ID: id, Time: events.Floor(time.Now()), Source: "test", Tenant: "acme", Reason: events.ReasonAdmin, Initiator: events.Initiator{Type: events.InitiatorAdmin},
	}
}

// store stores an event, and returns its position.
func (d *desk) store(t testing.TB, e events.Event) uint64 {
	t.Helper()
	data, err := events.Encode(e)
	if err != nil {
		t.Fatal(err)
	}
	ack, err := d.stream.PublishAck(t.Context(), events.TopicOf(e).String(), message.NewMessage(e.Meta().Tenant+"/"+e.Meta().ID, data))
	if err != nil {
		t.Fatal(err)
	}
	return ack.Position
}

// session stores the revocation of a session of acme.
func (d *desk) session(t testing.TB, session, user string) uint64 {
	t.Helper()
	return d.store(t, &events.SessionRevoked{Common: common(t), Session: session, User: user})
}

// reply is an answer of any call.
type reply struct {
	status int
	header http.Header
	body   []byte

	replay.History
	Code   string          `json:"code"`
	Retry  bool            `json:"retry"`
	Faults []problem.Fault `json:"errors"`
}

func (d *desk) get(t testing.TB, key, path string) reply {
	t.Helper()
	resp, body := d.api.Call(t, key, http.MethodGet, path, "")
	out := reply{status: resp.StatusCode, header: resp.Header, body: body}
	if err := json.Unmarshal(out.body, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// lines reads a whole range.
func (d *desk) lines(t testing.TB, key, query string) []replay.Record {
	t.Helper()
	resp, err := d.api.Send(t.Context(), key, http.MethodGet, "/v1/revocations?"+query, "", "Accept", "application/x-ndjson")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var all []replay.Record
	for dec := json.NewDecoder(resp.Body); ; {
		var r replay.Record
		if err := dec.Decode(&r); err == io.EOF {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
}

// eventually waits for something that gives no signal of its own.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-ctx.Done():
			t.Fatalf("not within 30 s: %s", what)
		case <-tick.C:
		}
	}
}
