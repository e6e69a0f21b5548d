package upkeep_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/access/accesstest"
	"github.com/curfewhq/curfew/internal/app/apptest"
	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/logtext"
	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/internal/problem"
	"github.com/curfewhq/curfew/internal/telemetry"
	"github.com/curfewhq/curfew/services/upkeep"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// planted is part of every id that tests store. It must never be logged.
const planted = "PLANTED"

// desk is the service behind a real HTTP server. Its keys lie in another NATS, so that the streams can fail alone.
type desk struct {
	bus  *bus.Bus
	keys *access.Store
	api  *apptest.Server
	log  *logtext.Buffer
	// operator may call, others has every other scope.
	operator, others string
	operatorID       string
}

func newDesk(t *testing.T, b *bus.Bus) *desk {
	t.Helper()
	d := &desk{bus: b, log: &logtext.Buffer{}}
	d.keys = accesstest.Apart(t)
	key, text := accesstest.Key(t, d.keys, "acme", access.ScopeOperator)
	d.operator, d.operatorID = text, key.ID
	_, d.others = accesstest.Key(t, d.keys, "acme", access.ScopePublish, access.ScopeCheck, access.ScopeSessions, access.ScopeRead, access.ScopeAdmin)
	d.log.Never(t, planted, accesstest.Secret(d.operator))
	svc, err := upkeep.New(upkeep.Config{Bus: b, Keys: d.keys, Metrics: telemetry.NewMetrics(prometheus.NewRegistry()), Log: d.log.Logger()})
	if err != nil {
		t.Fatal(err)
	}
	d.api = apptest.Serve(t, svc.Routes)
	return d
}

// reply is an answer of any call.
type reply struct {
	status int
	body   []byte
	Code   string          `json:"code"`
	Retry  bool            `json:"retry"`
	Faults []problem.Fault `json:"errors"`
}

func (d *desk) do(t *testing.T, key, method, path string) (r reply) {
	t.Helper()
	resp, body := d.api.Call(t, key, method, path, "")
	r.status, r.body = resp.StatusCode, body
	_ = json.Unmarshal(r.body, &r) // an answer of another form has another test
	return r
}

// answer reads an answer that has to be good.
func answer[T any](t *testing.T, r reply) (v T) {
	t.Helper()
	if r.status != http.StatusOK {
		t.Fatalf("got %d %s", r.status, r.body)
	}
	if err := json.Unmarshal(r.body, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// event is one of acme, as it is stored.
func event(t *testing.T) (topic string, data []byte) {
	t.Helper()
	id, err := events.NewID()
	if err != nil {
		t.Fatal(err)
	}
	e := &events.SessionRevoked{Common: events.Common{
		ID: id, Time: events.Floor(time.Now()), Source: "test", Tenant: "acme", Reason: events.ReasonAdmin, Initiator: events.Initiator{Type: events.InitiatorAdmin},
	}, Session: "PLANTED s", User: "PLANTED u"}
	if data, err = events.Encode(e); err != nil {
		t.Fatal(err)
	}
	return events.TopicOf(e).String(), data
}

// poison stores messages in the ledger, each with its payload, and has a consumer park them.
func (d *desk) poison(t *testing.T, topic string, payloads ...[]byte) {
	t.Helper()
	for _, payload := range payloads {
		if _, err := d.bus.JetStream().PublishMsg(t.Context(), &nats.Msg{Subject: topic, Data: payload}); err != nil {
			t.Fatal(err)
		}
	}
	natstest.Park(t, d.bus, "the webhook answers 410", len(payloads))
}
