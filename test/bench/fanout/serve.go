package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strings"
	"sync"
	"time"

	"github.com/curfewhq/curfew/cmd/curfew/server"
	"github.com/curfewhq/curfew/internal/config"
	"github.com/curfewhq/curfew/internal/telemetry"
	"github.com/curfewhq/curfew/revocation"
)

// The roles of the processes. The ledger's process issues the tickets, for which any gateway would do, so that those that are measured have nothing but tabs.
var (
	ledgerRoles  = []string{config.RolePublisher, config.RoleGate, config.RoleFanout}
	gatewayRoles = []string{config.RoleFanout}
)

// served is a ledger or a gateway, and what the driver wants to know of it.
type served struct {
	roles  []string
	errs   io.Writer
	server *server.Server
	// profile is being written to.
	profile *os.File

	mu sync.Mutex
	// applied: event → when it had been applied.
	applied map[string]int64
}

// serve runs a ledger or a gateway until its input ends.
func serve(ctx context.Context, roles []string, in io.Reader, out, errs io.Writer) error {
	if err := raiseFiles(); err != nil {
		return err
	}
	s := &served{roles: roles, errs: errs, applied: map[string]int64{}}
	defer s.stop()
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var o order
		if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
			return err
		}
		a, err := s.do(ctx, o)
		if err != nil {
			a.Error = err.Error()
		}
		if err := json.NewEncoder(out).Encode(a); err != nil {
			return err
		}
	}
	return lines.Err()
}

func (s *served) do(ctx context.Context, o order) (a answer, err error) {
	if s.server == nil && o.Do != "start" {
		return answer{}, fmt.Errorf("%s comes before start", o.Do)
	}
	switch o.Do {
	case "start":
		return s.start(ctx, o.Settings)
	case "cpu":
		a.Usage, err = spent()
		return a, err
	case "memory":
	case "collect":
		runtime.GC()
	case "settle":
		debug.FreeOSMemory()
	case "applied":
		return answer{Applied: s.appliedAt(o.Events)}, nil
	case "profile":
		return answer{}, s.profileTo(o.Path)
	default:
		return answer{}, fmt.Errorf("there is no order %q", o.Do)
	}
	a.Usage, err = held()
	return a, err
}

// start starts the process's services with the product's own settings, but for what has to do with where it runs.
func (s *served) start(ctx context.Context, o settings) (answer, error) {
	log, err := telemetry.NewLogger(s.errs, "text", "warning")
	if err != nil {
		return answer{}, err
	}
	cfg := config.Default()
	cfg.Listen, cfg.AdminListen, cfg.DataDir, cfg.Roles = "127.0.0.1:0", "127.0.0.1:0", o.Dir, s.roles
	cfg.TLSCertFile, cfg.TLSKeyFile = o.CertFile, o.KeyFile
	if o.Heartbeat > 0 {
		cfg.Heartbeat = o.Heartbeat
	}
	if cfg.NATS.URL = o.NATS; o.NATS == "" {
		cfg.NATS.Listen = "127.0.0.1:0"
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if s.server, err = server.Start(ctx, cfg, server.Options{Log: log, OnReplica: s.watch}); err != nil {
		return answer{}, err
	}
	a := answer{URL: s.server.URL(), KeyFile: s.server.AdminKeyFile()}
	if path := s.server.NATSURLFile(); path != "" {
		url, err := os.ReadFile(filepath.Clean(path))
		if err != nil {
			return answer{}, err
		}
		a.NATS = strings.TrimSpace(string(url))
	}
	return a, nil
}

// watch notes when events are applied, right before the services hear of them.
func (s *served) watch(r *revocation.Replica) {
	r.OnApplied(func(a revocation.Applied) {
		now := time.Now().UnixNano()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.applied[a.Event.Meta().ID] = now
	})
}

func (s *served) appliedAt(events []string) map[string]int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := map[string]int64{}
	for _, id := range events {
		at[id] = s.applied[id]
	}
	return at
}

func (s *served) profileTo(path string) (err error) {
	if path == "" {
		pprof.StopCPUProfile()
		return s.profile.Close()
	}
	if s.profile, err = os.Create(filepath.Clean(path)); err != nil {
		return err
	}
	return pprof.StartCPUProfile(s.profile)
}

func (s *served) stop() {
	if s.server == nil {
		return
	}
	// Its folder is removed, and its tabs are gone; nothing is lost if it takes longer.
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = s.server.Stop(ctx)
}
