package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/curfewhq/curfew/internal/sessionstore"
	"github.com/curfewhq/curfew/services/sessions"
)

func newSessions(r *remote) *cobra.Command {
	cmd := &cobra.Command{
		Use: "sessions", Short: "Look at the sessions that applications have registered", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newSessionsList(r))
	return cmd
}

func newSessionsList(r *remote) *cobra.Command {
	var user string
	var ended bool
	var limit int
	cmd := &cobra.Command{
		Use: "ls --user USER", Short: "List a user's sessions, and why they have ended", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if user == "" {
				return usageError{errors.New("whose sessions? give --user")}
			}
			var list sessions.List
			query := url.Values{"ended": {strconv.FormatBool(ended)}, "limit": {strconv.Itoa(limit)}}
			if err := r.call(cmd, http.MethodGet, "/v1/users/"+url.PathEscape(user)+"/sessions?"+query.Encode(), nil, &list); err != nil {
				return err
			}
			if r.json {
				return printJSON(cmd.OutOrStdout(), list)
			}
			return printSessions(cmd, list, ended, limit)
		},
	}
	r.addDataDir(cmd)
	cmd.Flags().StringVar(&user, "user", "", "whose")
	cmd.Flags().BoolVar(&ended, "ended", true, "also those that have ended, for 28 days; --ended=false leaves them out")
	cmd.Flags().IntVar(&limit, "limit", 100, "how many, 1 to 1000")
	return cmd
}

func printSessions(cmd *cobra.Command, list sessions.List, ended bool, limit int) error {
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "SESSION\tNAME\tDEVICE\tCLIENT\tIP\tBEGUN\tLAST SEEN\tSTATE")
	for _, v := range list.Sessions {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", plain(v.Session), orDash(v.Name), orDash(v.Device), orDash(v.Client), orDash(v.IP), instant(v.AuthTime), instant(v.LastSeenAt), stateOfSession(v))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	switch {
	case len(list.Sessions) == 0 && !ended:
		fmt.Fprintln(cmd.ErrOrStderr(), "none goes on that is registered: without --ended=false those are listed that have ended")
	case len(list.Sessions) == 0:
		fmt.Fprintln(cmd.ErrOrStderr(), "none is registered: do applications register them (POST /v1/sessions)? revoking works all the same")
	case list.More && limit < sessionstore.MaxListed:
		fmt.Fprintf(cmd.ErrOrStderr(), "there are more: raise --limit, up to %d\n", sessionstore.MaxListed)
	case list.More:
		fmt.Fprintln(cmd.ErrOrStderr(), "there are more than can be listed: 'curfew revoke user USER' ends them all the same")
	}
	return nil
}

// stateOfSession says what a session has come to, with the time and the reason of its end, or until when it goes on if nobody is there.
func stateOfSession(v sessions.View) string {
	switch {
	case v.State == sessions.StateActive && endsForIdleness(v):
		return "active until " + instant(v.IdleExpiresAt) + " unless touched"
	case v.State == sessions.StateActive:
		return "active until " + instant(v.ExpiresAt)
	case v.State != sessions.StateEnded:
		return string(v.State)
	case v.EndedAt.IsZero():
		return fmt.Sprintf("%s (%s)", v.State, v.Reason)
	}
	return fmt.Sprintf("%s (%s) since %s", v.State, v.Reason, instant(v.EndedAt))
}

// endsForIdleness is whether a session ends before its time unless somebody is there.
func endsForIdleness(v sessions.View) bool {
	return !v.IdleExpiresAt.IsZero() && v.IdleExpiresAt.Before(v.ExpiresAt)
}
