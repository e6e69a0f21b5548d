package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/curfewhq/curfew/cmd/curfew/apiclient"
	"github.com/curfewhq/curfew/services/replay"
	"github.com/curfewhq/curfew/services/replay/target"
)

const replays = "/v1/replays"

func newReplay(r *remote) *cobra.Command {
	cmd := &cobra.Command{
		Use: "replay", Short: "Send past events again: to a topic, a webhook, a file, Redis, the tabs, or have replicas read the ledger anew", Args: noArgs,
		Long: `Sends the events of a range again, marked as replayed, to --to:

  topic=NAME         another NATS topic
  webhook=URL        HTTPS, or HTTP to the server's own machine; signed as Standard Webhooks say, with a secret that the plan shows
  file[=NAME]        a file in the server's folder for that (--replay-folder of 'curfew serve'), as 'curfew export' writes it
  redis              a Redis Stream of the replay's own, curfew:replay:<id>
  tabs               the open tabs of sessions that are over; takes --notify-tabs
  replicas[=GROUP]   has the replicas of a group read the whole ledger anew. Each tells whether it held the same before (same=false in
                     --json: it didn't). If not, it lacked something, and has it now; or it holds what the ledger has lost, as
                     after a restore, and goes on to, for a revocation never stops holding: then its digest stays another than that
                     of a replica that was started without snapshots

It takes a key with the scope operator. The server does it, whatever becomes of this command. Everything arrives at least once, always with the same id, <replay>/<tenant>/<event id>.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newReplayPlan(r), newReplayRun(r), newReplayStatus(r), newReplayCancel(r), newReplayResume(r))
	return cmd
}

// replayFlags are the flags that say what is replayed.
type replayFlags struct {
	filters    filters
	to         string
	rate       int
	notifyTabs bool
}

func addReplayFlags(cmd *cobra.Command) *replayFlags {
	f := &replayFlags{filters: addFilters(cmd, rangeHelp())}
	cmd.Flags().StringVar(&f.to, "to", "", "where to: topic=NAME, webhook=URL, file[=NAME], redis, tabs or replicas[=GROUP]")
	cmd.Flags().IntVar(&f.rate, "rate", 0, "events a second at most (default 100 to a webhook, 1000 to tabs, 100000 to a file, 10000 elsewhere)")
	cmd.Flags().BoolVar(&f.notifyTabs, "notify-tabs", false, "people may see it: required for --to tabs")
	return f
}

// request is what the flags ask for.
func (f *replayFlags) request(execute bool) (replay.ReplayRequest, error) {
	q := replay.ReplayRequest{Rate: f.rate, NotifyTabs: f.notifyTabs, Execute: execute}
	kind, of, given := strings.Cut(f.to, "=")
	q.Target.Kind = target.Kind(kind)
	if kind == "" {
		return q, usageError{errors.New("--to: say where to, such as --to file, --to webhook=https://receiver.example.com/curfew or --to replicas")}
	}
	switch member := map[target.Kind]*string{
		target.KindTopic: &q.Target.Topic, target.KindWebhook: &q.Target.URL, target.KindFile: &q.Target.Name, target.KindReplicas: &q.Target.Group,
	}[q.Target.Kind]; {
	case member != nil:
		*member = of
	case given:
		return q, usageError{fmt.Errorf("--to: %s takes nothing behind =", kind)}
	}
	if f.rate < 0 {
		return q, usageError{errors.New("--rate: must be above 0")}
	}
	values, err := url.ParseQuery(f.filters.query(url.Values{}))
	if err != nil {
		return q, err
	}
	members := map[string]any{}
	for name := range values {
		v := values.Get(name)
		members[name] = v
		if name == "after" || name == "before" {
			if members[name], err = strconv.ParseUint(v, 10, 63); err != nil {
				return q, usageError{fmt.Errorf("--%s: must be a position", name)}
			}
		}
	}
	// The names are the API's: nothing is translated here.
	text, err := json.Marshal(members)
	if err != nil {
		return q, err
	}
	return q, json.Unmarshal(text, &q.Filter)
}

func newReplayPlan(r *remote) *cobra.Command {
	cmd := &cobra.Command{Use: "plan --to TARGET", Short: "Tell what a replay would do: events, users, sessions, open tabs and the time; nothing is sent", Args: noArgs}
	r.addDataDir(cmd)
	f := addReplayFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return planReplay(cmd, r, f) }
	return cmd
}

// planReplay prints a plan.
func planReplay(cmd *cobra.Command, r *remote, f *replayFlags) error {
	q, err := f.request(false)
	if err != nil {
		return err
	}
	c, err := r.client()
	if err != nil {
		return err
	}
	defer c.Close()
	patient := c.Patient()
	defer patient.Close()
	var plan replay.Plan
	if err := patient.Call(cmd.Context(), http.MethodPost, replays, nil, q, &plan); err != nil {
		return err
	}
	if r.json {
		return printJSON(cmd.OutOrStdout(), plan)
	}
	return printPlan(cmd.OutOrStdout(), plan)
}

func newReplayRun(r *remote) *cobra.Command {
	var execute, detach bool
	cmd := &cobra.Command{
		Use: "run --to TARGET --execute", Short: "Replay; without --execute it is a dry run, and nothing is sent", Args: noArgs,
		Long: `Without --execute it does what 'curfew replay plan' does, and nothing else. With it the server begins, and the command shows how far it is; Ctrl-C ends the command and not the replay.`,
	}
	r.addDataDir(cmd)
	f := addReplayFlags(cmd)
	cmd.Flags().BoolVar(&execute, "execute", false, "do it")
	cmd.Flags().BoolVar(&detach, "detach", false, "don't wait for its end")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if !execute {
			fmt.Fprintln(cmd.ErrOrStderr(), "DRY RUN: nothing is sent without --execute.")
			if err := planReplay(cmd, r, f); err != nil {
				return err
			}
			fmt.Fprintln(cmd.ErrOrStderr(), "DRY RUN: NOTHING WAS SENT. Give the same command with --execute to do it.")
			return nil
		}
		q, err := f.request(true)
		if err != nil {
			return err
		}
		return orderReplay(cmd, r, replays, q, detach)
	}
	return cmd
}

// orderReplay has a replay begin, or go on, and follows it.
func orderReplay(cmd *cobra.Command, r *remote, path string, q any, detach bool) error {
	c, err := r.client()
	if err != nil {
		return err
	}
	defer c.Close()
	var begun replay.Replay
	if err := c.Call(cmd.Context(), http.MethodPost, path, nil, q, &begun); err != nil {
		return err
	}
	if detach && r.json {
		return printJSON(cmd.OutOrStdout(), begun)
	}
	if !r.json {
		fmt.Fprintf(cmd.OutOrStdout(), "replay %s %s\n", begun.ID, begun.State)
		if begun.WebhookSecret != "" {
			fmt.Fprintf(cmd.OutOrStdout(), "signed with %s\n", begun.WebhookSecret)
		}
	}
	if detach {
		_, err := fmt.Fprintf(cmd.OutOrStdout(), "it goes on by itself: curfew replay status %s\n", begun.ID)
		return err
	}
	return followReplay(cmd, r, c, begun)
}

func newReplayStatus(r *remote) *cobra.Command {
	var limit int
	var follow bool
	cmd := &cobra.Command{Use: "status [ID]", Short: "Show a replay, or list the latest", Args: atMostOneReplay}
	r.addDataDir(cmd)
	cmd.Flags().IntVar(&limit, "limit", 20, "how many of the latest, 1 to 1000")
	cmd.Flags().BoolVar(&follow, "follow", false, "wait for the replay's end")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if follow && len(args) == 0 {
			return usageError{errors.New("--follow: say which replay: curfew replay status ID --follow")}
		}
		c, err := r.client()
		if err != nil {
			return err
		}
		defer c.Close()
		if len(args) == 0 {
			return listReplays(cmd, r, c, limit)
		}
		got, err := replayStatus(cmd.Context(), c, args[0])
		switch {
		case err != nil:
			return err
		case follow:
			return followReplay(cmd, r, c, got)
		case r.json:
			return printJSON(cmd.OutOrStdout(), got)
		}
		return printReplay(cmd.OutOrStdout(), got)
	}
	return cmd
}

func replayStatus(ctx context.Context, c *apiclient.Client, id string) (replay.Replay, error) {
	var got replay.Replay
	err := c.Call(ctx, http.MethodGet, replays+"/"+url.PathEscape(id), nil, nil, &got)
	return got, err
}

func listReplays(cmd *cobra.Command, r *remote, c *apiclient.Client, limit int) error {
	var list replay.Replays
	if err := c.Call(cmd.Context(), http.MethodGet, replays+"?limit="+strconv.Itoa(limit), nil, nil, &list); err != nil {
		return err
	}
	if r.json {
		return printJSON(cmd.OutOrStdout(), list)
	}
	if len(list.Replays) == 0 {
		fmt.Fprintln(cmd.ErrOrStderr(), "no replays: 'curfew replay plan --help' tells how to begin")
	}
	return printReplays(cmd.OutOrStdout(), list.Replays)
}

func newReplayCancel(r *remote) *cobra.Command {
	cmd := &cobra.Command{Use: "cancel ID", Short: "Cancel a replay; what it has sent stays sent", Args: oneReplay}
	r.addDataDir(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var got replay.Replay
		if err := r.call(cmd, http.MethodPost, replays+"/"+url.PathEscape(args[0])+"/cancel", nil, &got); err != nil {
			return err
		}
		if r.json {
			return printJSON(cmd.OutOrStdout(), got)
		}
		_, err := fmt.Fprintf(cmd.OutOrStdout(), "cancelled; 'curfew replay status %s' tells how far it came, '%s' has it go on\n", got.ID, got.Next)
		return err
	}
	return cmd
}

func newReplayResume(r *remote) *cobra.Command {
	var detach bool
	cmd := &cobra.Command{Use: "resume ID", Short: "Have a replay go on that was cancelled or has failed, from where it came to", Args: oneReplay}
	r.addDataDir(cmd)
	cmd.Flags().BoolVar(&detach, "detach", false, "don't wait for its end")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return orderReplay(cmd, r, replays+"/"+url.PathEscape(args[0])+"/resume", nil, detach)
	}
	return cmd
}

func oneReplay(cmd *cobra.Command, args []string) error {
	if cobra.ExactArgs(1)(cmd, args) != nil {
		return usageError{fmt.Errorf("give one replay by its id: %s ID ('curfew replay status' lists them)", cmd.CommandPath())}
	}
	return nil
}

func atMostOneReplay(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return oneReplay(cmd, args)
}
