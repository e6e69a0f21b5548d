package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/curfewhq/curfew/cmd/curfew/apiclient"
	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/services/publisher"
)

// revokeOptions are the flags of curfew revoke.
type revokeOptions struct {
	remote         *remote
	what           publisher.Revocation
	authTime       string
	sessionExpires string
	cutoff         string
	reason         string
	idempotencyKey string
	wait           string
	timeout        time.Duration
	yes            bool
	dryRun         bool
}

func newRevoke(r *remote) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "revoke",
		Aliases: []string{"logout"},
		Short:   "End a session, or every session of a user, device, client or tenant",
		Long: `Ends a session, or every session of a user, device, client or tenant. With --dry-run nothing is ended: it shows how many sessions, open tabs and applications it
would reach, and how many people would sign in again each second. Where the server asks for a second person's approval, the answer is the request, and 'curfew approve' goes on.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	scopes := []struct {
		kind  events.Kind
		use   string
		short string
	}{
		{events.KindSession, "session SID", "End exactly one session"},
		{events.KindUser, "user USER", "Log a user out everywhere, but for --except"},
		{events.KindDevice, "device DEVICE", "End every session of a device"},
		{events.KindClient, "client CLIENT", "End every session of an application"},
		{events.KindTenant, "tenant [TENANT]", "Log everybody out of the API key's tenant; TENANT makes sure that it is the one you mean"},
	}
	for _, s := range scopes {
		cmd.AddCommand(newRevokeScope(r, s.kind, s.use, s.short))
	}
	return cmd
}

func newRevokeScope(r *remote, kind events.Kind, use, short string) *cobra.Command {
	o := &revokeOptions{remote: r}
	o.what.Scope = kind
	args := cobra.ExactArgs(1)
	if kind == events.KindTenant {
		args = cobra.MaximumNArgs(1)
	}
	cmd := &cobra.Command{
		Use: use, Short: short,
		Args: func(cmd *cobra.Command, a []string) error {
			if err := args(cmd, a); err != nil {
				return usageError{fmt.Errorf("usage: %s", cmd.UseLine())}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, a []string) error { return o.run(cmd, a) },
	}
	f := cmd.Flags()
	r.addDataDir(cmd)
	switch kind {
	case events.KindSession:
		f.StringVar(&o.what.User, "user", "", "the session's user, so that more of its tabs can be told")
		f.StringVar(&o.what.Device, "device", "", "the session's device")
		f.StringVar(&o.what.Client, "client", "", "the session's application")
		f.StringVar(&o.authTime, "auth-time", "", "when the session began, RFC 3339")
		f.StringVar(&o.sessionExpires, "session-expires-at", "", "the session's own absolute end, RFC 3339; not one that moves when the session is renewed")
	case events.KindUser:
		f.StringSliceVar(&o.what.Except, "except", nil, "session to keep (at most 16)")
		f.StringSliceVar(&o.what.KnownSessions, "known-session", nil, "session to end by name")
	case events.KindDevice:
		f.StringVar(&o.what.User, "user", "", "the device's user")
	}
	if kind != events.KindSession {
		f.StringVar(&o.cutoff, "cutoff", "", "sessions begun up to then are over, RFC 3339 (default now)")
	}
	if kind == events.KindClient || kind == events.KindTenant {
		f.BoolVar(&o.yes, "yes", false, "yes, everybody's")
	}
	f.BoolVar(&o.dryRun, "dry-run", false, "show what it would do, and do nothing")
	f.StringVar(&o.reason, "reason", "admin", "why, for machines")
	f.StringVar(&o.what.ReasonAdmin, "reason-admin", "", "why, for operators")
	f.StringVar(&o.what.ReasonUser, "reason-user", "", "why, for the person")
	f.StringVar(&o.idempotencyKey, "idempotency-key", "", "makes a repeated call one event (default a fresh one, shown if the outcome is unknown)")
	f.StringVar(&o.wait, "wait", "stored", "what to wait for: stored, applied by every replica that reports, or shown to every tab too")
	f.DurationVar(&o.timeout, "timeout", 5*time.Second, "how long to wait")
	return cmd
}

func (o *revokeOptions) run(cmd *cobra.Command, args []string) error {
	if (o.what.Scope == events.KindTenant || o.what.Scope == events.KindClient) && !o.yes && !o.dryRun {
		return hinted{usageError{fmt.Errorf("this ends the sessions of everybody in the %s; nothing was done", o.what.Scope)}, "add --yes, or --dry-run to see whom it would reach"}
	}
	if err := o.aim(args); err != nil {
		return err
	}
	c, err := o.remote.client()
	if err != nil {
		return err
	}
	defer c.Close()
	if o.dryRun {
		return o.preview(cmd, c)
	}
	if o.idempotencyKey == "" {
		if o.idempotencyKey, err = events.NewID(); err != nil {
			return err
		}
	}
	header := http.Header{"Idempotency-Key": {o.idempotencyKey}}
	var answer struct {
		publisher.Stored
		Approval *publisher.Approval `json:"approval"`
	}
	began := time.Now()
	path := "/v1/revocations?" + url.Values{"wait": {o.wait}, "timeout": {o.timeout.String()}}.Encode()
	if err := c.Call(cmd.Context(), http.MethodPost, path, header, o.what, &answer); err != nil {
		return o.unsure(err)
	}
	if answer.Approval != nil {
		return printHeld(cmd, o.remote, *answer.Approval)
	}
	took := float64(time.Since(began).Microseconds()) / 1000
	return printStored(cmd, o.remote, answer.Stored, fmt.Sprintf("%s (answered in %.1f ms)", storedLine("stored", answer.Stored, "call"), took))
}

// aim fills in what is revoked.
func (o *revokeOptions) aim(args []string) error {
	switch o.what.Scope {
	case events.KindSession:
		o.what.Session = args[0]
	case events.KindUser:
		o.what.User = args[0]
	case events.KindDevice:
		o.what.Device = args[0]
	case events.KindClient:
		o.what.Client = args[0]
	case events.KindTenant:
		if len(args) > 0 {
			o.what.Tenant = args[0]
		}
	}
	o.what.Reason = events.Reason(o.reason)
	o.what.Initiator = &events.Initiator{Type: events.InitiatorAdmin}
	return o.parseTimes()
}

// printHeld prints what waits for a second person, and returns the outcome that it means.
func printHeld(cmd *cobra.Command, r *remote, a publisher.Approval) error {
	if !r.json {
		printApproval(cmd, a)
	} else if err := printJSON(cmd.OutOrStdout(), map[string]any{"approval": a}); err != nil {
		return err
	}
	return coded(exitPending)
}

// printStored prints what was stored, in line for people, and whom it has reached, and returns the outcome that it means.
func printStored(cmd *cobra.Command, r *remote, stored publisher.Stored, line string) error {
	out := cmd.OutOrStdout()
	if r.json {
		if err := printJSON(out, stored); err != nil {
			return err
		}
		return codeOfReceipt(stored.Receipt)
	}
	fmt.Fprintln(out, line)
	if stored.Receipt != nil {
		printReceipt(out, *stored.Receipt)
	}
	return codeOfReceipt(stored.Receipt)
}

// storedLine says what was stored now, or by an earlier call.
func storedLine(done string, s publisher.Stored, earlier string) string {
	if s.Duplicate {
		done += ", by an earlier " + earlier
	}
	return fmt.Sprintf("%s: %s revocation %s at position %d", done, s.Scope, s.ID, s.Position)
}

// unsure adds to an error after which the revocation may be stored or not how to find out: by the same call again.
func (o *revokeOptions) unsure(err error) error {
	var refused *apiclient.Error
	switch {
	case errors.Is(err, context.Canceled):
		return hinted{fmt.Errorf("%w: it is unknown whether the revocation is stored", errInterrupted), o.again()}
	case errors.As(err, &refused) && refused.Retry, errors.Is(err, apiclient.ErrUnreachable) && !errors.Is(err, syscall.ECONNREFUSED):
		return hinted{err, o.again()}
	}
	return err
}

func (o *revokeOptions) again() string {
	return "repeat it with --idempotency-key " + o.idempotencyKey + ": however often, it is one event"
}

func (o *revokeOptions) parseTimes() error {
	for _, t := range []struct {
		flag, value string
		into        **time.Time
	}{
		{"--auth-time", o.authTime, &o.what.AuthTime}, {"--session-expires-at", o.sessionExpires, &o.what.SessionExpiresAt}, {"--cutoff", o.cutoff, &o.what.Cutoff},
	} {
		if t.value == "" {
			continue
		}
		parsed, err := timeOf(t.flag, t.value)
		if err != nil {
			return err
		}
		*t.into = &parsed
	}
	return nil
}
