package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/curfewhq/curfew/cmd/curfew/apiclient"
	"github.com/curfewhq/curfew/cmd/curfew/server"
)

func newHealth(r *remote) *cobra.Command {
	var admin string
	cmd := &cobra.Command{
		Use: "health", Short: "Ask a running server whether it is ready (for container health checks)", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := apiclient.New(admin, "")
			if err != nil {
				return usageError{err}
			}
			defer c.Close()
			var ready server.Readiness
			ctx, cancel := context.WithTimeout(cmd.Context(), 3*time.Second)
			defer cancel()
			if err := c.Call(ctx, http.MethodGet, "/readyz", nil, nil, &ready); err != nil {
				var refused *apiclient.Error
				if errors.As(err, &refused) {
					return hinted{fmt.Errorf("not ready"), "'curfew doctor' tells why"}
				}
				return err
			}
			if r.json {
				return printJSON(cmd.OutOrStdout(), ready)
			}
			fmt.Fprintln(cmd.OutOrStdout(), "ready")
			return nil
		},
	}
	cmd.Flags().StringVar(&admin, "admin-url", envOr("CURFEW_ADMIN_URL", "http://127.0.0.1:7081"), "the server's admin listener (CURFEW_ADMIN_URL)")
	return cmd
}
