package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/curfewhq/curfew/services/replay"
)

func newExposure(r *remote) *cobra.Command {
	var event, session, tenant, timeout, output string
	cmd := &cobra.Command{
		Use: "exposure --event ID", Short: "Tell which requests a session got through between its revocation and each process's hearing of it", Args: noArgs,
		Long: `Asks all processes which requests they let through of the sessions that an event ends, since it was decided, and when each has applied it. It says what can't be known: which processes
are silent, began since, or have forgotten requests for newer ones, and how far their clocks differ.`,
	}
	r.addDataDir(cmd)
	flags := cmd.Flags()
	flags.StringVar(&event, "event", "", "the event's id or position")
	flags.StringVar(&session, "session", "", "this session alone; of an event of a client or tenant none is asked about unless it is named")
	flags.StringVar(&tenant, "tenant", "", "another tenant's event, or * for any; takes a key with the scopes read and operator")
	flags.StringVar(&timeout, "timeout", "", "how long processes have to answer, 50ms to 5s; 300ms unless given")
	flags.StringVar(&output, "output", "text", "text or csv")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		switch {
		case event == "":
			return hinted{usageError{errors.New("--event is required: an event's id or its position")}, "'curfew events ls' lists them"}
		case !slices.Contains([]string{"text", "csv"}, output):
			return usageError{fmt.Errorf("--output: %q isn't one of text, csv", output)}
		case r.json && output == "csv":
			return usageError{errors.New("--json and --output csv say two things: leave one of them out")}
		}
		query := given(map[string]string{"event": event, "session": session, "tenant": tenant, "timeout": timeout})
		var x replay.Exposure
		if err := r.call(cmd, http.MethodGet, "/v1/exposure?"+query.Encode(), nil, &x); err != nil {
			return err
		}
		switch {
		case r.json:
			return printJSON(cmd.OutOrStdout(), x)
		case output == "csv":
			return exposureRows(cmd.OutOrStdout(), x)
		}
		return printExposure(cmd.OutOrStdout(), x)
	}
	return cmd
}

func printExposure(w io.Writer, x replay.Exposure) error {
	e := x.Event
	fmt.Fprintf(w, "%d requests passed since %s, when %s=%s was ended (%s, by %s)\n", x.Count, instant(x.Since), e.Scope, shown(e.Target), e.Reason, causer(e.Initiator))
	fmt.Fprintf(w, "  event      %s at position %d, stored %s\n  sessions   %d asked about\n", e.ID, e.Position, instant(e.Stored), len(x.Sessions))
	for _, p := range x.Processes {
		fmt.Fprintf(w, "%s%s: %s\n", shown(p.Name), ofGroup(p.Group), processLine(p, e.Stored))
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		for _, pass := range p.Passes {
			more := ""
			if pass.Undetermined {
				more = "passed by choice: undetermined"
			}
			fmt.Fprintf(t, "  %s\t%s\t%s\t%s\n", instant(pass.At), shown(pass.Session), note(pass.Route), more)
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	for _, name := range x.Silent {
		fmt.Fprintf(w, "%s: hasn't answered\n", shown(name))
	}
	fmt.Fprintln(w, "what can't be known:")
	for _, u := range x.Unknown {
		fmt.Fprintf(w, "  - %s\n", u.Detail)
	}
	return nil
}

// ofGroup tells processes of one name apart that run different things.
func ofGroup(group string) string {
	if group == "" {
		return ""
	}
	return " (" + shown(group) + ")"
}

// processLine says what a process knows.
func processLine(p replay.ExposedProcess, stored time.Time) string {
	line := "hasn't applied the event"
	switch {
	case p.Applied && p.AppliedAt.IsZero():
		line = "has applied the event; when isn't known"
	case p.Applied:
		line = fmt.Sprintf("applied it at %s, %v behind the ledger by their clocks", instant(p.AppliedAt), p.AppliedAt.Sub(stored).Round(time.Millisecond))
	}
	switch {
	case !p.Records:
		return line + "; doesn't remember what passes"
	case p.Whole:
		return fmt.Sprintf("%s; %d passed, and no others", line, p.Count)
	}
	return fmt.Sprintf("%s; %d passed that it knows of, and it knows all only since %s", line, p.Count, instant(p.WholeSince))
}

// exposureRows writes a line for each request.
func exposureRows(w io.Writer, x replay.Exposure) error {
	c := csv.NewWriter(w)
	if err := c.Write([]string{"process", "at", "session", "route", "undetermined", "applied_at", "whole", "group"}); err != nil {
		return err
	}
	for _, p := range x.Processes {
		for _, pass := range p.Passes {
			row := []string{p.Name, stamp(pass.At), pass.Session, pass.Route, strconv.FormatBool(pass.Undetermined), stamp(p.AppliedAt), strconv.FormatBool(p.Whole), p.Group}
			if err := c.Write(inert(row)); err != nil {
				return err
			}
		}
	}
	c.Flush()
	return c.Error()
}
