package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/curfewhq/curfew/cmd/curfew/server"
	"github.com/curfewhq/curfew/internal/config"
	"github.com/curfewhq/curfew/internal/telemetry"
)

func newServe(r *remote) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the services",
		Long: `Run the services of --roles in one process, over an embedded NATS JetStream with a file store, or an external NATS.

Every flag can also be given as CURFEW_<FLAG> in the environment, with underscores, or in the YAML file of --config; flags go before the
environment, the environment before the file.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.Load(cmd.Flags(), os.Environ())
			if err != nil {
				return usageError{err}
			}
			if err := cfg.Validate(); err != nil {
				return usageError{err}
			}
			return serve(cmd, r, cfg)
		},
	}
	config.Flags(cmd.Flags())
	return cmd
}

// serve runs until the command's context ends.
func serve(cmd *cobra.Command, r *remote, cfg config.Config) error {
	log, err := telemetry.NewLogger(cmd.ErrOrStderr(), cfg.LogFormat, cfg.LogLevel)
	if err != nil {
		return usageError{err}
	}
	ctx := cmd.Context()
	starting, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	s, err := server.Start(starting, cfg, server.Options{Log: log, Version: thisBuild().Version})
	if errors.Is(err, syscall.EADDRINUSE) {
		return hinted{err, "curfew serve --listen 127.0.0.1:7180 --admin-listen 127.0.0.1:7181, and CURFEW_URL and CURFEW_ADMIN_URL for the other verbs"}
	}
	if err != nil {
		return untilInterrupted(err)
	}
	if err := announce(cmd.OutOrStdout(), r.json, s); err != nil {
		return errors.Join(err, stopServer(ctx, cfg, s))
	}
	var failed error
	select {
	case <-ctx.Done():
	case failed = <-s.Failed():
	}
	return errors.Join(failed, stopServer(ctx, cfg, s))
}

func stopServer(ctx context.Context, cfg config.Config, s *server.Server) error {
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), cfg.DrainWindow+15*time.Second)
	defer cancel()
	return s.Stop(stopping)
}

// announce says where the server is, once it is ready.
func announce(out io.Writer, asJSON bool, s *server.Server) error {
	if asJSON {
		return printJSON(out, map[string]string{"url": s.URL(), "admin_url": s.AdminURL(), "console_url": s.ConsoleURL(), "nats_url": s.LedgerURL(), "nats_url_file": s.NATSURLFile(), "admin_key_file": s.AdminKeyFile()})
	}
	fmt.Fprintln(out, "curfew serves", s.URL())
	for _, line := range []struct{ what, where string }{
		{"health and metrics", s.AdminURL()}, {"the console for operators", s.ConsoleURL()}, {"the ledger takes replicas at", s.LedgerURL()}, {"with the password in", s.NATSURLFile()}, {"first admin key written to", s.AdminKeyFile()},
	} {
		if line.where != "" {
			fmt.Fprintln(out, line.what, line.where)
		}
	}
	return nil
}
