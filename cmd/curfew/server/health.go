package server

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/curfewhq/curfew/internal/app"
	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/problem"
	"github.com/curfewhq/curfew/revocation"
)

// health is what the admin listener tells, from before the replica is there until after the API is gone.
type health struct {
	started, stopping atomic.Bool
	replica           atomic.Pointer[revocation.Replica]
}

// Readiness is the answer of /readyz.
type Readiness struct {
	Ready bool `json:"ready"`
	// Checks: name → "ok", or what is wrong. Processes that write no beat have no ledger_write.
	Checks   map[string]string `json:"checks"`
	Position uint64            `json:"position"`
	// StalenessMS is the age of the replica's proof in milliseconds, and -1 when there is none.
	StalenessMS int64 `json:"staleness_ms"`
}

// readiness asks every part. The process is ready when its replica is fresh and the ledger takes its writes.
func (s *Server) readiness() Readiness {
	r := Readiness{Ready: true, Checks: map[string]string{}, StalenessMS: -1}
	check := func(name string, err error) {
		if err != nil {
			r.Ready, r.Checks[name] = false, err.Error()
			return
		}
		r.Checks[name] = "ok"
	}
	var lifecycle, synced error
	switch {
	case s.health.stopping.Load():
		lifecycle = errors.New("shutting down")
	case !s.health.started.Load():
		lifecycle = errors.New("starting")
	}
	check("lifecycle", lifecycle)
	replica := s.health.replica.Load()
	if replica == nil {
		synced = revocation.ErrNotSynced
	} else {
		st := replica.Status()
		r.Position = st.Position
		if st.Staleness >= 0 {
			r.StalenessMS = st.Staleness.Milliseconds()
		}
		switch {
		case !st.Synced:
			synced = revocation.ErrNotSynced
		case !st.Fresh:
			synced = revocation.ErrStale
		}
	}
	check("replica", synced)
	var write error
	if p := s.beatErr.Load(); s.writesBeats.Load() && p == nil {
		write = errors.New("no beat has been written yet")
	} else if p != nil && *p != nil {
		write = errors.New("the last beat couldn't be written: the log tells why")
	}
	check("ledger_write", write)
	return r
}

// startAdmin binds the admin listener before everything else, so that an orchestrator sees the process start.
func (s *Server) startAdmin(context.Context) error {
	if s.cfg.AdminListen == "" {
		return nil
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		problem.JSON(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		r := s.readiness()
		if !s.writesBeats.Load() {
			// It writes nothing by which it could tell.
			delete(r.Checks, "ledger_write")
		}
		status := http.StatusOK
		if !r.Ready {
			status = http.StatusServiceUnavailable
		}
		problem.JSON(w, status, r)
	})
	mux.HandleFunc("GET /doctor", s.handleDoctor)
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.reg, promhttp.HandlerOpts{}))
	s.mountConsole(mux)
	var err error
	if s.admin, err = app.ListenHTTP(app.HTTPConfig{Addr: s.cfg.AdminListen, Handler: app.API(mux), Log: s.log}); err != nil {
		return err
	}
	s.parts.Push("admin listener", s.admin.Stop)
	return nil
}

// counters returns what registers a counter of a part that counts by itself.
func counters[S any](reg prometheus.Registerer, subsystem string, stats func() S) func(name, help string, value func(S) uint64) {
	return func(name, help string, value func(S) uint64) {
		reg.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Namespace: "curfew", Subsystem: subsystem, Name: name, Help: help},
			func() float64 { return float64(value(stats())) }))
	}
}

// registerBusMetrics adds what the bus has counted.
func registerBusMetrics(reg prometheus.Registerer, b *bus.Bus) {
	counter := counters(reg, "bus", b.Stats)
	counter("disconnects_total", "Times the connection to NATS was lost.", func(s bus.Stats) uint64 { return s.Disconnects })
	counter("reconnects_total", "Times the connection to NATS came back.", func(s bus.Stats) uint64 { return s.Reconnects })
	counter("async_errors_total", "Errors that NATS reported on its own.", func(s bus.Stats) uint64 { return s.AsyncErrors })
	counter("full_total", "Publishes that failed for lack of room.", func(s bus.Stats) uint64 { return s.Full })
	counter("parked_total", "Poison messages put aside with their reason.", func(s bus.Stats) uint64 { return s.Parked })
	counter("park_failures_total", "Attempts to put a poison message aside that failed.", func(s bus.Stats) uint64 { return s.ParkFailures })
}
