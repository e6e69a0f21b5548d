package replay

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/ledger"
	"github.com/curfewhq/curfew/internal/problem"
	"github.com/curfewhq/curfew/internal/telemetry"
)

// Config of the service. All members are required.
type Config struct {
	Ledger  *ledger.Reader
	Limits  Limits
	Keys    *access.Store
	Metrics *telemetry.Metrics
	Log     logrus.FieldLogger
}

// Service reads the ledger for operators. It holds no state of its own; make one with New.
type Service struct {
	cfg   Config
	turns *turns
}

// New returns a service. It reports every missing part at once.
func New(cfg Config) (*Service, error) {
	var errs []error
	missing := func(absent bool, name string) {
		if absent {
			errs = append(errs, errors.New("replay config: "+name+" is required"))
		}
	}
	missing(cfg.Ledger == nil, "Ledger")
	missing(cfg.Limits == nil, "Limits")
	missing(cfg.Keys == nil, "Keys")
	missing(cfg.Metrics == nil, "Metrics")
	missing(cfg.Log == nil, "Log")
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return &Service{cfg: cfg, turns: newTurns()}, nil
}

// Routes adds the service's calls to mux.
func (s *Service) Routes(mux *http.ServeMux) {
	refused := func(code string) { s.cfg.Metrics.Refused.WithLabelValues(code).Inc() }
	guard := func(h http.HandlerFunc) http.Handler {
		return s.cfg.Keys.Guard(access.ScopeRead, refused, s.oneOfFew(h))
	}
	mux.Handle("GET /v1/revocations", guard(s.handleHistory))
	mux.Handle("GET /v1/revocations/stats", guard(s.handleStats))
	mux.Handle("GET /v1/revocations/{event}", guard(s.handleEvent))
	mux.Handle("GET /v1/explain", guard(s.handleExplain))
}

// oneOfFew lets a reading wait for its turn.
func (s *Service) oneOfFew(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		// The server's own deadline is for calls that take milliseconds. Each answer sets one when it begins.
		_ = http.NewResponseController(w).SetWriteDeadline(time.Time{})
		if q := r.URL.Query(); q.Get("follow") == "true" && !q.Has("after") && !q.Has("since") {
			next(w, r)
			return
		}
		waiting, cancel := context.WithTimeout(r.Context(), readerPatience)
		defer cancel()
		key, _ := access.KeyFrom(r.Context())
		if leave := s.turns.take(waiting, key.Tenant); leave != nil {
			leave = sync.OnceFunc(leave)
			defer leave()
			next(w, r.WithContext(context.WithValue(r.Context(), turnKey{}, leave)))
			return
		}
		p := problem.Unavailable("history_busy", "Others read the history just now: ask again, or narrow the range.", readerPatience)
		if r.Context().Err() != nil {
			beforeLong(w)
			p.Write(w) // to nobody, or to the caller of a process that stops
			return
		}
		s.answer(w, p)
	}
}
