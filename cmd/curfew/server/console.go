package server

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/app"
	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/config"
	"github.com/curfewhq/curfew/internal/problem"
	"github.com/curfewhq/curfew/internal/telemetry"
	"github.com/curfewhq/curfew/services/console"
)

// mountConsole gives the console its place on the admin listener, which is there before anything that the console needs.
func (s *Server) mountConsole(mux *http.ServeMux) {
	if !s.cfg.HasConsole() {
		return
	}
	serve := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler := s.console.Load()
		if handler == nil {
			problem.Unavailable("draining", "This process starts, or stops: try again in a moment.", time.Second).Write(w)
			return
		}
		(*handler).ServeHTTP(w, r)
	})
	mux.Handle("/console", serve)
	mux.Handle("/console/", serve)
}

// startConsole starts the operators' page, once there is an API that answers for it. It is stopped first: its streams are the API's.
func (s *Server) startConsole(ctx context.Context) error {
	if !s.cfg.HasConsole() {
		return nil
	}
	provider, err := consoleOIDC(s.cfg.Console.OIDC)
	if err != nil {
		return err
	}
	secretKV, err := s.bus.KeyValue(ctx, bus.SecretsBucket())
	if err != nil {
		return err
	}
	secret, err := access.LoadSecret(ctx, secretKV)
	if err != nil {
		return err
	}
	ended, err := s.bus.KeyValue(ctx, bus.ConsoleBucket())
	if err != nil {
		return err
	}
	svc, err := console.New(ctx, console.Config{
		API: app.API(s.mux), Keys: s.keys, Seal: secret.Derive("console"), Ended: ended, Conn: s.bus.Conn(), Lifetime: s.cfg.Console.Lifetime, IdleTimeout: s.cfg.Console.IdleTimeout,
		Fleet: s.replicas, OIDC: provider, Metrics: s.reg, Refused: s.refused, Log: s.log.WithField(telemetry.FieldComponent, "console"),
		Findings: func(ctx context.Context, whole bool) any {
			ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
			defer cancel()
			all := s.examine(ctx)
			for i := range all {
				if !whole {
					all[i] = Finding{Name: all[i].Name, Status: all[i].Status}
				}
			}
			return Findings{Findings: all}
		},
	})
	if err != nil {
		return err
	}
	handler := svc.Handler()
	s.console.Store(&handler)
	s.parts.Push("console", func(context.Context) error {
		s.console.Store(nil)
		svc.Close()
		return nil
	})
	s.log.WithField("url", s.AdminURL()+"/console/").Info("the console is there for operators")
	return nil
}

// consoleOIDC reads what the console needs of the provider; nil for none. The configuration is valid.
func consoleOIDC(cfg config.OIDC) (*console.OIDC, error) {
	if cfg.Issuer == "" {
		return nil, nil
	}
	out := &console.OIDC{
		Issuer: cfg.Issuer, ClientID: cfg.ClientID, RedirectURL: cfg.RedirectURL, Scopes: cfg.Scopes, Claim: cfg.Claim, Operators: granted(cfg.Operators), Admins: granted(cfg.Admins),
	}
	if cfg.SecretFile == "" {
		return out, nil
	}
	b, err := os.ReadFile(cfg.SecretFile)
	if err != nil {
		return nil, fmt.Errorf("console.oidc.client_secret_file: %w", err)
	}
	if out.Secret = strings.TrimRight(string(b), "\r\n"); out.Secret == "" || strings.ContainsAny(out.Secret, "\r\n") {
		return nil, fmt.Errorf("console.oidc.client_secret_file: %s must hold the client's secret and nothing else, on one line", cfg.SecretFile)
	}
	return out, nil
}

// granted returns value → tenant.
func granted(grants []string) map[string]string {
	out := map[string]string{}
	for _, text := range grants {
		if g, err := config.ParseGrant(text); err == nil {
			out[g.Value] = g.Tenant
		}
	}
	return out
}
