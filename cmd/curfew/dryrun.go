package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/curfewhq/curfew/cmd/curfew/apiclient"
	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/services/publisher"
)

// preview shows what the revocation would do.
func (o *revokeOptions) preview(cmd *cobra.Command, c *apiclient.Client) error {
	var p publisher.Preview
	if err := c.Call(cmd.Context(), http.MethodPost, "/v1/revocations/preview", nil, o.what, &p); err != nil {
		return err
	}
	if o.remote.json {
		return printJSON(cmd.OutOrStdout(), p)
	}
	w := cmd.OutOrStdout()
	fmt.Fprintf(w, "DRY RUN: nothing was done. A %s revocation in tenant %s, if it came now, ends:\n", p.Scope, p.Tenant)
	printCrowd(w, p.Sessions, p.Tabs, p.Logins)
	if p.Approval != "" {
		fmt.Fprintf(w, "a second person has to approve it: %s\n", p.Approval)
	}
	fmt.Fprintf(w, "to do it: %s\n", withoutDryRun(cmd, p.Scope))
	return nil
}

// withoutDryRun is the command that does it, without the ids: they stand on the line above it.
func withoutDryRun(cmd *cobra.Command, scope events.Kind) string {
	if scope == events.KindTenant || scope == events.KindClient {
		return "the same command, with --yes instead of --dry-run (" + cmd.CommandPath() + " … --yes)"
	}
	return "the same command without --dry-run (" + cmd.CommandPath() + " …)"
}

// printCrowd prints whom a revocation reaches.
func printCrowd(w io.Writer, s publisher.CrowdSessions, t publisher.CrowdTabs, l publisher.Logins) {
	table := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	defer table.Flush()
	switch s.Known {
	case publisher.KnownNothing:
		fmt.Fprintf(table, "  sessions\tunknown\tthe registry can't be asked: 'curfew doctor' tells why\n")
	default:
		fmt.Fprintf(table, "  sessions\t%s\tregistered, of %d users; %d seen within 15 minutes\n", number(s.Count, s.Known), s.Users, s.Recent)
	}
	switch {
	case t.Known == publisher.KnownNothing:
		fmt.Fprintf(table, "  open tabs\tunknown\tthe gateways can't be asked: 'curfew doctor' tells why\n")
	case len(t.Missing) > 0:
		fmt.Fprintf(table, "  open tabs\t%s\tno answer from %s\n", number(t.Count, t.Known), strings.Join(t.Missing, ", "))
	default:
		fmt.Fprintf(table, "  open tabs\t%s\tat %d gateways\n", number(t.Count, t.Known), len(t.Gateways))
	}
	for _, c := range s.Clients {
		name := c.Client
		if name == "" {
			name = "(none named)"
		}
		fmt.Fprintf(table, "  application\t%s\t%d sessions\n", name, c.Sessions)
	}
	if s.Others > 0 {
		fmt.Fprintf(table, "  application\t(others)\t%d sessions\n", s.Others)
	}
	within := "at once"
	switch {
	case t.Count == 0:
		within = "as people come back"
	case l.WindowSeconds > 0:
		within = fmt.Sprintf("people with an open tab spread over %.0f s", l.WindowSeconds)
	}
	rate := fmt.Sprintf("%.1f/s", l.PerSecond)
	if l.PerSecond > 0 && l.PerSecond < 0.1 {
		rate = "under 0.1/s" // who was there lately, spread over the time until they come back
	}
	fmt.Fprintf(table, "  expected logins\t%s\t%s\n", rate, within)
}

// number says so where it is a lower bound.
func number(n int, known publisher.Known) string {
	if known == publisher.KnownAtLeast {
		return fmt.Sprintf("at least %d", n)
	}
	return fmt.Sprint(n)
}
