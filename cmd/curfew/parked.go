package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/curfewhq/curfew/cmd/curfew/apiclient"
	"github.com/curfewhq/curfew/services/upkeep"
)

const parkedPath = "/v1/parked"

func newParked(r *remote) *cobra.Command {
	cmd := &cobra.Command{
		Use: "parked", Short: "Deal with messages that a consumer couldn't deal with", Args: noArgs,
		Long: `A message that a consumer fails to handle again and again, or can't read, is put aside with its reason, so that it doesn't hold up the others. It is kept for 90 days. Look at why, mend that, and
put the message back; or drop it. It takes a key with the scope operator.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newParkedList(r), newParkedShow(r), newParkedRetry(r), newParkedDrop(r))
	return cmd
}

func newParkedList(r *remote) *cobra.Command {
	var limit int
	var after uint64
	cmd := &cobra.Command{
		Use: "ls", Short: "List what is parked, and why", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var list upkeep.ParkedList
			query := url.Values{"limit": {strconv.Itoa(limit)}, "after": {strconv.FormatUint(after, 10)}}
			if err := r.call(cmd, http.MethodGet, parkedPath+"?"+query.Encode(), nil, &list); err != nil {
				return err
			}
			if r.json {
				return printJSON(cmd.OutOrStdout(), list)
			}
			return printParkedList(cmd, list)
		},
	}
	r.addDataDir(cmd)
	cmd.Flags().IntVar(&limit, "limit", 100, "how many, 1 to 1000")
	cmd.Flags().Uint64Var(&after, "after", 0, "only those after this position")
	return cmd
}

func printParkedList(cmd *cobra.Command, list upkeep.ParkedList) error {
	out := cmd.OutOrStdout()
	for _, p := range list.Parked {
		printParked(out, p)
		fmt.Fprintf(out, "    next: curfew parked show %d\n", p.Position)
	}
	switch {
	case len(list.Parked) == 0:
		fmt.Fprintln(cmd.ErrOrStderr(), "nothing is parked")
	case list.NextAfter > 0:
		fmt.Fprintf(cmd.ErrOrStderr(), "there are more: curfew parked ls --after %d\n", list.NextAfter)
	default:
		fmt.Fprintf(cmd.ErrOrStderr(), "once a reason is gone: curfew parked retry %d\n", list.Parked[0].Position)
	}
	return nil
}

// printParked prints one in a line, and its reason in another. Whoever may write to the stream chooses the texts.
func printParked(w io.Writer, p upkeep.Parked) {
	fmt.Fprintf(w, "%d  %s  %s position %d  by %s after %d deliveries, %d bytes\n    %s\n",
		p.Position, instant(p.Parked), plain(p.Stream), p.FromPosition, plain(p.Consumer), p.Deliveries, p.Bytes, plain(p.Reason))
}

func plain(s string) string {
	quoted := strconv.QuoteToGraphic(s)
	return quoted[1 : len(quoted)-1]
}

// oneParked takes the position of a parked message.
func oneParked(cmd *cobra.Command, args []string) error {
	if cobra.ExactArgs(1)(cmd, args) != nil {
		return usageError{errors.New("give one position, as 'curfew parked ls' lists them: " + cmd.CommandPath() + " 3")}
	}
	if n, err := strconv.ParseUint(args[0], 10, 63); err != nil || n == 0 {
		return usageError{fmt.Errorf("%q isn't a position: 'curfew parked ls' lists them", args[0])}
	}
	return nil
}

func newParkedShow(r *remote) *cobra.Command {
	cmd := &cobra.Command{
		Use: "show POSITION", Short: "Show a parked message, with what it holds", Args: oneParked,
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := parkedMessage(cmd, r, args[0])
			if err != nil {
				return err
			}
			if r.json {
				return printJSON(cmd.OutOrStdout(), p)
			}
			return printParkedMessage(cmd, p)
		},
	}
	r.addDataDir(cmd)
	return cmd
}

func parkedMessage(cmd *cobra.Command, r *remote, position string) (p upkeep.ParkedMessage, err error) {
	err = r.call(cmd, http.MethodGet, parkedPath+"/"+position, nil, &p)
	return p, err
}

func printParkedMessage(cmd *cobra.Command, p upkeep.ParkedMessage) error {
	out := cmd.OutOrStdout()
	printParked(out, p.Parked)
	fmt.Fprintf(out, "    topic %s\n", plain(p.Topic))
	switch {
	case p.Event != nil:
		if err := printIndented(out, p.Event); err != nil {
			return err
		}
	case p.Bytes == 0:
		fmt.Fprintln(out, "no event: it is empty")
	default:
		fmt.Fprintf(out, "no event: %d bytes, beginning with %s\n", p.Bytes, p.Begins)
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "put it back: curfew parked retry %d; or drop it for good: curfew parked drop %d --execute\n", p.Position, p.Position)
	return nil
}

func newParkedRetry(r *remote) *cobra.Command {
	cmd := &cobra.Command{
		Use: "retry POSITION", Short: "Put a parked message back to where it came from", Args: oneParked,
		Long: `Puts a parked message back to the topic that it came from, and takes it from the parked ones once it is stored there. Every consumer of the topic gets it once more, and browsers aren't told of an event a second time.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			var done upkeep.Retried
			if err := r.call(cmd, http.MethodPost, parkedPath+"/"+args[0]+"/retry", nil, &done); err != nil {
				return parkedHint(err)
			}
			if r.json {
				return printJSON(cmd.OutOrStdout(), done)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "message %d is back in %s, at position %d; if it is parked again: curfew parked ls\n", done.Position, plain(done.Stream), done.Stored)
			return nil
		},
	}
	r.addDataDir(cmd)
	return cmd
}

func newParkedDrop(r *remote) *cobra.Command {
	var execute bool
	cmd := &cobra.Command{
		Use: "drop POSITION", Short: "Drop a parked message for good", Args: oneParked,
		Long: `Drops a parked message for good; the server's log tells which key did. An event that was parked from the ledger stays in the ledger. It is a dry run unless --execute.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if !execute {
				p, err := parkedMessage(cmd, r, args[0])
				if err != nil {
					return parkedHint(err)
				}
				if r.json {
					return printJSON(cmd.OutOrStdout(), map[string]any{"executed": false, "position": p.Position})
				}
				fmt.Fprintln(cmd.OutOrStdout(), "DRY RUN: nothing was dropped. This would be:")
				printParked(cmd.OutOrStdout(), p.Parked)
				fmt.Fprintf(cmd.OutOrStdout(), "to drop it for good: curfew parked drop %d --execute\n", p.Position)
				return nil
			}
			var done upkeep.Dropped
			if err := r.call(cmd, http.MethodDelete, parkedPath+"/"+args[0], nil, &done); err != nil {
				return parkedHint(err)
			}
			if r.json {
				return printJSON(cmd.OutOrStdout(), map[string]any{"executed": true, "position": done.Position})
			}
			fmt.Fprintf(cmd.OutOrStdout(), "message %d is dropped\n", done.Position)
			return nil
		},
	}
	r.addDataDir(cmd)
	cmd.Flags().BoolVar(&execute, "execute", false, "drop it; without it, it is only shown")
	return cmd
}

// parkedHint says what to type about a message that isn't there.
func parkedHint(err error) error {
	var refused *apiclient.Error
	if errors.As(err, &refused) && refused.Code == "parked_unknown" {
		return hinted{err, "see what is parked with 'curfew parked ls'"}
	}
	return err
}
