package main

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/services/publisher"
)

// approveOptions are the flags of curfew approve.
type approveOptions struct {
	remote  *remote
	reject  bool
	wait    string
	timeout time.Duration
}

func newApprove(r *remote) *cobra.Command {
	o := &approveOptions{remote: r}
	cmd := &cobra.Command{
		Use:   "approve ID",
		Short: "Approve or reject a revocation that waits for a second person",
		Long: `Approves a revocation that another person has asked for, and that waits because of how many it ends. It takes an API key with the scope admin of the same tenant, and
another one than the key that asked. Nothing is revoked before; however often it is approved, it is one event.`,
		Args: oneApproval,
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd, args[0]) },
	}
	r.addDataDir(cmd)
	f := cmd.Flags()
	f.BoolVar(&o.reject, "reject", false, "reject it: nothing is revoked")
	f.StringVar(&o.wait, "wait", "stored", "what to wait for: stored, applied by every replica that reports, or shown to every tab too")
	f.DurationVar(&o.timeout, "timeout", 5*time.Second, "how long to wait")
	cmd.AddCommand(newApproveList(r), newApproveShow(r))
	return cmd
}

// oneApproval takes one id, whatever subcommands there are.
func oneApproval(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return hinted{usageError{fmt.Errorf("usage: %s", cmd.UseLine())}, "'curfew approve ls' lists what waits"}
	}
	return nil
}

func (o *approveOptions) run(cmd *cobra.Command, id string) error {
	path := "/v1/approvals/" + url.PathEscape(id)
	if o.reject {
		var a publisher.Approval
		if err := o.remote.call(cmd, http.MethodDelete, path, nil, &a); err != nil {
			return err
		}
		if o.remote.json {
			return printJSON(cmd.OutOrStdout(), a)
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s: nothing was revoked\n", a.State)
		return nil
	}
	var stored publisher.Stored
	query := url.Values{"wait": {o.wait}, "timeout": {o.timeout.String()}}
	if err := o.remote.call(cmd, http.MethodPost, path+"/approve?"+query.Encode(), nil, &stored); err != nil {
		return hintedAgain(err, id)
	}
	return printStored(cmd, o.remote, stored, storedLine("approved and stored", stored, "approval"))
}

// hintedAgain says what to type where it isn't known whether the approved revocation is stored.
func hintedAgain(err error, id string) error {
	if codeOf(err) != exitUnavailable {
		return err
	}
	return hinted{err, "repeat 'curfew approve " + id + "': however often, it is one event"}
}

func newApproveList(r *remote) *cobra.Command {
	cmd := &cobra.Command{
		Use: "ls", Short: "List what waits, and what was decided within the hour", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var list struct {
				Approvals []publisher.Approval `json:"approvals"`
			}
			if err := r.call(cmd, http.MethodGet, "/v1/approvals", nil, &list); err != nil {
				return err
			}
			if r.json {
				return printJSON(cmd.OutOrStdout(), list)
			}
			if len(list.Approvals) == 0 {
				fmt.Fprintln(cmd.ErrOrStderr(), "nothing waits for a second person")
			}
			table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 8, 2, ' ', 0)
			defer table.Flush()
			for _, a := range list.Approvals {
				fmt.Fprintf(table, "%s\t%s\t%s %s\t%s sessions\tasked by %s at %s\n", a.ID, a.State, a.Revocation.Scope, targetOf(a),
					number(a.Sessions.Count, a.Sessions.Known), a.AskedBy, instant(a.AskedAt))
			}
			return nil
		},
	}
	r.addDataDir(cmd)
	return cmd
}

func newApproveShow(r *remote) *cobra.Command {
	cmd := &cobra.Command{
		Use: "show ID", Short: "Show what waits for a second person, whole", Args: oneApproval,
		RunE: func(cmd *cobra.Command, args []string) error {
			var a publisher.Approval
			if err := r.call(cmd, http.MethodGet, "/v1/approvals/"+url.PathEscape(args[0]), nil, &a); err != nil {
				return err
			}
			if r.json {
				return printJSON(cmd.OutOrStdout(), a)
			}
			printApproval(cmd, a)
			return nil
		},
	}
	r.addDataDir(cmd)
	return cmd
}

// targetOf is whom a request would log out: a tenant or an application, for nothing else waits.
func targetOf(a publisher.Approval) string {
	if a.Revocation.Scope == events.KindClient {
		return shown(a.Revocation.Client)
	}
	return cmp.Or(shown(a.Revocation.Tenant), "(the key's own)")
}

// printApproval prints a request, and what to type next.
func printApproval(cmd *cobra.Command, a publisher.Approval) {
	w := cmd.OutOrStdout()
	fmt.Fprintf(w, "%s: %s revocation %s, request %s: %s\n", a.State, a.Revocation.Scope, targetOf(a), a.ID, a.Why)
	if a.Revocation.ReasonAdmin != "" {
		fmt.Fprintf(w, "  because %q\n", a.Revocation.ReasonAdmin)
	}
	printCrowd(w, a.Sessions, a.Tabs, a.Logins)
	switch a.State {
	case publisher.ApprovalPending:
		fmt.Fprintf(w, "nothing is revoked yet. Until %s another person approves it with a key of their own:\n  curfew approve %s\n", instant(a.ExpiresAt), a.ID)
	case publisher.ApprovalApproved:
		fmt.Fprintf(w, "approved by key %s, and it isn't known whether it is stored. Approve it again, which is the same event:\n  curfew approve %s\n", a.DecidedBy, a.ID)
	case publisher.ApprovalStored:
		fmt.Fprintf(w, "approved by key %s and stored: %s at position %d\n", a.DecidedBy, a.Stored.ID, a.Stored.Position)
	case publisher.ApprovalRejected:
		fmt.Fprintf(w, "rejected by key %s: nothing was revoked\n", a.DecidedBy)
	case publisher.ApprovalExpired:
		fmt.Fprintln(w, "nobody approved it in time: nothing was revoked. Ask anew.")
	}
}
