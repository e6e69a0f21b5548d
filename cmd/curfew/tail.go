package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/services/publisher"
)

func newTail(r *remote) *cobra.Command {
	filters := map[string]*string{}
	cmd := &cobra.Command{
		Use:   "tail",
		Short: "Follow the events of the ledger",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			query := url.Values{"follow": {"true"}}
			for name, value := range filters {
				if *value != "" {
					query.Set(name, *value)
				}
			}
			c, err := r.client()
			if err != nil {
				return err
			}
			defer c.Close()
			return untilInterrupted(c.Lines(cmd.Context(), "/v1/revocations?"+query.Encode(), func(line []byte) error {
				if r.json {
					_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s\n", line)
					return err
				}
				return printRecord(cmd.OutOrStdout(), line)
			}))
		},
	}
	r.addDataDir(cmd)
	f := cmd.Flags()
	for name, help := range map[string]string{
		"user": "only events that name this user", "session": "only events that end this session by name", "device": "only events of this device",
		"client": "only events of this application", "scope": "only events of scope session, user, device, client or tenant", "since": "start at a time (RFC 3339) or a while ago (2h)", "after": "start behind a position",
	} {
		filters[name] = f.String(name, "", help)
	}
	return cmd
}

// printRecord writes one event as a line for a person.
func printRecord(w io.Writer, line []byte) error {
	var r publisher.Record
	if err := json.Unmarshal(line, &r); err != nil {
		return fmt.Errorf("read an event: %w", err)
	}
	e, err := events.Decode(r.Event)
	if err != nil {
		_, err = fmt.Fprintf(w, "%s  %8d  (an event that this version doesn't know)\n", r.Stored.Format("2006-01-02T15:04:05.000Z"), r.Position)
		return err
	}
	m := e.Meta()
	by := string(m.Initiator.Type)
	if m.Initiator.ID != "" {
		by += " " + m.Initiator.ID
	}
	_, err = fmt.Fprintf(w, "%s  %8d  %-24s %s=%s%s  reason=%s  by=%s  %s\n", r.Stored.Format("2006-01-02T15:04:05.000Z"), r.Position, events.Name(e),
		e.Kind(), e.Target(), userOf(e), m.Reason, by, m.ID)
	return err
}

func userOf(e events.Event) string {
	if e.Kind() == events.KindUser || e.UserID() == "" {
		return ""
	}
	return " user=" + e.UserID()
}
