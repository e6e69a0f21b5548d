package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/curfewhq/curfew/services/replay"
)

func newDiff(r *remote) *cobra.Command {
	var f pastFlags
	var from, to string
	cmd := &cobra.Command{
		Use: "diff --from MOMENT", Short: "Tell what came into force between two moments, and what was forgotten", Args: noArgs,
		Long: `Tells how the revocations in force at two moments differ, by the ledger: what came, what is forgotten since all that it ended is past max age, what a later one outranked, and what
surfaced because that was forgotten. For a user it also tells which sessions that the registry knows became revoked, and by which event.`,
	}
	r.addDataDir(cmd)
	f.add(cmd)
	cmd.Flags().StringVar(&from, "from", "", "the earlier moment: a position, a time (RFC 3339) or a while ago (2h)")
	cmd.Flags().StringVar(&to, "to", "", "the later moment; left out, it is now")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		query, err := f.query(cmd, r.json)
		if err != nil {
			return err
		}
		if from == "" {
			return hinted{usageError{fmt.Errorf("--from is required: a position, a time or a while ago")}, "such as 'curfew diff --from 1h'"}
		}
		query.Set("from", from)
		if to != "" {
			query.Set("to", to)
		}
		return printPages(cmd, r, f, "/v1/diff", query, printDiffHead, func(page replay.Diff, fact func(string, replay.Fact)) string {
			for _, change := range page.Changes {
				fact(change.Change, change.Fact)
			}
			query.Set("from", page.From.AsOf.Format(time.RFC3339Nano))
			query.Set("to", page.To.AsOf.Format(time.RFC3339Nano))
			return page.NextAfter
		})
	}
	return cmd
}

func printDiffHead(w io.Writer, d replay.Diff) {
	fmt.Fprintf(w, "%s from %s (position %d) to %s (position %d)\n", ofWhom(d.Tenant, d.User), instant(d.From.AsOf), d.From.Position, instant(d.To.AsOf), d.To.Position)
	printGaps(w, d.Registry, d.LostBefore, d.GoneBefore)
	for _, s := range d.Sessions {
		by := ""
		if s.Event != nil {
			by = fmt.Sprintf(", event %s at %d", s.Event.ID, s.Event.Position)
		}
		fmt.Fprintf(w, "  session %s: %s, then revoked by %s (%s)%s\n", shown(s.Session), s.Before, s.Scope, s.Reason, by)
	}
	if len(d.Changes) == 0 {
		fmt.Fprintln(w, "  nothing has changed")
	}
}
