package upkeep

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/problem"
	"github.com/curfewhq/curfew/internal/telemetry"
)

// Config of the service. All members are required.
type Config struct {
	Bus     *bus.Bus
	Keys    *access.Store
	Metrics *telemetry.Metrics
	Log     logrus.FieldLogger
}

// Service answers operators. Make one with New.
type Service struct {
	cfg Config
	// backing has a place for the one backup that may be under way.
	backing chan struct{}
}

// New returns a service. It reports every missing part at once.
func New(cfg Config) (*Service, error) {
	var errs []error
	for _, part := range []struct {
		absent bool
		name   string
	}{{cfg.Bus == nil, "Bus"}, {cfg.Keys == nil, "Keys"}, {cfg.Metrics == nil, "Metrics"}, {cfg.Log == nil, "Log"}} {
		if part.absent {
			errs = append(errs, errors.New("upkeep config: "+part.name+" is required"))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return &Service{cfg: cfg, backing: make(chan struct{}, 1)}, nil
}

// Routes adds the service's calls to mux.
func (s *Service) Routes(mux *http.ServeMux) {
	refused := func(code string) { s.cfg.Metrics.Refused.WithLabelValues(code).Inc() }
	guard := func(h http.HandlerFunc) http.Handler { return s.cfg.Keys.Guard(access.ScopeOperator, refused, h) }
	mux.Handle("GET /v1/backup", guard(s.handleBackup))
	mux.Handle("GET /v1/parked", guard(s.handleParked))
	mux.Handle("GET /v1/parked/{position}", guard(s.handleParkedOne))
	mux.Handle("POST /v1/parked/{position}/retry", guard(s.handleRetry))
	mux.Handle("DELETE /v1/parked/{position}", guard(s.handleDrop))
}

func (s *Service) answer(w http.ResponseWriter, p problem.Problem) {
	s.cfg.Metrics.Refused.WithLabelValues(p.Code).Inc()
	p.Write(w)
}

// refuse answers that a parameter is invalid.
func (s *Service) refuse(w http.ResponseWriter, field, remedy string) {
	p := problem.New(http.StatusBadRequest, "invalid_parameter", "A parameter is invalid; nothing was done.")
	p.Faults = []problem.Fault{{Field: field, Detail: remedy}}
	s.answer(w, p)
}

// query returns the parameters of a call, of which it knows some. It answers the request itself and returns false if there are others, or one stands there twice.
func (s *Service) query(w http.ResponseWriter, r *http.Request, known ...string) (url.Values, bool) {
	query, fault := problem.ReadQuery(r.URL.RawQuery, func(name, _ string) string {
		switch {
		case len(known) == 0:
			return "isn't a parameter: this call has none"
		case !slices.Contains(known, name):
			return "isn't a parameter of this call: it knows " + strings.Join(known, ", ")
		}
		return ""
	})
	if fault != nil {
		s.refuse(w, fault.Field, fault.Detail)
	}
	return query, fault == nil
}

// unavailable answers that a stream can't be reached.
func (s *Service) unavailable(w http.ResponseWriter, r *http.Request, err error, p problem.Problem) {
	if r.Context().Err() == nil {
		s.cfg.Log.WithError(err).Warn("a stream can't be reached")
	}
	s.answer(w, p)
}

const tryAgain = time.Second
