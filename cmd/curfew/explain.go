package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/curfewhq/curfew/cmd/curfew/apiclient"
	"github.com/curfewhq/curfew/cmd/curfew/server"
	"github.com/curfewhq/curfew/services/replay"
)

// explainFlags are a session, and the moment as of which it is asked about.
type explainFlags struct{ session, user, device, client, authTime, at, tenant string }

func newExplain(r *remote) *cobra.Command {
	var f explainFlags
	cmd := &cobra.Command{
		Use:   "explain --session SID",
		Short: "Tell what ends a session, or doesn't, and why: now, or as of a moment",
		Long: `Tells what ends a session, by the ledger: which event, who caused it and why, when it is forgotten, and which events are about the session and don't
end it. Asked about now, it also tells which replicas know and which tabs are open. What is left out of user, device, client and auth time is asked of the registry.
Exit code 0 whatever the answer; 'curfew check' has one for each.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd, r) },
	}
	r.addDataDir(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.session, "session", "", "session id")
	flags.StringVar(&f.user, "user", "", "user id")
	flags.StringVar(&f.device, "device", "", "device id")
	flags.StringVar(&f.client, "client", "", "application")
	flags.StringVar(&f.authTime, "auth-time", "", "when the user signed in, RFC 3339, best with milliseconds")
	flags.StringVar(&f.at, "at", "", "as of a position, a time (RFC 3339) or a while ago (2h)")
	flags.StringVar(&f.tenant, "tenant", "", "another tenant's session; takes a key with the scopes read and operator")
	return cmd
}

// explained is what explain prints as JSON: the answer of GET /v1/explain, and what that, and the registry, mean. Around is left out of an answer about the past.
type explained struct {
	replay.Explanation
	Around []server.Finding `json:"around,omitempty"`
}

func (f explainFlags) run(cmd *cobra.Command, r *remote) error {
	p := &patient{session: f.session, user: f.user, device: f.device, client: f.client}
	if f.authTime != "" {
		var err error
		if p.authTime, err = timeOf("--auth-time", f.authTime); err != nil {
			return err
		}
	}
	if f.session == "" && f.user == "" && f.device == "" && f.client == "" {
		return usageError{errors.New("give --session, or a --user, --device or --client")}
	}
	c, err := r.client()
	if err != nil {
		return err
	}
	defer c.Close()
	var out explained
	if f.tenant == "" && (f.session != "" || f.user != "") {
		// It asks of its own tenant's registry alone.
		out.Around = append(out.Around, p.examineRegistry(cmd.Context(), c))
		p.device, p.client = cmp.Or(f.device, p.device), cmp.Or(f.client, p.client)
	}
	if err := f.ask(cmd.Context(), c, p, &out.Explanation); err != nil {
		return err
	}
	if f.at != "" {
		out.Around = nil // which is about now
	} else {
		out.Around = append(out.Around, p.aroundOf(out.Explanation)...)
	}
	if r.json {
		return printJSON(cmd.OutOrStdout(), out)
	}
	return printExplanation(cmd.OutOrStdout(), out)
}

// aroundOf says what replicas and gateways have told.
func (p *patient) aroundOf(e replay.Explanation) (out []server.Finding) {
	p.revoked = e.State == "revoked" && p.session != ""
	if e.Replicas == nil {
		out = append(out, server.Finding{Name: "replicas", Status: "warn", Detail: "couldn't be asked", Hint: "curfew doctor"})
	} else {
		out = p.judgeReplicas(*e.Replicas)
	}
	switch {
	case p.user == "":
		return append(out, tabsOfNobody())
	case e.Tabs == nil:
		return append(out, server.Finding{Name: "tabs", Status: "warn", Detail: "gateways couldn't be asked", Hint: "curfew doctor"})
	}
	return append(out, p.judgeTabs(*e.Tabs))
}

func (f explainFlags) ask(ctx context.Context, c *apiclient.Client, p *patient, into *replay.Explanation) error {
	query := given(map[string]string{"session": p.session, "user": p.user, "device": p.device, "client": p.client, "auth_time": stamp(p.authTime), "at": f.at, "tenant": f.tenant})
	return c.Call(ctx, http.MethodGet, "/v1/explain?"+query.Encode(), nil, nil, into)
}

func printExplanation(w io.Writer, e explained) error {
	fmt.Fprintf(w, "%s, as of %s (position %d)\n", headline(e.Explanation), instant(e.AsOf), e.Position)
	if f := e.Event; f != nil {
		fmt.Fprintf(w, "  because    %s\n  event      %s at position %d\n  caused by  %s at %s\n", f.Why, f.ID, f.Position, causer(f.Initiator), instant(f.Time))
		if f.ReasonAdmin != "" {
			fmt.Fprintf(w, "  note       %s\n", note(f.ReasonAdmin))
		}
		fmt.Fprintf(w, "  forgotten  %s, when every session that it ends is past max age\n", instant(f.ForgottenAt))
	}
	if e.State != "revoked" && !e.MaxAgeAt.IsZero() {
		fmt.Fprintf(w, "  ends       %s at the latest, for its age\n", instant(e.MaxAgeAt))
	}
	printEvents(w, "ended by", e.Ending, e.Endings)
	spared := "not ended by"
	if slices.Contains(e.Missing, "auth_time") {
		spared = "not known to be ended by" // a cutoff among them may reach it
	}
	printEvents(w, spared, e.Sparing, e.Sparings)
	for _, f := range e.Around {
		fmt.Fprintf(w, "%s: %s\n", f.Name, f.Detail)
	}
	return nil
}

// headline is the answer in a few words.
func headline(e replay.Explanation) string {
	switch {
	case e.Event != nil:
		return fmt.Sprintf("revoked by %s (%s)", e.Scope, e.Reason)
	case !e.LostBefore.IsZero():
		return fmt.Sprintf("revoked (%s): the ledger may have lost what ended sessions that began up to %s", e.Reason, instant(e.LostBefore))
	case e.State == "revoked":
		return fmt.Sprintf("revoked by %s since %s", e.Scope, instant(e.MaxAgeAt))
	case len(e.Missing) > 0:
		return fmt.Sprintf("undetermined: without %s it can't be told whether anything ends it", flagsOf(e.Missing))
	case e.State == "undetermined":
		return "undetermined: by its auth time it hadn't begun yet"
	}
	return "active: nothing ends it"
}

// flagsOf names the flags for some claims.
func flagsOf(claims []string) string {
	flags := make([]string, len(claims))
	for i, claim := range claims {
		flags[i] = "--" + strings.ReplaceAll(claim, "_", "-")
	}
	return strings.Join(flags, " and ")
}

func printEvents(w io.Writer, title string, list []replay.Finding, all int) {
	if all == 0 {
		return
	}
	fmt.Fprintf(w, "%s %d event", title, all)
	if all > 1 {
		fmt.Fprint(w, "s")
	}
	if all > len(list) {
		fmt.Fprintf(w, ", of which the newest are")
	}
	fmt.Fprintln(w, ":")
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, f := range list {
		fmt.Fprintf(t, "  %d\t%s\t%s\t%s\t%s\t%s\n", f.Position, instant(f.Stored), f.Scope, f.Reason, f.Initiator.Type, f.Why)
	}
	_ = t.Flush() // w has said so
}
