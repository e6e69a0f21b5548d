package console

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/sirupsen/logrus"
	"golang.org/x/time/rate"

	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/replicas"
)

// Config of the service. All members are required but OIDC and Findings.
type Config struct {
	// API answers what is passed on. It knows operators by their context.
	API  http.Handler
	Keys *access.Store
	// Seal is the 32-byte key that the deployment's consoles share.
	Seal []byte
	// Ended holds the sessions that were signed out, for longer than Lifetime. Conn is its connection; both are borrowed.
	Ended jetstream.KeyValue
	Conn  *nats.Conn
	// Lifetime is how long a session lasts at most, IdleTimeout how long without input.
	Lifetime, IdleTimeout time.Duration
	// Fleet hears replicas report. It is borrowed.
	Fleet *replicas.Fleet
	// OIDC is the provider; nil for none.
	OIDC *OIDC
	// Metrics is what the process measures.
	Metrics prometheus.Gatherer
	// Findings returns what the process sees of itself, as JSON, with or without what is for operators alone. It may be nil.
	Findings func(ctx context.Context, whole bool) any
	// Refused counts refusals by code.
	Refused func(code string)
	Log     logrus.FieldLogger
}

// Service is the console. Make one with New. It is safe for concurrent use.
type Service struct {
	cfg     Config
	sealed  cipher.AEAD
	ended   *endedSessions
	open    *openRequests
	signIns *rate.Limiter
	oidc    *provider
	samples *samples
	files   *files
	// stop ends the sampling; sampled is closed once it has ended.
	stop    context.CancelFunc
	sampled chan struct{}
}

// Attempts to sign in, at all consoles of this process together: a key can't be guessed anyway, but guessing costs time.
const (
	signInsPerSecond = 2
	signInsAtOnce    = 10
)

// New returns a service that has read which sessions are over, and samples the metrics until Close. ctx bounds the opening. It reports every missing part at once.
func New(ctx context.Context, cfg Config) (*Service, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(cfg.Seal)
	if err != nil {
		return nil, fmt.Errorf("console config: Seal: %w", err)
	}
	s := &Service{cfg: cfg, open: newOpenRequests(), signIns: rate.NewLimiter(signInsPerSecond, signInsAtOnce), samples: newSamples(cfg.Metrics), sampled: make(chan struct{})}
	if s.sealed, err = cipher.NewGCMWithRandomNonce(block); err != nil {
		return nil, fmt.Errorf("console config: Seal: %w", err)
	}
	if s.files, err = readFiles(); err != nil {
		return nil, err
	}
	if cfg.OIDC != nil {
		s.oidc = newProvider(*cfg.OIDC)
	}
	if s.ended, err = followEnded(ctx, cfg.Conn, cfg.Ended, s.open.end); err != nil {
		return nil, err
	}
	sampling, stop := context.WithCancel(context.Background())
	s.stop = stop
	go func() {
		defer close(s.sampled)
		s.samples.run(sampling)
	}()
	return s, nil
}

func (c Config) validate() error {
	var errs []error
	missing := func(absent bool, name string) {
		if absent {
			errs = append(errs, errors.New("console config: "+name+" is required"))
		}
	}
	missing(c.API == nil, "API")
	missing(c.Keys == nil, "Keys")
	missing(len(c.Seal) != 32, "Seal, of 32 bytes,")
	missing(c.Ended == nil, "Ended")
	missing(c.Conn == nil, "Conn")
	missing(c.Lifetime <= 0, "Lifetime")
	missing(c.IdleTimeout <= 0, "IdleTimeout")
	missing(c.Fleet == nil, "Fleet")
	missing(c.Metrics == nil, "Metrics")
	missing(c.Refused == nil, "Refused")
	missing(c.Log == nil, "Log")
	return errors.Join(errs...)
}

// Close refuses new requests of sessions, ends those that are under way, and stops sampling and the reading of the provider. It may be called more than once.
func (s *Service) Close() {
	s.stop()
	s.open.close()
	if s.oidc != nil {
		s.oidc.close()
	}
	s.ended.close()
	<-s.sampled
}
