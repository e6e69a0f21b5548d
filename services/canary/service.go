package canary

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/sirupsen/logrus"

	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/replicas"
)

const (
	// User and Initiator are reserved: whoever has them is no person.
	User, Initiator = "curfew-canary", "canary"
	// sessionPrefix begins the ids of its sessions.
	sessionPrefix = "curfew-canary-"
	// MaxTenants is how many tenants one round is of. Each costs an event.
	MaxTenants = 20
	// Patience is after how long a session that isn't refused is an alarm, unless Config says otherwise.
	Patience = 10 * time.Second
)

// Publisher stores events; *bus.Publisher is one.
type Publisher interface {
	PublishAck(ctx context.Context, topic string, msg *message.Message) (bus.Ack, error)
}

// Config of the service. Fields without a note are required.
type Config struct {
	Publisher Publisher
	// Ask asks all replicas, and calls each with each answer until that has heard enough or ctx's deadline is over.
	Ask func(ctx context.Context, q replicas.Question, each func(replicas.Answer) (more bool)) error
	// Check asks over HTTP, as a caller does, and returns active, revoked or undetermined. nil where this process answers no checks.
	Check func(ctx context.Context, q replicas.Question) (state string, err error)
	// Applied waits until every replica that reports, those of your services among them, has applied a position, or ctx ends. nil where nobody listens to reports.
	Applied func(ctx context.Context, position uint64, began time.Time) (replicas.Progress, error)
	// Tenants are those to look at.
	Tenants func() []string
	// Interval is how often each is looked at. Zero means a minute.
	Interval time.Duration
	// Patience is after how long a session that isn't refused is an alarm. Zero means the constant.
	Patience time.Duration
	// Leeway is that of the replicas.
	Leeway  time.Duration
	Metrics *Metrics
	Log     logrus.FieldLogger
}

// Service is the canary. Make one with New.
type Service struct {
	cfg Config
	// next is which tenant a round begins with.
	next int
	// failing has the tenants whose last probe failed.
	failing map[string]bool
}

// New returns a service. It reports every missing part at once.
func New(cfg Config) (*Service, error) {
	var errs []error
	missing := func(absent bool, name string) {
		if absent {
			errs = append(errs, errors.New("canary config: "+name+" is required"))
		}
	}
	missing(cfg.Publisher == nil, "Publisher")
	missing(cfg.Ask == nil, "Ask")
	missing(cfg.Tenants == nil, "Tenants")
	missing(cfg.Leeway <= 0, "Leeway")
	missing(cfg.Metrics == nil, "Metrics")
	missing(cfg.Log == nil, "Log")
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if cfg.Interval == 0 {
		cfg.Interval = time.Minute
	}
	if cfg.Patience == 0 {
		cfg.Patience = Patience
	}
	return &Service{cfg: cfg, failing: map[string]bool{}}, nil
}

// Run makes a round each interval until ctx ends, the first at once. One process should run it at a time.
func (s *Service) Run(ctx context.Context) {
	ticker := time.NewTicker(s.cfg.Interval)
	defer ticker.Stop()
	for ctx.Err() == nil {
		s.round(ctx)
		select {
		case <-ctx.Done():
		case <-ticker.C:
		}
	}
}

// round looks at some tenants, all at once.
func (s *Service) round(ctx context.Context) {
	all := slices.Compact(slices.Sorted(slices.Values(s.cfg.Tenants())))
	tenants := s.turn(all)
	failed := make([]bool, len(tenants))
	var probes sync.WaitGroup
	for i, tenant := range tenants {
		probes.Go(func() { failed[i] = !s.probe(ctx, tenant) })
	}
	probes.Wait()
	if ctx.Err() != nil {
		return // nothing that was found out in the end counts
	}
	for i, tenant := range tenants {
		if delete(s.failing, tenant); failed[i] {
			s.failing[tenant] = true
		}
	}
	for tenant := range s.failing {
		if !slices.Contains(all, tenant) {
			delete(s.failing, tenant) // it has no key any more
		}
	}
	s.cfg.Metrics.Failing.Set(float64(len(s.failing)))
	if len(s.failing) == 0 && len(tenants) > 0 {
		s.cfg.Metrics.LastSuccess.Set(float64(time.Now().UnixMilli()) / 1000)
	}
}

// turn returns whose turn it is.
func (s *Service) turn(all []string) []string {
	if len(all) <= MaxTenants {
		return all
	}
	tenants := make([]string, MaxTenants)
	for i := range tenants {
		tenants[i] = all[(s.next+i)%len(all)]
	}
	s.next = (s.next + MaxTenants) % len(all)
	return tenants
}

// Metrics of the service.
type Metrics struct {
	// Refused is the time from a publish to a refusal, by how it was asked: replica or http; and to a replica's report that it has applied it: report.
	Refused *prometheus.HistogramVec
	// Probes counts probes by result: ok, or why one failed: late, undetermined, not_applied, not_active, not_published, nobody, http; and answers that stayed away: silent.
	Probes *prometheus.CounterVec
	// Failing is how many tenants' last probe failed. LastSuccess is when no tenant's did. Elected is 1 while this process is the one.
	Failing, LastSuccess, Elected prometheus.Gauge
}

// NewMetrics registers the service's metrics with reg.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "curfew", Subsystem: "canary", Name: name, Help: help})
	}
	m := &Metrics{
		Refused: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "curfew", Subsystem: "canary", Name: "refused_seconds", Help: "Time from the publish of a canary's revocation to its refusal, by replicas and over HTTP, or to a report of its application.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 16),
		}, []string{"via"}),
		Probes:      prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "curfew", Subsystem: "canary", Name: "probes_total", Help: "Canaries by result."}, []string{"result"}),
		Failing:     gauge("failing", "Tenants in which the last canary wasn't refused as it should be."),
		LastSuccess: gauge("last_success_timestamp_seconds", "When the canaries of all tenants were last refused as they should be."),
		Elected:     gauge("elected", "1 while this process is the one that looks."),
	}
	reg.MustRegister(m.Refused, m.Probes, m.Failing, m.LastSuccess, m.Elected)
	return m
}
