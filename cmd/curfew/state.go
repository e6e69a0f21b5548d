package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/services/replay"
)

// pastFlags are what state and diff share.
type pastFlags struct {
	tenant, user, scope, output string
	limit                       int
	all                         bool
}

func (f *pastFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.user, "user", "", "only what concerns this user: by name, or by what the registry knows to be theirs; and what concerns everybody")
	flags.StringVar(&f.tenant, "tenant", "", "another tenant; takes a key with the scopes read and operator")
	flags.StringVar(&f.scope, "scope", "", "only what is of scope session, user, device, client or tenant")
	flags.IntVar(&f.limit, "limit", 100, "how many sessions, users, devices and so on, 1 to 1000")
	flags.BoolVar(&f.all, "all", false, "every one, however many; each thousand reads the ledger once")
	flags.StringVar(&f.output, "output", "text", "text, csv or ndjson; --json is one object for each page")
}

// query returns the parameters that were given, and refuses flags that it doesn't know.
func (f *pastFlags) query(cmd *cobra.Command, asJSON bool) (url.Values, error) {
	switch {
	case !slices.Contains([]string{"text", "csv", "ndjson"}, f.output):
		return nil, usageError{fmt.Errorf("--output: %q isn't one of text, csv, ndjson", f.output)}
	case asJSON && cmd.Flags().Changed("output"):
		return nil, usageError{errors.New("--json and --output say two things: leave one of them out")}
	case f.all && cmd.Flags().Changed("limit"):
		return nil, usageError{errors.New("--all has no --limit: leave one of them out")}
	case f.all:
		f.limit = 1000
	}
	return given(map[string]string{"limit": strconv.Itoa(f.limit), "tenant": f.tenant, "user": f.user, "scope": f.scope}), nil
}

func newState(r *remote) *cobra.Command {
	var f pastFlags
	var at string
	cmd := &cobra.Command{
		Use: "state", Short: "Tell what is in force of a user or a tenant: now, or as of a moment", Args: noArgs,
		Long: `Tells which revocations are in force, by the ledger: cutoffs of the tenant, of applications, devices and users, and sessions by name; which event each is, and when it is
forgotten. Only those that decide about anybody: a cutoff that a later one covers isn't listed.`,
	}
	r.addDataDir(cmd)
	f.add(cmd)
	cmd.Flags().StringVar(&at, "at", "", "as of a position, a time (RFC 3339) or a while ago (2h)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		query, err := f.query(cmd, r.json)
		if err != nil {
			return err
		}
		if at != "" {
			query.Set("at", at)
		}
		return printPages(cmd, r, f, "/v1/state", query, printStateHead, func(page replay.State, fact func(string, replay.Fact)) string {
			for _, in := range page.InForce {
				fact("", in)
			}
			query.Set("at", page.AsOf.Format(time.RFC3339Nano))
			return page.NextAfter
		})
	}
	return cmd
}

// printPages prints the first page of an answer, or with --all every one. each calls fact with what a page holds and why it is there, pins query to what the page is of, and returns
// where the next one begins.
func printPages[P any](cmd *cobra.Command, r *remote, f pastFlags, path string, query url.Values, head func(io.Writer, P), each func(page P, fact func(string, replay.Fact)) (next string)) error {
	c, err := r.client()
	if err != nil {
		return err
	}
	defer c.Close()
	p := newFactPrinter(cmd.OutOrStdout(), f.output)
	for first := true; ; first = false {
		var page P
		if err := c.Call(cmd.Context(), http.MethodGet, path+"?"+query.Encode(), nil, nil, &page); err != nil {
			return err
		}
		switch {
		case r.json:
			err = printJSON(cmd.OutOrStdout(), page)
		case f.output == "text" && first:
			head(cmd.OutOrStdout(), page)
		}
		next := each(page, func(why string, fact replay.Fact) {
			if !r.json && err == nil {
				err = p.fact(why, fact)
			}
		})
		if err != nil {
			return err
		}
		if next == "" || !f.all {
			tellRest(cmd, next)
			return p.end()
		}
		query.Set("after", next)
	}
}

// tellRest says that there is more.
func tellRest(cmd *cobra.Command, next string) {
	if next != "" {
		fmt.Fprintln(cmd.ErrOrStderr(), "there are more: ask with --all, or for one --scope")
	}
}

func printStateHead(w io.Writer, s replay.State) {
	fmt.Fprintf(w, "in force of %s as of %s (position %d): %s\n", ofWhom(s.Tenant, s.User), instant(s.AsOf), s.Position, countsLine(s.Counts, s.Estimated))
	printGaps(w, s.Registry, s.LostBefore, s.GoneBefore)
}

func ofWhom(tenant, user string) string {
	if user != "" {
		return "user " + shown(user)
	}
	return "tenant " + tenant
}

// countsLine is such as "1 user, 12 sessions".
func countsLine(counts map[events.Kind]uint64, estimated bool) string {
	var parts []string
	for _, kind := range slices.Backward(events.Kinds()) {
		n := counts[kind]
		if n == 0 {
			continue
		}
		plural := "s"
		if n == 1 {
			plural = ""
		}
		parts = append(parts, fmt.Sprintf("%d %s%s", n, kind, plural))
	}
	switch {
	case len(parts) == 0:
		return "nothing"
	case estimated:
		return "about " + strings.Join(parts, ", ")
	}
	return strings.Join(parts, ", ")
}

// printGaps says what the answer can't know.
func printGaps(w io.Writer, registry string, lost, gone time.Time) {
	if !lost.IsZero() {
		fmt.Fprintf(w, "  the ledger may have lost revocations: every session that began up to %s is over\n", instant(lost))
	}
	if !gone.IsZero() {
		fmt.Fprintf(w, "  not whole: what was stored before %s has left the ledger, and some of it was in force then\n", instant(gone))
	}
	if registry == replay.RegistryInPart {
		fmt.Fprintln(w, "  the user has more sessions than the registry tells of at once: of the others, what names a session or a device and not the user is missing")
	}
	if registry == replay.RegistryAway {
		fmt.Fprintln(w, "  the registry is away: what names a session or a device of the user, and not the user, is missing")
	}
	if registry == replay.RegistryNone {
		fmt.Fprintln(w, "  this server has no registry of sessions: what names a session or a device of the user, and not the user, is missing")
	}
}

// factPrinter writes facts as lines for people, as CSV or as NDJSON.
type factPrinter struct {
	w    io.Writer
	csv  *csv.Writer
	text *tabwriter.Writer
	rows int
}

func newFactPrinter(w io.Writer, output string) *factPrinter {
	p := &factPrinter{w: w}
	switch output {
	case "csv":
		p.csv = csv.NewWriter(w)
	case "text":
		p.text = tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	}
	return p
}

// fact writes one. change is empty for a state.
func (p *factPrinter) fact(change string, f replay.Fact) error {
	p.rows++
	switch {
	case p.csv != nil:
		return p.row(change, f)
	case p.text == nil && change == "":
		return printJSON(p.w, f)
	case p.text == nil:
		return printJSON(p.w, replay.Change{Change: change, Fact: f})
	}
	var more []string
	if !f.Cutoff.IsZero() {
		more = append(more, "begun up to "+instant(f.Cutoff))
	}
	for what, sids := range map[string][]string{"but for": f.Except, "only": f.OnlyFor} {
		if len(sids) > 0 {
			more = append(more, fmt.Sprintf("%s %d session(s): %s", what, len(sids), shownAll(sids)))
		}
	}
	slices.Sort(more)
	if f.By != "" {
		more = append(more, "named by an event of the "+string(f.By))
	}
	_, err := fmt.Fprintf(p.text, "  %s%s=%s\t%s\tby %s\tat %d\tforgotten %s\t%s\n", changeColumn(change), f.Scope, shown(f.Target), f.Reason, causer(f.Initiator), f.Position, instant(f.ForgottenAt), strings.Join(more, "; "))
	return err
}

func changeColumn(change string) string {
	if change == "" {
		return ""
	}
	return change + "\t"
}

func shownAll(sids []string) string {
	all := make([]string, len(sids))
	for i, sid := range sids {
		all[i] = shown(sid)
	}
	return strings.Join(all, " ")
}

func (p *factPrinter) row(change string, f replay.Fact) error {
	columns := []struct{ name, v string }{
		{"change", change}, {"scope", string(f.Scope)}, {"target", f.Target}, {"position", strconv.FormatUint(f.Position, 10)}, {"stored", f.Stored.Format(time.RFC3339Nano)}, {"id", f.ID},
		{"reason", string(f.Reason)}, {"initiator", string(f.Initiator.Type)}, {"initiator_id", f.Initiator.ID}, {"reason_admin", f.ReasonAdmin}, {"by", string(f.By)}, {"cutoff", stamp(f.Cutoff)},
		{"except", strings.Join(f.Except, " ")}, {"only_for", strings.Join(f.OnlyFor, " ")}, {"forgotten_at", stamp(f.ForgottenAt)}, {"replay", f.Replay},
	}
	if change == "" {
		columns = columns[1:]
	}
	names, cells := make([]string, len(columns)), make([]string, len(columns))
	for i, c := range columns {
		names[i], cells[i] = c.name, c.v
	}
	if p.rows == 1 {
		if err := p.csv.Write(names); err != nil {
			return err
		}
	}
	return p.csv.Write(inert(cells))
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// end writes what is left.
func (p *factPrinter) end() error {
	if p.text != nil {
		return p.text.Flush()
	}
	if p.csv != nil {
		p.csv.Flush()
		return p.csv.Error()
	}
	return nil
}
