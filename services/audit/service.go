package audit

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/sirupsen/logrus"

	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/chain"
	"github.com/curfewhq/curfew/internal/ledger"
)

// Stream is where checkpoints are kept; *bus.Bus is one.
type Stream interface {
	// AppendCheckpoint stores data behind the message at position after, or says that another lies there.
	AppendCheckpoint(ctx context.Context, data []byte, after uint64) error
	// LastCheckpoint returns the last message and its position; data is nil if there is none.
	LastCheckpoint(ctx context.Context) (data []byte, position uint64, err error)
}

// Signer signs checkpoints; *signing.Keys is one.
type Signer interface {
	Sign(typ string, payload []byte) (token string, err error)
	Public() jose.JSONWebKeySet
}

// Config of the service. Fields without a note are required.
type Config struct {
	Ledger *ledger.Reader
	// Checkpoints reads what Stream holds, by Topic.
	Checkpoints *ledger.Reader
	Topic       string
	Stream      Stream
	Signer      Signer
	Keys        *access.Store
	// File is where checkpoints are kept beside the stream; empty keeps them nowhere else.
	File string
	// Interval is how often a checkpoint is made. Zero means chain.Interval.
	Interval time.Duration
	// Silence is for how long the ledger may say nothing, not even a beat, before it is read anew. Zero means 15 s.
	Silence time.Duration
	Metrics *Metrics
	Log     logrus.FieldLogger
}

// Service makes checkpoints, and answers. Make one with New.
type Service struct {
	cfg    Config
	places chan struct{}
}

// maxReaders bounds how many read the chain at once: each takes a processor for as long as it does.
const maxReaders = 2

// New returns a service. It reports every missing part at once.
func New(cfg Config) (*Service, error) {
	var errs []error
	missing := func(absent bool, name string) {
		if absent {
			errs = append(errs, errors.New("audit config: "+name+" is required"))
		}
	}
	missing(cfg.Ledger == nil, "Ledger")
	missing(cfg.Checkpoints == nil, "Checkpoints")
	missing(cfg.Topic == "", "Topic")
	missing(cfg.Stream == nil, "Stream")
	missing(cfg.Signer == nil, "Signer")
	missing(cfg.Keys == nil, "Keys")
	missing(cfg.Metrics == nil, "Metrics")
	missing(cfg.Log == nil, "Log")
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if cfg.Interval == 0 {
		cfg.Interval = chain.Interval
	}
	if cfg.Silence == 0 {
		cfg.Silence = 15 * time.Second
	}
	return &Service{cfg: cfg, places: make(chan struct{}, maxReaders)}, nil
}

// Routes adds the service's calls to mux.
func (s *Service) Routes(mux *http.ServeMux) {
	guard := func(h http.HandlerFunc) http.Handler {
		return s.cfg.Keys.Guard(access.ScopeRead, s.cfg.Metrics.Refused, s.operators(h))
	}
	mux.Handle("GET /v1/audit", guard(s.handleStatus))
	mux.Handle("GET /v1/audit/checkpoints", guard(s.inTurn(s.handleCheckpoints)))
	mux.Handle("GET /v1/audit/entries", guard(s.inTurn(s.handleEntries)))
}

// Metrics of the service.
type Metrics struct {
	// Checkpoints counts those that this process has made, Failures the times that it couldn't go on, and Chains the chains that it has begun, by cause.
	Checkpoints, Failures prometheus.Counter
	Chains                *prometheus.CounterVec
	// Elected is 1 while this process makes them. Position and Time are those of the last one that it has made.
	Elected, Position, Time prometheus.Gauge
	// Refused is told the code of each refused call.
	Refused func(code string)
}

// NewMetrics registers the service's metrics with reg.
func NewMetrics(reg prometheus.Registerer, refused func(code string)) *Metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "curfew", Subsystem: "audit", Name: name, Help: help})
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "curfew", Subsystem: "audit", Name: name, Help: help})
	}
	m := &Metrics{
		Checkpoints: counter("checkpoints_total", "Checkpoints of the audit chain that this process has made."),
		Failures:    counter("failures_total", "Times that no checkpoint could be made."),
		Chains:      prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "curfew", Subsystem: "audit", Name: "chains_total", Help: "Audit chains that this process has begun, by cause."}, []string{"cause"}),
		Elected:     gauge("elected", "1 while this process is the one that makes checkpoints."),
		Position:    gauge("position", "Position of the ledger up to which this process has signed it."),
		Time:        gauge("last_checkpoint_timestamp_seconds", "When this process has made its last checkpoint."),
		Refused:     refused,
	}
	reg.MustRegister(m.Checkpoints, m.Failures, m.Chains, m.Elected, m.Position, m.Time)
	return m
}
