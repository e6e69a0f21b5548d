package replay

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/sirupsen/logrus"

	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/gateways"
	"github.com/curfewhq/curfew/internal/ledger"
	"github.com/curfewhq/curfew/internal/problem"
	"github.com/curfewhq/curfew/internal/replicas"
	"github.com/curfewhq/curfew/internal/sessionstore"
	"github.com/curfewhq/curfew/internal/telemetry"
	"github.com/curfewhq/curfew/services/replay/target"
)

// Config of the service. Members without a note that they may be nil are required.
type Config struct {
	Ledger *ledger.Reader
	// Store takes the events of an import.
	Store Store
	// ImportKey signs when ids were looked for in the ledger, so that any process of the deployment can take what another has looked for.
	ImportKey []byte
	Limits    Limits
	Keys      *access.Store
	Metrics   *telemetry.Metrics
	Log       logrus.FieldLogger

	// Tasks is the bucket of replays, and Leases that of leases, over Conn.
	Tasks, Leases jetstream.KeyValue
	Conn          *nats.Conn
	// Targets are what replays can be sent to, and Fleet are the gateways, which plans ask for tabs.
	Targets *target.Set
	Fleet   *gateways.Fleet
	// LeaseTTL is how long after a crash of the process that runs replays another one goes on with them, or the same. Zero means 10 s.
	LeaseTTL time.Duration
	// Sessions returns a user's sessions out of the registry, as a sessionstore.Store does; nil where this process has no registry.
	Sessions func(ctx context.Context, tenant, user string, limit int) (list []sessionstore.Session, more bool, err error)
	// AskReplicas asks all processes, as replicas.Ask does, until ctx ends; nil leaves GET /v1/exposure out, and what replicas say out of an explanation.
	AskReplicas func(ctx context.Context, q replicas.Question) ([]replicas.Answer, error)
	// Present returns the processes that are known to be there, with the ids that they have in answers, so that those can be named that are silent; nil where nobody knows.
	Present func(ctx context.Context) ([]replicas.Member, error)
}

// Service reads the ledger for operators, and sends it again. It holds no state of its own; make one with New, and run it with Run.
type Service struct {
	cfg   Config
	turns *turns
	// looking has a place for the one look for ids that may be under way.
	looking chan struct{}
	tasks   tasks
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
	missing(cfg.Store == nil, "Store")
	missing(len(cfg.ImportKey) == 0, "ImportKey")
	missing(cfg.Limits == nil, "Limits")
	missing(cfg.Keys == nil, "Keys")
	missing(cfg.Metrics == nil, "Metrics")
	missing(cfg.Log == nil, "Log")
	missing(cfg.Tasks == nil, "Tasks")
	missing(cfg.Leases == nil, "Leases")
	missing(cfg.Conn == nil, "Conn")
	missing(cfg.Targets == nil, "Targets")
	missing(cfg.Fleet == nil, "Fleet")
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if cfg.LeaseTTL == 0 {
		cfg.LeaseTTL = defaultLeaseTTL
	}
	return &Service{cfg: cfg, turns: newTurns(), tasks: tasks{cfg.Tasks}, looking: make(chan struct{}, 1)}, nil
}

// Routes adds the service's calls to mux.
func (s *Service) Routes(mux *http.ServeMux) {
	refused := func(code string) { s.cfg.Metrics.Refused.WithLabelValues(code).Inc() }
	guard := func(h http.HandlerFunc) http.Handler {
		return s.cfg.Keys.Guard(access.ScopeRead, refused, s.oneOfFew(h))
	}
	operators := func(h http.HandlerFunc) http.Handler {
		return s.cfg.Keys.Guard(access.ScopeOperator, refused, s.oneOfFew(h))
	}
	mux.Handle("GET /v1/revocations", guard(s.handleHistory))
	mux.Handle("GET /v1/revocations/stats", guard(s.handleStats))
	mux.Handle("GET /v1/revocations/{event}", guard(s.handleEvent))
	mux.Handle("GET /v1/explain", guard(s.handleExplain))
	mux.Handle("POST /v1/import", operators(s.handleImport))
	mux.Handle("POST /v1/import/known", operators(s.handleKnown))
	operator := func(h http.HandlerFunc) http.Handler { return s.cfg.Keys.Guard(access.ScopeOperator, refused, h) }
	mux.Handle("POST /v1/replays", operator(s.handleReplay))
	mux.Handle("GET /v1/replays", operator(s.handleReplays))
	mux.Handle("GET /v1/replays/{id}", operator(s.handleReplayStatus))
	mux.Handle("POST /v1/replays/{id}/cancel", operator(s.handleCancel))
	mux.Handle("POST /v1/replays/{id}/resume", operator(s.handleResume))
	mux.Handle("GET /v1/state", guard(s.handleState))
	mux.Handle("GET /v1/diff", guard(s.handleDiff))
	if s.cfg.AskReplicas != nil {
		mux.Handle("GET /v1/exposure", guard(s.handleExposure))
	}
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
