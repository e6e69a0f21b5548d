package sessions

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/sirupsen/logrus"
	"golang.org/x/time/rate"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/gateways"
	"github.com/curfewhq/curfew/internal/problem"
	"github.com/curfewhq/curfew/internal/sessionstore"
	"github.com/curfewhq/curfew/internal/telemetry"
	"github.com/curfewhq/curfew/revocation"
)

// Replica is what the service asks whether sessions are over; *revocation.Replica is one.
type Replica interface {
	CheckWith(revocation.Session, revocation.Require) revocation.Decision
	WaitFor(ctx context.Context, position uint64) error
}

// Stream is what the ends of sessions are published to; *bus.Publisher is one.
type Stream interface {
	PublishAck(ctx context.Context, topic string, msg *message.Message) (bus.Ack, error)
}

// Config of the service. Fields without a note are required.
type Config struct {
	Store   sessionstore.Store
	Replica Replica
	Stream  Stream
	Keys    *access.Store
	// Tell tells all gateways what their tabs should know. It must not block.
	Tell func(gateways.Hint) error
	// EventAt reads the event at a position of the ledger, to tell when a session ended; nil tells when that was noted.
	EventAt func(ctx context.Context, position uint64) (events.Event, error)
	// Timing says when sessions end.
	Timing Timing
	// Leeway is how much longer than max age revocations are remembered.
	Leeway time.Duration
	// ClockSkew is how far ahead of this process's clock a caller's auth time may lie, and a cutoff that a new session begins after. Zero means 5 s.
	ClockSkew time.Duration
	// NetworkBits4 and NetworkBits6 are how much of an address is kept. Zero means 24 and 48; negative keeps none.
	NetworkBits4, NetworkBits6 int
	// MaxPerUser is how many sessions of a user may go on at once, at most sessionstore.MaxListed; concurrent registrations may pass it by a few. Zero means 1,000; negative means no bound.
	MaxPerUser int
	// SweepInterval is how often it is looked which sessions are due, by half at random. Zero means 1 s; it can't be negative.
	SweepInterval time.Duration
	Metrics       *Metrics
	Hasher        telemetry.Hasher
	Log           logrus.FieldLogger
}

// Service is the registry. It keeps nothing itself; make one with New. Its methods are safe for concurrent use.
type Service struct {
	cfg Config
	// failing is whether the last end that was to be noted wasn't.
	failing atomic.Bool
	// storeAway is since when the store doesn't answer Sweep, which alone uses it; zero while it does.
	storeAway time.Time
	// away lets a line each ten seconds into the log.
	away rate.Sometimes
}

// New returns a service. It reports every missing part at once.
func New(cfg Config) (*Service, error) {
	var errs []error
	missing := func(absent bool, name string) {
		if absent {
			errs = append(errs, errors.New("sessions config: "+name+" is required"))
		}
	}
	missing(cfg.Store == nil, "Store")
	missing(cfg.Replica == nil, "Replica")
	missing(cfg.Stream == nil, "Stream")
	missing(cfg.Keys == nil, "Keys")
	missing(cfg.Tell == nil, "Tell")
	missing(cfg.Leeway <= 0, "Leeway")
	missing(cfg.Metrics == nil, "Metrics")
	missing(cfg.Log == nil, "Log")
	if cfg.SweepInterval < 0 {
		errs = append(errs, errors.New("sessions config: SweepInterval can't be negative"))
	}
	if cfg.MaxPerUser > sessionstore.MaxListed {
		errs = append(errs, fmt.Errorf("sessions config: MaxPerUser can't be above %d, which is how many are counted", sessionstore.MaxListed))
	}
	if err := errors.Join(append(errs, cfg.Timing.validate())...); err != nil {
		return nil, err
	}
	setDefault(&cfg.ClockSkew, 5*time.Second)
	setDefault(&cfg.NetworkBits4, 24)
	setDefault(&cfg.NetworkBits6, 48)
	setDefault(&cfg.MaxPerUser, sessionstore.MaxListed)
	setDefault(&cfg.SweepInterval, time.Second)
	return &Service{cfg: cfg, away: rate.Sometimes{Interval: 10 * time.Second}}, nil
}

func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// Routes adds the service's calls to mux.
func (s *Service) Routes(mux *http.ServeMux) {
	guard := func(h http.HandlerFunc) http.Handler {
		return s.cfg.Keys.Guard(access.ScopeSessions, s.cfg.Metrics.refused, h)
	}
	mux.Handle("POST /v1/sessions", guard(s.handleRegister))
	mux.Handle("GET /v1/sessions/{session}", guard(s.handleSession))
	mux.Handle("GET /v1/users/{user}/sessions", guard(s.handleList))
	mux.Handle("POST /v1/sessions/touch", guard(s.handleTouches))
	mux.Handle("POST /v1/sessions/{session}/touch", guard(s.handleTouch))
}

// Metrics are the registry's. Every label has a fixed, small set of values.
type Metrics struct {
	// Registered counts registrations by result: created, known, refused, unavailable.
	Registered *prometheus.CounterVec
	// Touches counts touches by result: touched, ended, unknown, unavailable.
	Touches *prometheus.CounterVec
	// Ended counts sessions that the registry has ended, by reason.
	Ended *prometheus.CounterVec
	// Noted counts events whose ends were noted, by result: ok, failed.
	Noted *prometheus.CounterVec
	// Sweeps counts looks at what is due, by result: ok, failed.
	Sweeps *prometheus.CounterVec
	// Due is how many sessions were due at the last look, at most 500: as many again and again is a backlog.
	Due prometheus.Gauge
	// refused is told the code of each refused call.
	refused func(code string)
}

// NewMetrics registers the metrics with reg. refused is told the code of each refused call.
func NewMetrics(reg prometheus.Registerer, refused func(code string)) *Metrics {
	vec := func(name, help, label string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "curfew", Name: name, Help: help}, []string{label})
		reg.MustRegister(c)
		return c
	}
	due := prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "curfew", Name: "sessions_due", Help: "Sessions that were due at the last look, at most 500."})
	reg.MustRegister(due)
	return &Metrics{
		Due:        due,
		Registered: vec("sessions_registered_total", "Registrations of sessions by result.", "result"),
		Touches:    vec("session_touches_total", "Touches of sessions by result.", "result"),
		Ended:      vec("sessions_ended_total", "Sessions that the registry has ended, by reason.", "reason"),
		Noted:      vec("sessions_noted_total", "Events whose ends were noted in the registry, by result.", "result"),
		Sweeps:     vec("session_sweeps_total", "Looks at which sessions are due, by result.", "result"),
		refused:    refused,
	}
}

func (s *Service) refuse(w http.ResponseWriter, p problem.Problem) {
	s.cfg.Metrics.refused(p.Code)
	p.Write(w)
}

// unavailable is the answer while the store can't be reached, in this one place.
func (s *Service) unavailable(what string, err error) problem.Problem {
	s.away.Do(func() { s.cfg.Log.WithError(err).Warn("the session registry can't be reached") })
	return problem.Unavailable("registry_unavailable", what+" The store of sessions can't be reached; 'curfew doctor' tells why. Revocations are stored elsewhere: ending sessions, and checking them, goes on.", time.Second)
}

// idFaults returns the faults of an id; an empty one is none unless it is required.
func idFaults(faults []problem.Fault, field, value string, required bool) []problem.Fault {
	if value == "" && !required {
		return faults
	}
	if fault := events.IDFault(value); fault != "" {
		return append(faults, problem.Fault{Field: field, Detail: fault})
	}
	return faults
}
