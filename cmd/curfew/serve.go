package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/curfewhq/curfew/cmd/curfew/server"
	"github.com/curfewhq/curfew/internal/config"
	"github.com/curfewhq/curfew/internal/telemetry"
)

func newServe() *cobra.Command {
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
			return serve(cmd, cfg)
		},
	}
	config.Flags(cmd.Flags())
	return cmd
}

// serve runs until the command's context ends.
func serve(cmd *cobra.Command, cfg config.Config) error {
	log, err := telemetry.NewLogger(cmd.ErrOrStderr(), cfg.LogFormat, cfg.LogLevel)
	if err != nil {
		return usageError{err}
	}
	ctx := cmd.Context()
	starting, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	s, err := server.Start(starting, cfg, server.Options{Log: log})
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	fmt.Fprintln(out, "curfew serves", s.URL())
	if s.AdminURL() != "" {
		fmt.Fprintln(out, "health and metrics", s.AdminURL())
	}
	if s.AdminKeyFile() != "" {
		fmt.Fprintln(out, "first admin key written to", s.AdminKeyFile())
	}
	var failed error
	select {
	case <-ctx.Done():
	case failed = <-s.Failed():
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), cfg.DrainWindow+15*time.Second)
	defer cancel()
	return errors.Join(failed, s.Stop(stopping))
}
