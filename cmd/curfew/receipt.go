package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/curfewhq/curfew/cmd/curfew/apiclient"
	"github.com/curfewhq/curfew/internal/receipts"
)

func newReceipt(r *remote) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "receipt",
		Short: "Whom a revocation has reached: show, list and verify the proof",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newReceiptShow(r), newReceiptList(r), newReceiptVerify(r), newReceiptKeys(r))
	return cmd
}

// receiptFlags are those of curfew receipt show.
type receiptFlags struct {
	wait    string
	timeout time.Duration
	token   bool
}

func newReceiptShow(r *remote) *cobra.Command {
	var f receiptFlags
	cmd := &cobra.Command{
		Use:   "show ID|POSITION",
		Short: "Show whom an event has reached, and find it out where that isn't known",
		Long: `Shows the receipt that is kept of an event. Where none is kept, or it doesn't say that the event has reached everybody, whom it has reached by now is found out, and kept.
Exit code 0 if it has reached all it should, 7 if not yet.`,
		Args: oneEvent,
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, r, args[0]) },
	}
	r.addDataDir(cmd)
	cmd.Flags().StringVar(&f.wait, "wait", "applied", "what it should have reached: applied (every replica that reports) or shown (every tab too)")
	cmd.Flags().DurationVar(&f.timeout, "timeout", 2*time.Second, "how long to wait for that")
	cmd.Flags().BoolVar(&f.token, "token", false, "print the signed form alone, as curfew receipt verify takes it")
	return cmd
}

func (f receiptFlags) run(cmd *cobra.Command, r *remote, event string) error {
	c, err := r.client()
	if err != nil {
		return err
	}
	defer c.Close()
	query := url.Values{"wait": {f.wait}, "timeout": {f.timeout.String()}}
	var answer receipts.Answer
	_, notPosition := strconv.ParseUint(event, 10, 64)
	if notPosition != nil {
		err = c.Call(cmd.Context(), http.MethodGet, "/v1/receipts/"+url.PathEscape(event)+"?"+query.Encode(), nil, nil, &answer)
	}
	var refused *apiclient.Error
	if notPosition == nil || errors.As(err, &refused) && refused.Code == "receipt_not_found" {
		// Nobody has waited for it: the ledger tells where it lies.
		var record struct {
			Position uint64
			Event    struct{ ID string }
		}
		if err := c.Call(cmd.Context(), http.MethodGet, "/v1/revocations/"+url.PathEscape(event), nil, nil, &record); err != nil {
			return err
		}
		query.Set("position", strconv.FormatUint(record.Position, 10))
		err = c.Call(cmd.Context(), http.MethodGet, "/v1/receipts/"+url.PathEscape(record.Event.ID)+"?"+query.Encode(), nil, nil, &answer)
	}
	switch {
	case err != nil:
		return err
	case f.token:
		fmt.Fprintln(cmd.OutOrStdout(), answer.Token)
	case r.json:
		if err := printJSON(cmd.OutOrStdout(), answer); err != nil {
			return err
		}
	default:
		fmt.Fprintf(cmd.OutOrStdout(), "event %s at position %d, as of %s\n", answer.Event, answer.Position, instant(answer.Made))
		printReceipt(cmd.OutOrStdout(), answer)
	}
	return codeOfReceipt(&answer)
}

// codeOfReceipt tells by its exit code that a revocation hasn't reached everybody. nil is no receipt.
func codeOfReceipt(r *receipts.Answer) error {
	if r != nil && !r.Complete {
		return coded(exitIncomplete)
	}
	return nil
}

// printReceipt prints the sentence, and each replica and gateway that isn't as far as it should be.
func printReceipt(w io.Writer, a receipts.Answer) {
	word := "complete"
	if !a.Complete {
		word = "NOT COMPLETE"
	}
	fmt.Fprintf(w, "%s: %s\n", word, a.Sentence)
	table := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	defer table.Flush()
	for _, one := range a.Replicas.Named {
		switch one.State {
		case receipts.StateLate:
			fmt.Fprintf(table, "  late\t%s\t%s\tat position %d\tlast heard %s\n", one.Name, one.Group, one.Position, instant(one.Heard))
		case receipts.StateLeaseEnded:
			fmt.Fprintf(table, "  lease ended\t%s\t%s\tat position %d\tfails closed since %s\n", one.Name, one.Group, one.Position, instant(one.FailsClosedSince))
		}
	}
	switch {
	case a.Complete:
	case forgottenAlone(a):
		fmt.Fprintln(table, "  asking again won't tell more; which tabs are open: curfew doctor --user USER")
	case slices.ContainsFunc(a.Replicas.Named, func(one receipts.Replica) bool { return one.State == receipts.StateSkipped }):
		fmt.Fprintln(table, "  asking again won't tell more: set the clock of the process that published it, and revoke again")
	default:
		fmt.Fprintf(table, "  ask again: curfew receipt show %s --wait %s\n", a.Event, a.Aim)
	}
}

// forgottenAlone is whether nothing is open but what gateways don't know any more, which they never will.
func forgottenAlone(a receipts.Answer) bool {
	if !a.Certain || a.Tabs == nil || a.Tabs.Waiting > 0 || a.Replicas.Applied < a.Replicas.Expected {
		return false
	}
	return !slices.ContainsFunc(a.Tabs.Gateways, func(g receipts.Gateway) bool {
		return g.State == receipts.StateBehind || g.State == receipts.StateMissing
	})
}

func newReceiptList(r *remote) *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use: "ls", Short: "List the receipts that were kept last", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var list struct {
				Receipts []receipts.Answer `json:"receipts"`
			}
			if err := r.call(cmd, http.MethodGet, "/v1/receipts?limit="+strconv.Itoa(limit), nil, &list); err != nil {
				return err
			}
			if r.json {
				return printJSON(cmd.OutOrStdout(), list)
			}
			table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 8, 2, ' ', 0)
			defer table.Flush()
			for _, a := range list.Receipts {
				word := "complete"
				if !a.Complete {
					word = "not complete"
				}
				fmt.Fprintf(table, "%s\t%s\t%d\t%s\t%s\n", instant(a.Made), a.Event, a.Position, word, a.Sentence)
			}
			return nil
		},
	}
	r.addDataDir(cmd)
	cmd.Flags().IntVar(&limit, "limit", 20, "how many, at most 200")
	return cmd
}
