package gate

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/time/rate"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/ledger"
	"github.com/curfewhq/curfew/internal/problem"
	"github.com/curfewhq/curfew/internal/replicas"
	"github.com/curfewhq/curfew/internal/telemetry"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationhttp"
)

// Config of the service. Fields without a note are required.
type Config struct {
	Replica *revocation.Replica
	Keys    *access.Store
	// Session reads the callers' sessions for forward-auth, as that of a revocationhttp.Config; nil leaves that call out, and it answers 503
	// with the reason.
	Session func(*http.Request) (revocation.Session, error)
	// DangerouslyFailOpen passes callers of forward-auth whose session is undetermined because the replica is stale.
	DangerouslyFailOpen bool
	// Passes remembers the sessions for which the gate has answered active, and those that forward-auth has let through; nil remembers none.
	Passes *revocation.Passes
	// EventAt reads the event at a position of the ledger, and returns soon after ctx has ended. The answers about revoked sessions tell its id
	// and time; nil leaves both out.
	EventAt func(ctx context.Context, position uint64) (events.Event, error)
	// AskReplicas asks the replicas of all processes, as replicas.Ask does; nil leaves GET /v1/replicas out.
	AskReplicas func(ctx context.Context, q replicas.Question) ([]replicas.Answer, error)
	// Reporting returns the replicas that report, so that those can be named that are silent; nil names none.
	Reporting func() []replicas.Member
	// Ledger is what streams of revocations are read from; nil leaves that call out.
	Ledger *ledger.Reader
	// BeatTimeout is how long a stream's reading of the ledger may be silent before it is begun anew. Zero means 3 s, three times the default beat.
	BeatTimeout time.Duration
	Metrics     *telemetry.Metrics
	Log         logrus.FieldLogger
}

// Service is the gate. Make it with New and close it.
type Service struct {
	cfg    Config
	recall *recall
	// streams are the open streams of revocations.
	streams *streams
	// forward is nil where forward-auth isn't configured.
	forward *revocationhttp.Middleware
	// keysLog and streamsLog each let one line a second into the log.
	keysLog, streamsLog rate.Sometimes
	// began is when the service was made, by both clocks.
	began time.Time
}

// New returns a service. It reports every missing part at once.
func New(cfg Config) (*Service, error) {
	var errs []error
	missing := func(absent bool, name string) {
		if absent {
			errs = append(errs, errors.New("gate config: "+name+" is required"))
		}
	}
	missing(cfg.Replica == nil, "Replica")
	missing(cfg.Keys == nil, "Keys")
	missing(cfg.Metrics == nil, "Metrics")
	missing(cfg.Log == nil, "Log")
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if cfg.BeatTimeout <= 0 {
		cfg.BeatTimeout = 3 * time.Second
	}
	s := &Service{cfg: cfg, recall: newRecall(cfg.EventAt), streams: newStreams(cfg.Ledger), keysLog: rate.Sometimes{Interval: time.Second}, streamsLog: rate.Sometimes{Interval: time.Second}, began: time.Now()}
	if cfg.Session == nil {
		return s, nil
	}
	var err error
	if s.forward, err = s.newForward(); err != nil {
		return nil, err
	}
	return s, nil
}

// Drain ends the open streams, each with when to come back, and refuses new ones. It returns when all have ended, or ctx has.
func (s *Service) Drain(ctx context.Context) { s.streams.drain(ctx) }

// Close ends what New started, streams included. It may be called more than once.
func (s *Service) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	s.Drain(ctx)
	if s.forward == nil {
		return nil
	}
	return s.forward.Close()
}

// Routes adds the service's calls to mux.
func (s *Service) Routes(mux *http.ServeMux) {
	refused := func(code string) { s.cfg.Metrics.Refused.WithLabelValues(code).Inc() }
	guard := func(h http.HandlerFunc) http.Handler { return s.cfg.Keys.Guard(access.ScopeCheck, refused, h) }
	mux.Handle("GET /v1/check", guard(s.handleCheckOne))
	mux.Handle("POST /v1/check", guard(s.handleCheck))
	if s.cfg.AskReplicas != nil {
		mux.Handle("GET /v1/replicas", s.cfg.Keys.Guard(access.ScopeRead, refused, http.HandlerFunc(s.handleReplicas)))
	}
	if s.cfg.Ledger != nil {
		mux.Handle("GET /v1/revocations/stream", guard(s.handleStream))
	}
	if s.forward == nil {
		mux.HandleFunc("GET /v1/forward-auth", func(w http.ResponseWriter, _ *http.Request) {
			s.refuse(w, problem.Unavailable("forward_auth_not_configured", "This server can't verify tokens: set jwt.algorithms and jwt.jwks_url (or jwt.key_file), or authjs.secret_files.", time.Minute))
		})
		return
	}
	mux.Handle("GET /v1/forward-auth", s.forward.Handler(http.HandlerFunc(forwarded)))
}

func (s *Service) count(d revocation.Decision) {
	s.cfg.Metrics.Checks.WithLabelValues(d.State.String()).Inc()
}

func (s *Service) refuse(w http.ResponseWriter, p problem.Problem) {
	s.cfg.Metrics.Refused.WithLabelValues(p.Code).Inc()
	p.Write(w)
}
