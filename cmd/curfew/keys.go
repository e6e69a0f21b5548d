package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/curfewhq/curfew/internal/access"
)

func newKeys(r *remote) *cobra.Command {
	cmd := &cobra.Command{
		Use: "keys", Short: "Make, list and revoke API keys", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newKeysCreate(r), newKeysList(r), newKeysRevoke(r))
	return cmd
}

func newKeysCreate(r *remote) *cobra.Command {
	var q access.Request
	var scopes []string
	cmd := &cobra.Command{
		Use: "create --scopes publish,check", Short: "Make a key and show it, once", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, s := range scopes {
				q.Scopes = append(q.Scopes, access.Scope(s))
			}
			if err := q.Validate(); err != nil {
				return usageError{err}
			}
			var made access.Created
			if err := r.call(cmd, http.MethodPost, "/v1/keys", q, &made); err != nil {
				return err
			}
			if r.json {
				return printJSON(cmd.OutOrStdout(), made)
			}
			fmt.Fprintln(cmd.OutOrStdout(), made.Text)
			fmt.Fprintf(cmd.ErrOrStderr(), "key %s of tenant %s may %s. It is shown this once: keep it where your application reads its secrets.\n",
				made.ID, made.Tenant, strings.Join(scopes, ", "))
			return nil
		},
	}
	r.addDataDir(cmd)
	cmd.Flags().StringVar(&q.Tenant, "tenant", "default", "the key's tenant")
	cmd.Flags().StringVar(&q.Name, "name", "", "what it is for")
	cmd.Flags().StringSliceVar(&scopes, "scopes", nil, "some of publish, check, sessions, read, admin (keys of its own tenant) and operator (keys of every tenant)")
	return cmd
}

func newKeysList(r *remote) *cobra.Command {
	cmd := &cobra.Command{
		Use: "ls", Short: "List the keys", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var answer struct {
				Keys []access.Key `json:"keys"`
			}
			if err := r.call(cmd, http.MethodGet, "/v1/keys", nil, &answer); err != nil {
				return err
			}
			if r.json {
				return printJSON(cmd.OutOrStdout(), answer)
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "ID\tTENANT\tSCOPES\tCREATED\tSTATE\tNAME")
			for _, k := range answer.Keys {
				state := "live"
				if !k.RevokedAt.IsZero() {
					state = "revoked"
				}
				scopes := make([]string, len(k.Scopes))
				for i, s := range k.Scopes {
					scopes[i] = string(s)
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", k.ID, k.Tenant, strings.Join(scopes, ","), k.CreatedAt.Format(time.RFC3339), state, k.Name)
			}
			return w.Flush()
		},
	}
	r.addDataDir(cmd)
	return cmd
}

func newKeysRevoke(r *remote) *cobra.Command {
	cmd := &cobra.Command{
		Use: "revoke ID", Short: "End a key for good",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError{fmt.Errorf("usage: %s", cmd.UseLine())}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			var key access.Key
			if err := r.call(cmd, http.MethodDelete, "/v1/keys/"+url.PathEscape(args[0]), nil, &key); err != nil {
				return err
			}
			if r.json {
				return printJSON(cmd.OutOrStdout(), key)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "key %s is revoked\n", key.ID)
			return nil
		},
	}
	r.addDataDir(cmd)
	return cmd
}
