package main

import (
	"fmt"
	"net/http"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/curfewhq/curfew/internal/replicas"
)

func newReplicas(r *remote) *cobra.Command {
	cmd := &cobra.Command{
		Use: "replicas", Short: "Look at the replicas of all processes", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newReplicasList(r))
	return cmd
}

func newReplicasList(r *remote) *cobra.Command {
	cmd := &cobra.Command{
		Use: "ls", Short: "List how far each replica is, and how old its proof", Args: noArgs,
		Long: `Ask the replicas of all processes how far they are, and list what they answer, and those that have reported in the last hour and don't.
Processes are named to a key with the scope operator, and numbered for others. Services whose replicas don't report (revocationnats.NewPresence) aren't among them.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var answer replicas.Survey
			if err := r.call(cmd, http.MethodGet, "/v1/replicas", nil, &answer); err != nil {
				return err
			}
			if r.json {
				return printJSON(cmd.OutOrStdout(), answer)
			}
			return printReplicas(cmd, answer)
		},
	}
	r.addDataDir(cmd)
	return cmd
}

// printReplicas prints those that answer before those that don't.
func printReplicas(cmd *cobra.Command, s replicas.Survey) error {
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tGROUP\tVERSION\tPOSITION\tSTATE\tDETAIL")
	for _, a := range s.Replicas {
		state := "fresh"
		switch {
		case a.StalenessMS < 0:
			state = "not synced"
		case !a.Fresh:
			state = "stale"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%s\n", plain(a.Name), orDash(a.Group), orDash(a.Version), a.Position, state, proof(a.StalenessMS))
	}
	for _, a := range s.Silent {
		state, why := "silent", "last heard "+instant(a.Heard)
		if a.LeaseEnded {
			state, why = "lease ended", "fails closed since "+instant(a.FailsClosedSince)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%s\n", plain(a.Name), orDash(a.Group), orDash(a.Version), a.Position, state, why)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if len(s.Replicas) == 0 {
		fmt.Fprintln(cmd.ErrOrStderr(), "no replica answers: 'curfew doctor' tells why")
	}
	return nil
}

// orDash is what a table holds of a text that may be empty.
func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return plain(s)
}
