package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sirupsen/logrus"

	"github.com/curfewhq/curfew/events/tab"
	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/app"
	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/chain"
	"github.com/curfewhq/curfew/internal/config"
	"github.com/curfewhq/curfew/internal/gateways"
	"github.com/curfewhq/curfew/internal/replicas"
	"github.com/curfewhq/curfew/internal/sessionstore"
	"github.com/curfewhq/curfew/internal/telemetry"
	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/revocation/revocationnats"
	"github.com/curfewhq/curfew/services/fanout"
	"github.com/curfewhq/curfew/services/gate"
)

// Options are what a caller may add to the configuration.
type Options struct {
	// Log is required.
	Log logrus.FieldLogger
	// Version of the program, for people.
	Version string
	// OnShown is told of every notice that a tab has acknowledged. It may be nil and must not block.
	OnShown func(event string, outcome tab.Outcome)
	// Routes adds routes of the caller to the API's listener. It may be nil.
	Routes func(*http.ServeMux)
	// OnReplica is handed the replica once it is synced, before any service knows it: what watches it from there is told of each event before the services are.
	// The replica is the server's: don't close it. It may be nil; the start waits for it.
	OnReplica func(*revocation.Replica)
}

// Server is a running process. Its exported methods may be called from Start's return until Stop.
type Server struct {
	cfg     config.Config
	opts    Options
	log     logrus.FieldLogger
	metrics *telemetry.Metrics
	reg     *prometheus.Registry
	parts   app.Stack

	bus    *bus.Bus
	keys   *access.Store
	hasher telemetry.Hasher
	// store is nil where no role needs it.
	store sessionstore.Store
	// storeMissing is why there is none though the publisher's role wants one; idleHolds is since when the idle timeout holds.
	storeMissing error
	idleHolds    time.Time
	replica      *revocation.Replica
	// passes is nil where the configuration wants none.
	passes *revocation.Passes
	gate   *gate.Service
	// replicas are those that report, and gateways what asks all gateways; nil where no role needs it.
	replicas *replicas.Fleet
	gateways *gateways.Fleet
	fanout   *fanout.Service
	// openCheckpoint holds a checkpoint to the deployment's keys; nil without the role audit.
	openCheckpoint chain.Open
	// session is what sessionOf has made.
	session sessionReader
	mux     *http.ServeMux
	api     *app.HTTP
	admin   *app.HTTP
	// console is nil before it is there and once it stops.
	console atomic.Pointer[http.Handler]

	// snapshots are those of the deployment; started is when this process began.
	snapshots *revocationnats.Snapshots
	started   time.Time

	health health
	// adminKeyFile is set when this start made the first key.
	adminKeyFile string
	// natsURLFile holds the address and password of an embedded NATS that takes other processes; empty if the configuration has them.
	natsURLFile string
	// writesBeats is true in processes that write beats. beatErr holds the outcome of the last one; beatTried is closed once there is one.
	writesBeats atomic.Bool
	beatErr     atomic.Pointer[error]
	beatTried   chan struct{}
}

// Start validates the configuration and starts everything. If it returns an error, nothing is left running. ctx bounds the start.
func Start(ctx context.Context, cfg config.Config, opts Options) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	reg := telemetry.NewRegistry()
	s := &Server{cfg: cfg, opts: opts, log: opts.Log, reg: reg, metrics: telemetry.NewMetrics(reg), mux: http.NewServeMux(), started: time.Now(), beatTried: make(chan struct{})}
	for _, step := range []func(context.Context) error{s.startAdmin, s.startBus, s.startReplica, s.startSnapshots, s.startServices, s.startAPI, s.startCanary, s.startConsole, s.awaitBeat} {
		if err := step(ctx); err != nil {
			bound, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
			defer cancel()
			return nil, errors.Join(err, s.parts.Stop(bound))
		}
	}
	s.health.started.Store(true)
	return s, nil
}

// Stop drains the conns and stops everything, within ctx.
func (s *Server) Stop(ctx context.Context) error {
	s.health.stopping.Store(true)
	s.log.Info("curfew stops: new requests are refused, and tabs are told when to come back")
	err := s.parts.Stop(ctx)
	s.log.Info("curfew has stopped")
	return err
}

// URL is the address of the API, such as http://127.0.0.1:7080.
func (s *Server) URL() string { return s.scheme() + "://" + s.api.Addr() }

func (s *Server) scheme() string {
	if s.cfg.TLSCertFile != "" {
		return "https"
	}
	return "http"
}

// AdminURL is the address of health and metrics; empty if there is none.
func (s *Server) AdminURL() string {
	if s.admin == nil {
		return ""
	}
	return "http://" + s.admin.Addr()
}

// ConsoleURL is the address of the operators' page; empty if there is none.
func (s *Server) ConsoleURL() string {
	if !s.cfg.HasConsole() {
		return ""
	}
	return s.AdminURL() + "/console/"
}

// LedgerURL is where other processes reach an embedded ledger; empty if they can't.
func (s *Server) LedgerURL() string { return s.bus.ClientURL() }

// NATSURLFile is where the address and password of the embedded ledger are written; empty if it takes no others, or if the configuration names
// the password.
func (s *Server) NATSURLFile() string { return s.natsURLFile }

// AdminKeyFile is where this start has written the first key; empty if there was a live key with the scope operator already.
func (s *Server) AdminKeyFile() string { return s.adminKeyFile }

// Replica is the process's replica. It is the server's: don't close it.
func (s *Server) Replica() *revocation.Replica { return s.replica }

// Bus is the process's bus. It is the server's: don't close it.
func (s *Server) Bus() *bus.Bus { return s.bus }

// Keys are the API keys. They are the server's: don't close them.
func (s *Server) Keys() *access.Store { return s.keys }

// Fanout is the gateway; nil without its role.
func (s *Server) Fanout() *fanout.Service { return s.fanout }

// Failed is sent an error when the API's listener ends by itself. Without the admin listener the services go on.
func (s *Server) Failed() <-chan error { return s.api.Failed() }

func (s *Server) startBus(ctx context.Context) error {
	n, l := s.cfg.NATS, s.cfg.Ledger
	user, password, err := listenCredentials(s.cfg)
	if err != nil {
		return err
	}
	b, err := bus.Open(ctx, bus.Config{
		URL: n.URL, CredsFile: n.CredsFile, NKeyFile: n.NKeyFile, CAFile: n.CAFile, CertFile: n.CertFile, KeyFile: n.KeyFile, Name: "curfew",
		Embedded: bus.Embedded{
			Dir: filepath.Join(s.cfg.DataDir, "ledger"), ListenAddr: n.Listen, Username: user, Password: password, SyncInterval: l.SyncInterval,
		},
		Replicas: l.Replicas, Retention: s.cfg.Retention(), MaxBytes: l.MaxBytes,
		Log: s.log.WithField(telemetry.FieldComponent, "bus"),
	})
	if err != nil {
		return err
	}
	s.bus = b
	registerBusMetrics(s.reg, b)
	s.parts.Push("bus", func(context.Context) error { return b.Close() })
	if err := s.writeNATSURL(user, password); err != nil {
		return err
	}
	if err := b.EnsureStreams(ctx); err != nil {
		return err
	}
	if n.URL == "" || s.cfg.Has(config.RolePublisher) {
		s.writesBeats.Store(true)
		s.parts.Go("beat", func(ctx context.Context) error {
			return b.Beat(ctx, bus.BeaterConfig{Interval: l.BeatInterval, Source: "curfew", OnResult: s.beaten})
		})
	}
	return nil
}

// readPassword reads a file with one line; "" for no file.
func readPassword(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("nats.listen_password_file: %w", err)
	}
	password := strings.TrimRight(string(b), "\r\n")
	if password == "" || strings.ContainsAny(password, "\r\n") {
		return "", fmt.Errorf("nats.listen_password_file: %s must hold the password and nothing else, on one line", path)
	}
	return password, nil
}

// awaitBeat waits for the outcome of the first beat, whatever it is: until then nobody knows whether this process can write.
func (s *Server) awaitBeat(ctx context.Context) error {
	if !s.writesBeats.Load() {
		return nil
	}
	select {
	case <-s.beatTried:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("write the first beat: %w", context.Cause(ctx))
	}
}

// beaten takes the outcome of a beat, which is also the probe of whether the ledger can be written.
func (s *Server) beaten(err error) {
	before := s.beatErr.Swap(&err)
	if before == nil {
		close(s.beatTried)
	}
	if err != nil {
		s.metrics.Beats.WithLabelValues("failed").Inc()
		if before == nil || *before == nil {
			s.log.WithError(err).Error("the beat can't be written: replicas will go stale and fail closed")
		}
		return
	}
	s.metrics.Beats.WithLabelValues("ok").Inc()
	if before != nil && *before != nil {
		s.log.Info("the beat is written again")
	}
}
