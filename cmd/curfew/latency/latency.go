package latency

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/cmd/curfew/apiclient"
	"github.com/curfewhq/curfew/cmd/curfew/server"
	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/events/tab"
	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/tabclient"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/services/fanout"
	"github.com/curfewhq/curfew/services/publisher"
)

// Config of a measurement. All of it is required.
type Config struct {
	Server *server.Server
	// API is a client with a key of scope publish.
	API *apiclient.Client
	// Rounds is how many of each kind are measured.
	Rounds int
}

// Line is one kind's distribution, in milliseconds.
type Line struct {
	Name string  `json:"name"`
	P50  float64 `json:"p50_ms"`
	P90  float64 `json:"p90_ms"`
	P99  float64 `json:"p99_ms"`
	Max  float64 `json:"max_ms"`
	N    int     `json:"n"`
}

// Report holds the lines in the order in which things happen.
type Report struct {
	Lines []Line `json:"lines"`
}

// Names of the lines.
const (
	Bare        = "bare js.PublishMsg"
	Acked       = "acknowledged (Publisher)"
	AckedHTTP   = "acknowledged (HTTP API)"
	Applied     = "applied by a replica"
	AppliedHTTP = "applied by a replica (HTTP API)"
	Shown       = "shown to a tab (HTTP API)"
)

// bareStream has the ledger's settings and none of its readers.
const bareStream = "CURFEW_BENCH"

// run is the state of one measurement.
type run struct {
	cfg  Config
	js   jetstream.JetStream
	pub  *bus.Publisher
	took map[string][]time.Duration
	// applied tells of each event when the replica applied it. One round has at most two under way.
	applied chan applied
}

type applied struct {
	event string
	at    time.Time
}

// Measure runs the rounds one after the other. It needs a server of its own: others' events would fall into the figures.
func Measure(ctx context.Context, cfg Config) (Report, error) {
	b := cfg.Server.Bus()
	m := &run{cfg: cfg, js: b.JetStream(), pub: b.Publisher(), took: map[string][]time.Duration{}, applied: make(chan applied, 16)}
	defer func() { _ = m.pub.Close() }()
	spec, err := m.ledgerConfig(ctx)
	if err != nil {
		return Report{}, err
	}
	spec.Name, spec.Subjects = bareStream, []string{"curfew.bench.>"}
	// The server doesn't let go of a stream that denies purging, but does of a whole stream; it lives as long as this process's folder anyway.
	if _, err := m.js.CreateStream(ctx, spec); err != nil {
		return Report{}, fmt.Errorf("make the bare stream: %w", err)
	}
	stop := cfg.Server.Replica().OnApplied(func(a revocation.Applied) {
		m.applied <- applied{a.Event.Meta().ID, time.Now()}
	})
	defer stop()
	warmUp := min(100, cfg.Rounds)
	for i := range warmUp + cfg.Rounds {
		if i == warmUp {
			m.took = map[string][]time.Duration{}
		}
		if err := m.round(ctx, i); err != nil {
			return Report{}, fmt.Errorf("round %d: %w", i, err)
		}
	}
	return m.report(), m.js.DeleteStream(ctx, bareStream)
}

func (m *run) ledgerConfig(ctx context.Context) (jetstream.StreamConfig, error) {
	stream, err := m.js.Stream(ctx, bus.LedgerStream)
	if err != nil {
		return jetstream.StreamConfig{}, fmt.Errorf("read the ledger's settings: %w", err)
	}
	cfg := stream.CachedInfo().Config
	cfg.MaxBytes = 256 << 20
	return cfg, nil
}

// round measures each kind once.
func (m *run) round(ctx context.Context, i int) error {
	e, err := sample(fmt.Sprintf("bench-%d", i))
	if err != nil {
		return err
	}
	data, err := events.Encode(e)
	if err != nil {
		return err
	}
	if err := m.bare(ctx, data); err != nil {
		return err
	}
	if err := m.published(ctx, e, data); err != nil {
		return err
	}
	return m.overHTTP(ctx, i)
}

// sample is an event as large as most.
func sample(session string) (events.Event, error) {
	id, err := events.NewID()
	if err != nil {
		return nil, err
	}
	now := events.Floor(time.Now())
	return &events.SessionRevoked{
		Common: events.Common{
			ID: id, Time: now, Source: "curfew/bench", Tenant: events.DefaultTenant, Reason: events.ReasonUserLogout,
			Initiator: events.Initiator{Type: events.InitiatorSystem}, ExpiresAt: now.Add(time.Hour),
		},
		Session: session, User: "bench",
	}, nil
}

func (m *run) bare(ctx context.Context, data []byte) error {
	began := time.Now()
	if _, err := m.js.Publish(ctx, "curfew.bench.x", data); err != nil {
		return err
	}
	m.add(Bare, began, time.Now())
	return nil
}

func (m *run) published(ctx context.Context, e events.Event, data []byte) error {
	msg := message.NewMessage(e.Meta().ID, data)
	msg.Metadata.Set("Content-Type", events.ContentType)
	began := time.Now()
	_, err := m.pub.PublishAck(ctx, events.TopicOf(e).String(), msg)
	if err != nil {
		return err
	}
	m.add(Acked, began, time.Now())
	return m.whenApplied(ctx, Applied, e.Meta().ID, began)
}

func (m *run) whenApplied(ctx context.Context, name, event string, began time.Time) error {
	for {
		select {
		case a := <-m.applied:
			if a.event == event {
				m.add(name, began, a.at)
				return nil
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// overHTTP revokes the session of an open tab through the API, and waits until the tab has read its notice.
func (m *run) overHTTP(ctx context.Context, i int) error {
	session := fmt.Sprintf("tab-%d", i)
	conn, err := m.openTab(ctx, session)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	type notice struct {
		at  time.Time
		id  string
		err error
	}
	shown := make(chan notice, 1)
	go func() {
		f, err := conn.Next(ctx)
		at := time.Now()
		if err == nil && f.Type != tab.TypeLogout {
			err = errors.New("want a logout notice, got " + string(f.Type))
		}
		shown <- notice{at, f.ID, err}
	}()
	var receipt publisher.Stored
	began := time.Now()
	err = m.cfg.API.Call(ctx, http.MethodPost, "/v1/revocations", nil, publisher.Revocation{Scope: events.KindSession, Session: session, User: "bench"}, &receipt)
	if err != nil {
		return err
	}
	m.add(AckedHTTP, began, time.Now())
	n := <-shown
	if n.err != nil {
		return n.err
	}
	m.add(Shown, began, n.at)
	return m.whenApplied(ctx, AppliedHTTP, n.id, began)
}

func (m *run) openTab(ctx context.Context, session string) (*tabclient.Conn, error) {
	now := time.Now()
	var ticket fanout.TicketAnswer
	err := m.cfg.API.Call(ctx, http.MethodPost, "/v1/tickets", nil, fanout.TicketRequest{User: "bench", Session: session, AuthTime: &now}, &ticket)
	if err != nil {
		return nil, err
	}
	conn, err := tabclient.Dial(ctx, strings.Replace(m.cfg.Server.URL(), "http", "ws", 1), "", ticket.Ticket)
	if err != nil {
		return nil, err
	}
	f, err := conn.Next(ctx)
	if err == nil && f.Type != tab.TypeReady {
		err = fmt.Errorf("want ready, got %q", f.Type)
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

func (m *run) add(name string, began, ended time.Time) {
	m.took[name] = append(m.took[name], ended.Sub(began))
}

func (m *run) report() Report {
	var r Report
	for _, name := range []string{Bare, Acked, Applied, AckedHTTP, AppliedHTTP, Shown} {
		took := m.took[name]
		if len(took) == 0 {
			continue
		}
		slices.Sort(took)
		at := func(q float64) float64 {
			return float64(took[min(len(took)-1, int(q*float64(len(took))))].Microseconds()) / 1000
		}
		r.Lines = append(r.Lines, Line{Name: name, P50: at(.5), P90: at(.9), P99: at(.99), Max: at(1), N: len(took)})
	}
	return r
}

// Print writes the report as a table.
func (r Report) Print(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tw, "ms after the publish began\tp50\tp90\tp99\tmax\tn\t")
	for _, l := range r.Lines {
		fmt.Fprintf(tw, "%s\t%.3f\t%.3f\t%.3f\t%.3f\t%d\t\n", l.Name, l.P50, l.P90, l.P99, l.Max, l.N)
	}
	return tw.Flush()
}
