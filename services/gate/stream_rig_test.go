package gate_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/sirupsen/logrus"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/access/accesstest"
	"github.com/curfewhq/curfew/internal/app"
	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/ledger"
	"github.com/curfewhq/curfew/internal/logtext"
	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/internal/telemetry"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationnats"
	"github.com/curfewhq/curfew/services/gate"
)

// patience bounds waits that end in a moment unless something is broken.
const patience = 30 * time.Second

// station is a gate over a real ledger with beats, behind the server's own HTTP listener. Its keys lie in another NATS.
type station struct {
	bus     *bus.Bus
	store   *access.Store
	replica *revocation.Replica
	metrics *telemetry.Metrics
	svc     *gate.Service
	api     *app.HTTP
	client  *http.Client
	scheme  string
	log     *logtext.Buffer
	// acme and globex are keys of these tenants.
	acme, globex string
	// stopBeats ends the beats and waits for that.
	stopBeats func()
}

// newStation opens a station over a ledger; change may be nil.
func newStation(t testing.TB, b *bus.Bus, change func(*gate.Config)) *station {
	t.Helper()
	s := &station{bus: b, scheme: "http", log: &logtext.Buffer{}, metrics: telemetry.NewMetrics(prometheus.NewRegistry()), client: &http.Client{Transport: &http.Transport{}}}
	s.stopBeats = natstest.Beat(t, b, 50*time.Millisecond)
	s.store = accesstest.Apart(t)
	_, s.acme = accesstest.Key(t, s.store, "acme", access.ScopeCheck)
	_, s.globex = accesstest.Key(t, s.store, "globex", access.ScopeCheck)
	var err error
	if s.replica, err = revocation.Open(t.Context(), revocation.Config{Feed: revocationnats.NewFeed(b.JetStream(), revocationnats.Config{})}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.replica.Close() })
	cfg := gate.Config{
		Replica: s.replica, Keys: s.store, Ledger: ledger.NewReader(b.JetStream(), bus.LedgerStream), BeatTimeout: time.Second, Metrics: s.metrics, Log: s.log.Logger(),
	}
	if change != nil {
		change(&cfg)
	}
	if s.svc, err = gate.New(cfg); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	s.svc.Routes(mux)
	s.api = s.listen(t, app.HTTPConfig{Handler: app.API(mux)})
	return s
}

// listen serves on a free port until the test ends, and then closes the service first, as the server does.
func (s *station) listen(t testing.TB, cfg app.HTTPConfig) *app.HTTP {
	t.Helper()
	silent := logrus.New()
	silent.SetOutput(io.Discard)
	cfg.Addr, cfg.Log = "127.0.0.1:0", silent
	api, err := app.ListenHTTP(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = s.svc.Close()
		s.client.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := api.Stop(ctx); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return api
}

// publish stores events and returns the last one's position, which the gate's replica has applied by then.
func (s *station) publish(t testing.TB, all ...events.Event) (position uint64) {
	t.Helper()
	pub := s.bus.Publisher()
	defer pub.Close()
	for _, e := range all {
		data, err := events.Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		ack, err := pub.PublishAck(t.Context(), events.TopicOf(e).String(), message.NewMessage(e.Meta().ID, data))
		if err != nil {
			t.Fatal(err)
		}
		position = ack.Position
	}
	return position
}

// publishFor stores raw bytes that the ledger removes after some seconds.
func publishFor(t testing.TB, b *bus.Bus, ttl, topic string, data []byte) {
	t.Helper()
	_, err := b.JetStream().PublishMsg(t.Context(), &nats.Msg{Subject: topic, Header: nats.Header{jetstream.MsgTTLHeader: {ttl}}, Data: data})
	if err != nil {
		t.Fatal(err)
	}
}

// commonOf returns the common fields of an event that happens now, with all that a stream must not tell.
func commonOf(t testing.TB, tenant string, reason events.Reason) events.Common {
	t.Helper()
	id, err := events.NewID()
	if err != nil {
		t.Fatal(err)
	}
	return events.Common{
		ID: id, Time: time.Now(), Source: "test", Tenant: tenant, Reason: reason, ReasonAdmin: "SECRET note", ReasonUser: "SECRET words",
		Initiator: events.Initiator{Type: events.InitiatorAdmin, ID: "SECRET operator"},
	}
}

func revokedIn(t testing.TB, tenant, sid string) *events.SessionRevoked {
	return &events.SessionRevoked{Common: commonOf(t, tenant, events.ReasonUserLogout), Session: sid}
}

// frame is a server-sent event.
type frame struct {
	event, data string
	// id is "" where there is none; hasID tells that from an empty one.
	id    string
	hasID bool
	// retry is the field's text; it comes in a block of its own.
	retry string
}

// frameData is what a frame's data says, all kinds together.
type frameData struct {
	Position      uint64   `json:"position"`
	ID            string   `json:"id"`
	Scope         string   `json:"scope"`
	Session       string   `json:"session"`
	User          string   `json:"user"`
	Device        string   `json:"device"`
	Client        string   `json:"client"`
	CutoffMS      *int64   `json:"cutoff_ms"`
	Except        []string `json:"except"`
	KnownSessions []string `json:"known_sessions"`
	Reason        string   `json:"reason"`
	At            string   `json:"at"`
	ExpiresAt     string   `json:"expires_at"`

	MaxAgeMS          int64 `json:"max_age_ms"`
	StalenessBudgetMS int64 `json:"staleness_budget_ms"`
	LeewayMS          int64 `json:"leeway_ms"`
}

func (f frame) read(t testing.TB) frameData {
	t.Helper()
	var d frameData
	dec := json.NewDecoder(strings.NewReader(f.data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&d); err != nil {
		t.Fatalf("%v in %q", err, f.data)
	}
	return d
}

// stream is a follower's end of a stream.
type stream struct {
	t     testing.TB
	resp  *http.Response
	lines *bufio.Reader
	leave context.CancelFunc
}

// open opens a stream; query is what stands behind the path.
func (s *station) open(t testing.TB, key, query string, header ...string) *stream {
	t.Helper()
	ctx, leave := context.WithCancel(t.Context())
	resp := s.get(t, ctx, key, query, header...)
	t.Cleanup(func() { leave(); _ = resp.Body.Close() })
	want := map[string]string{"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
	for name, value := range want {
		if got := resp.Header.Get(name); resp.StatusCode != http.StatusOK || got != value {
			body, _ := io.ReadAll(resp.Body)
			t.Fatalf("%d with %s %q: %s", resp.StatusCode, name, got, body)
		}
	}
	return &stream{t: t, resp: resp, lines: bufio.NewReader(resp.Body), leave: leave}
}

func (s *station) get(t testing.TB, ctx context.Context, key, query string, header ...string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.scheme+"://"+s.api.Addr()+"/v1/revocations/stream"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := s.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

// next returns the next frame, or how the stream ended.
func (st *stream) next() (frame, error) {
	var f frame
	any := false
	for {
		line, err := st.lines.ReadString('\n')
		if err != nil {
			return f, err
		}
		line = strings.TrimSuffix(line, "\n")
		if line == "" {
			if any {
				return f, nil
			}
			continue
		}
		if line == ":" {
			continue
		}
		any = true
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "event":
			f.event = value
		case "data":
			f.data = value
		case "id":
			f.id, f.hasID = value, true
		case "retry":
			f.retry = value
		default:
			st.t.Fatalf("a line is %q", line)
		}
	}
}

// await returns the frames up to the first of that event, which is the last of them.
func (st *stream) await(event string) []frame {
	st.t.Helper()
	var all []frame
	for {
		f, err := st.next()
		if err != nil {
			st.t.Fatalf("the stream ended with %v before %s; it had sent %v", err, event, all)
		}
		if f.retry != "" {
			continue
		}
		st.mustBeWhole(f)
		all = append(all, f)
		if f.event == event {
			return all
		}
	}
}

// mustBeWhole holds a frame to the form that all have, and to what none may tell.
func (st *stream) mustBeWhole(f frame) {
	st.t.Helper()
	if strings.Contains(f.data, "SECRET") || strings.Contains(f.data, "initiator") || strings.Contains(f.data, "reason_") {
		st.t.Fatalf("a frame tells too much: %s", f.data)
	}
	d := f.read(st.t)
	switch {
	case f.event == "reset":
		if !f.hasID || f.id != "" {
			st.t.Errorf("a reset has the id %q", f.id)
		}
	case d.ID == "whole_since":
		if f.hasID {
			st.t.Errorf("what is no message has the id %q", f.id)
		}
	case f.id != strconv.FormatUint(d.Position, 10) || d.Position == 0:
		st.t.Errorf("id %q and position %d", f.id, d.Position)
	}
}

// revocations returns what frames say that are revocations.
func revocations(t testing.TB, frames []frame) []frameData {
	t.Helper()
	var all []frameData
	for _, f := range frames {
		if f.event == "revocation" {
			all = append(all, f.read(t))
		}
	}
	return all
}

// sessions returns the sessions that frames revoke, in their order.
func sessions(t testing.TB, frames []frame) []string {
	t.Helper()
	all := []string{}
	for _, d := range revocations(t, frames) {
		all = append(all, d.Session)
	}
	return all
}

// upTo returns the frames up to the first proof that lies behind a position.
func (st *stream) upTo(position uint64) []frame {
	st.t.Helper()
	var all []frame
	for {
		f, err := st.next()
		if err != nil {
			st.t.Fatalf("the stream ended with %v before position %d was proved", err, position)
		}
		if f.retry != "" {
			continue
		}
		st.mustBeWhole(f)
		all = append(all, f)
		if slices.Contains([]string{"synced", "beat"}, f.event) && f.read(st.t).Position >= position {
			return all
		}
	}
}

// ends reads to the stream's end, and returns the last frames and how it ended.
func (st *stream) ends() ([]frame, error) {
	var all []frame
	for {
		f, err := st.next()
		if err != nil {
			return all, err
		}
		all = append(all, f)
	}
}

// endedBecause waits until one stream has ended for a cause.
func (s *station) endedBecause(t testing.TB, cause string) {
	t.Helper()
	eventually(t, "a stream has ended: "+cause, func() bool {
		return testutil.ToFloat64(s.metrics.StreamsEnded.WithLabelValues(cause)) == 1 && testutil.ToFloat64(s.metrics.Streams) == 0
	})
}

// eventually waits until something is so that tells nobody when it becomes so.
func eventually(t testing.TB, what string, so func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !so(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("not so after %v: %s", patience, what)
		}
	}
}
