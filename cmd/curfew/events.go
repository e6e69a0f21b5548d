package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/curfewhq/curfew/cmd/curfew/apiclient"
	"github.com/curfewhq/curfew/services/replay"
)

func newEvents(r *remote) *cobra.Command {
	cmd := &cobra.Command{
		Use: "events", Short: "Read the ledger: what was revoked, by whom and why", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newEventsList(r), newEventsGet(r), newEventsTail(r), newEventsStats(r))
	return cmd
}

// filters are the flags that say which events are wanted. Their names are those of the API's parameters, with dashes.
type filters struct{ flags *pflag.FlagSet }

// filterHelp describes each filter; those of a range with an end come last.
func filterHelp() [][2]string {
	return [][2]string{
		{"tenant", "another tenant's events, or * for all; takes a key with the scopes read and operator"},
		{"user", "only events that name this user"},
		{"session", "only events that end this session by name"},
		{"device", "only events of this device"},
		{"client", "only events of this application"},
		{"scope", "only events of scope session, user, device, client or tenant"},
		{"reason", "only events with this reason, such as compromised"},
		{"initiator", "only events that a user, admin, policy or system has caused"},
		{"initiator-id", "only events that this one has caused"},
		{"since", "only events from this time on (RFC 3339), or from a while ago on (2h)"},
		{"after", "only events after this position"},
	}
}

func rangeHelp() [][2]string {
	return append(filterHelp(), [2]string{"until", "only events before this time (RFC 3339), or before a while ago (2h)"}, [2]string{"before", "only events before this position"})
}

func addFilters(cmd *cobra.Command, help [][2]string) filters {
	own := pflag.NewFlagSet("filters", pflag.ContinueOnError)
	for _, f := range help {
		own.String(f[0], "", f[1])
	}
	cmd.Flags().AddFlagSet(own)
	return filters{own}
}

// query returns the parameters that were given, with more.
func (f filters) query(more url.Values) string {
	f.flags.VisitAll(func(flag *pflag.Flag) {
		if flag.Changed {
			more.Set(parameterOf(flag.Name), flag.Value.String())
		}
	})
	return more.Encode()
}

// everybodys says whether the events of all tenants are wanted.
func (f filters) everybodys() bool {
	tenant, err := f.flags.GetString("tenant")
	return err == nil && tenant == "*"
}

// parameterOf is the API's name of a flag.
func parameterOf(flag string) string {
	if flag == "initiator-id" {
		return "initiator_id"
	}
	return flag
}

const revocations = "/v1/revocations"

func newEventsList(r *remote) *cobra.Command {
	var limit int
	var all bool
	var p printer
	cmd := &cobra.Command{
		Use: "ls", Short: "List events: the newest ones, or the whole range with --all", Args: noArgs,
		Long: `Lists events in the order of the ledger, the newest last: as many of the newest as --limit says, or with --all every one of the range, as it is read.`,
	}
	r.addDataDir(cmd)
	f := addFilters(cmd, rangeHelp())
	cmd.Flags().IntVar(&limit, "limit", 50, "how many of the newest, 1 to 1000")
	cmd.Flags().BoolVar(&all, "all", false, "every event of the range, however many")
	p.addFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if all && cmd.Flags().Changed("limit") {
			return usageError{errors.New("--all has no --limit: leave one of them out")}
		}
		p.tenants = f.everybodys()
		if err := p.begin(cmd.OutOrStdout(), r.json); err != nil {
			return err
		}
		c, err := r.client()
		if err != nil {
			return err
		}
		defer c.Close()
		if all {
			err = listAll(cmd.Context(), c, f.query(url.Values{}), p.record)
		} else {
			err = listNewest(cmd.Context(), c, f.query(url.Values{"order": {"newest"}, "limit": {strconv.Itoa(limit)}}), &p, cmd)
		}
		if err != nil {
			return err
		}
		if p.output == "text" && p.records == 0 {
			fmt.Fprintln(cmd.ErrOrStderr(), "no such events")
		}
		return p.end()
	}
	return cmd
}

func listAll(ctx context.Context, c *apiclient.Client, query string, fn func(replay.Record) error) error {
	return c.Lines(ctx, revocations+"?"+query, func(line []byte) error {
		var record replay.Record
		if err := json.Unmarshal(line, &record); err != nil {
			return fmt.Errorf("read an event: %w", err)
		}
		return fn(record)
	})
}

func listNewest(ctx context.Context, c *apiclient.Client, query string, p *printer, cmd *cobra.Command) error {
	var page replay.History
	if err := c.Call(ctx, http.MethodGet, revocations+"?"+query, nil, nil, &page); err != nil {
		return err
	}
	for _, record := range slices.Backward(page.Revocations) {
		if err := p.record(record); err != nil {
			return err
		}
	}
	if page.NextBefore > 0 {
		fmt.Fprintf(cmd.ErrOrStderr(), "there are earlier ones: ask with --before %d, or --all\n", page.NextBefore)
	}
	return nil
}

func newEventsGet(r *remote) *cobra.Command {
	var tenant string
	cmd := &cobra.Command{
		Use: "get ID|POSITION", Short: "Show one event, whole", Args: oneEvent,
		RunE: func(cmd *cobra.Command, args []string) error {
			query := ""
			if tenant != "" {
				query = "?" + url.Values{"tenant": {tenant}}.Encode()
			}
			var record replay.Record
			if err := r.call(cmd, http.MethodGet, revocations+"/"+url.PathEscape(args[0])+query, nil, &record); err != nil {
				return err
			}
			if r.json {
				return printJSON(cmd.OutOrStdout(), record)
			}
			return printIndented(cmd.OutOrStdout(), record)
		},
	}
	r.addDataDir(cmd)
	cmd.Flags().StringVar(&tenant, "tenant", "", "look among another tenant's events, or * for all; takes a key with the scopes read and operator")
	return cmd
}

// oneEvent takes an event's id or position.
func oneEvent(cmd *cobra.Command, args []string) error {
	if cobra.ExactArgs(1)(cmd, args) != nil {
		return usageError{fmt.Errorf("give one event, by its id or its position: %s 42", cmd.CommandPath())}
	}
	return nil
}

func newEventsTail(r *remote) *cobra.Command {
	var p printer
	cmd := &cobra.Command{Use: "tail", Short: "Follow the events of the ledger", Args: noArgs}
	r.addDataDir(cmd)
	f := addFilters(cmd, filterHelp())
	p.addFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := p.begin(cmd.OutOrStdout(), r.json); err != nil {
			return err
		}
		p.following, p.tenants = true, f.everybodys()
		c, err := r.client()
		if err != nil {
			return err
		}
		defer c.Close()
		return untilInterrupted(broken(listAll(cmd.Context(), c, f.query(url.Values{"follow": {"true"}}), p.record), p.last))
	}
	return cmd
}

// broken tells who follows how to go on behind the last event that was printed; 0 is none.
func broken(err error, last uint64) error {
	if err == nil {
		err = fmt.Errorf("%w: the stream ended", apiclient.ErrUnreachable)
	}
	if errors.Is(err, apiclient.ErrUnreachable) && last > 0 {
		return hinted{err, fmt.Sprintf("go on where it broke with --after %d; 'curfew doctor' tells whether the server is back", last)}
	}
	return err
}

func newEventsStats(r *remote) *cobra.Command {
	cmd := &cobra.Command{Use: "stats", Short: "Count the events of a range, by scope, reason, initiator and tenant", Args: noArgs}
	r.addDataDir(cmd)
	f := addFilters(cmd, rangeHelp())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var stats replay.Stats
		if err := r.call(cmd, http.MethodGet, revocations+"/stats?"+f.query(url.Values{}), nil, &stats); err != nil {
			return err
		}
		if r.json {
			return printJSON(cmd.OutOrStdout(), stats)
		}
		return printStats(cmd.OutOrStdout(), stats)
	}
	return cmd
}
