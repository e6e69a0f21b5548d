package publisher_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/access/accesstest"
	"github.com/curfewhq/curfew/internal/app/apptest"
	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/ledger"
	"github.com/curfewhq/curfew/internal/logtext"
	"github.com/curfewhq/curfew/internal/problem"
	"github.com/curfewhq/curfew/internal/telemetry"
	"github.com/curfewhq/curfew/services/publisher"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	maxAge = 30 * 24 * time.Hour
	leeway = 5 * time.Minute
	// planted is part of every id and text that tests send. It must never be logged.
	planted = "PLANTED"
)

// desk is a publisher over a real ledger, behind a real HTTP server. Its keys lie in another NATS, so that the ledger's can fail alone.
type desk struct {
	bus     *bus.Bus
	keys    *access.Store
	metrics *telemetry.Metrics
	api     *apptest.Server
	log     *logtext.Buffer
	// key publishes and reads for acme, admin for acme too; other does both for globex.
	key, admin, other string
}

// newDesk opens a desk over a ledger. change may be nil.
func newDesk(t testing.TB, b *bus.Bus, change func(*publisher.Config)) *desk {
	t.Helper()
	d := &desk{bus: b, log: &logtext.Buffer{}, metrics: telemetry.NewMetrics(prometheus.NewRegistry())}
	d.keys = accesstest.Apart(t)
	d.key = d.newKey(t, "acme", access.ScopePublish, access.ScopeRead)
	d.admin = d.newKey(t, "acme", access.Scopes()...)
	d.other = d.newKey(t, "globex", access.ScopePublish, access.ScopeRead)
	d.log.Never(t, planted, accesstest.Secret(d.key), accesstest.Secret(d.admin), accesstest.Secret(d.other))
	cfg := publisher.Config{
		Stream: b.Publisher(), EventAt: b.EventAt, Keys: d.keys,
		MessageKey: bytes.Repeat([]byte{7}, 32), MaxAge: maxAge, Leeway: leeway,
		Metrics: d.metrics, Hasher: telemetry.NewHasher([]byte("0123456789abcdef")), Log: d.log.Logger(),
	}
	if change != nil {
		change(&cfg)
	}
	svc, err := publisher.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	d.api = apptest.Serve(t, svc.Routes)
	return d
}

func (d *desk) newKey(t testing.TB, tenant string, scopes ...access.Scope) string {
	t.Helper()
	_, text := accesstest.Key(t, d.keys, tenant, scopes...)
	return text
}

// reply is an answer of any call.
type reply struct {
	status int
	header http.Header
	body   []byte

	publisher.Stored
	Revocations []json.RawMessage `json:"revocations"`
	Code        string            `json:"code"`
	Detail      string            `json:"detail"`
	Retry       bool              `json:"retry"`
	Faults      []problem.Fault   `json:"errors"`
}

// receipts returns those of an array call.
func (r reply) receipts(t testing.TB) []publisher.Stored {
	t.Helper()
	out := make([]publisher.Stored, len(r.Revocations))
	for i, b := range r.Revocations {
		if err := json.Unmarshal(b, &out[i]); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// call sends a request as the given key. header holds names and values in turn.
func (d *desk) call(t testing.TB, key, method, path, body string, header ...string) reply {
	t.Helper()
	r, err := d.try(t.Context(), key, method, path, body, header...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (d *desk) try(ctx context.Context, key, method, path, body string, header ...string) (reply, error) {
	if body != "" {
		header = append([]string{"Content-Type", "application/json"}, header...)
	}
	resp, err := d.api.Send(ctx, key, method, path, body, header...)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	out := reply{status: resp.StatusCode, header: resp.Header}
	if out.body, err = io.ReadAll(resp.Body); err != nil {
		return reply{}, err
	}
	return out, json.Unmarshal(out.body, &out)
}

func (d *desk) revoke(t testing.TB, body string, header ...string) reply {
	t.Helper()
	return d.call(t, d.key, http.MethodPost, "/v1/revocations", body, header...)
}

// stored returns all events of the ledger in its order.
func (d *desk) stored(t testing.TB) []events.Event {
	t.Helper()
	var all []events.Event
	err := ledger.NewReader(d.bus.JetStream(), bus.LedgerStream).Read(t.Context(), ledger.Range{Topics: []string{events.TopicAll}}, func(e ledger.Entry) error {
		if e.Err != nil {
			t.Errorf("position %d holds no event: %v", e.Position, e.Err)
			return nil
		}
		all = append(all, e.Event)
		return nil
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// one returns the only event of the ledger.
func (d *desk) one(t testing.TB) events.Event {
	t.Helper()
	all := d.stored(t)
	if len(all) != 1 {
		t.Fatalf("the ledger holds %d events, want 1", len(all))
	}
	return all[0]
}

func (d *desk) published(name, result string) float64 {
	return testutil.ToFloat64(d.metrics.Published.WithLabelValues(name, result))
}

func (d *desk) refused(code string) float64 {
	return testutil.ToFloat64(d.metrics.Refused.WithLabelValues(code))
}

// eventually waits for something that gives no signal of its own.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-deadline.C:
			t.Fatalf("not within 30 s: %s", what)
		case <-tick.C:
		}
	}
}
