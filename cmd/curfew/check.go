package main

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/curfewhq/curfew/revocation"
	"github.com/curfewhq/curfew/services/gate"
)

func newCheck(r *remote) *cobra.Command {
	var q gate.Question
	var authTime string
	cmd := &cobra.Command{
		Use:   "check --session SID --user USER --auth-time TIME",
		Short: "Ask whether a session is over",
		Long:  "Ask whether a session is over. Exit code 0 means active, 4 revoked, 5 undetermined.",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if authTime != "" {
				t, err := timeOf("--auth-time", authTime)
				if err != nil {
					return err
				}
				q.AuthTime = &t
			}
			return check(cmd, r, q)
		},
	}
	r.addDataDir(cmd)
	f := cmd.Flags()
	f.StringVar(&q.Session, "session", "", "session id")
	f.StringVar(&q.User, "user", "", "user id")
	f.StringVar(&q.Device, "device", "", "device id")
	f.StringVar(&q.Client, "client", "", "application")
	f.StringVar(&authTime, "auth-time", "", "when the user signed in, RFC 3339, best with milliseconds")
	f.Uint64Var(&q.Position, "position", 0, "answer only when the replica has got there")
	f.StringSliceVar(&q.AllowMissing, "dangerously-allow-missing", nil, "what may be left out, though what it would tell may end the session: session, user, auth_time")
	return cmd
}

func check(cmd *cobra.Command, r *remote, q gate.Question) error {
	var v gate.Verdict
	if err := r.call(cmd, http.MethodPost, "/v1/check", q, &v); err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	if r.json {
		if err := printJSON(out, v); err != nil {
			return err
		}
	} else {
		fmt.Fprintln(out, sentence(v))
	}
	switch v.State {
	case "active":
		return nil
	case "revoked":
		return coded(exitRevoked)
	}
	return coded(exitUndetermined)
}

// sentence tells a verdict to people, in one line.
func sentence(v gate.Verdict) string {
	var b strings.Builder
	b.WriteString(v.State)
	switch v.State {
	case "revoked":
		fmt.Fprintf(&b, ": by %s (%s)", v.Scope, v.Reason)
		if v.At != nil {
			fmt.Fprintf(&b, ", at %s", v.At.Format(time.RFC3339Nano))
		}
		switch {
		case v.At == nil && v.Scope == string(revocation.ScopeMaxAge):
			b.WriteString(": the ledger may have lost what ended it ('curfew explain' tells)")
		case v.Event != "":
			fmt.Fprintf(&b, ", event %s at position %d", v.Event, v.EventPosition)
		case v.EventPosition > 0:
			fmt.Fprintf(&b, ", event at position %d, which can't be read now", v.EventPosition)
		}
	case "undetermined":
		fmt.Fprintf(&b, ": %s", v.Cause)
	}
	fmt.Fprintf(&b, " [position %d, proof %.1f s old]", v.Position, v.StalenessMS/1000)
	return b.String()
}
