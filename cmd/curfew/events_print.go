package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/services/replay"
)

// printer writes records as lines for people, as CSV or as NDJSON.
type printer struct {
	output, times string
	// following has each line written at once.
	following bool
	// tenants has each line tell whose event it is.
	tenants bool
	// records have been written, the last of them at the position last.
	records int
	last    uint64
	w       io.Writer
	csv     *csv.Writer
	now     func() time.Time
}

func (p *printer) addFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&p.output, "output", "text", "text, csv or ndjson; --json is ndjson")
	cmd.Flags().StringVar(&p.times, "time", "utc", "times of text: utc, local or relative")
}

// begin refuses flags that it doesn't know.
func (p *printer) begin(w io.Writer, asJSON bool) error {
	p.w, p.now = w, time.Now
	if asJSON {
		if p.output == "csv" {
			return usageError{errors.New("--json is ndjson, and --output csv isn't: leave one of them out")}
		}
		p.output = "ndjson"
	}
	if !slices.Contains([]string{"text", "csv", "ndjson"}, p.output) {
		return usageError{fmt.Errorf("--output: %q isn't one of text, csv, ndjson", p.output)}
	}
	if !slices.Contains([]string{"utc", "local", "relative"}, p.times) {
		return usageError{fmt.Errorf("--time: %q isn't one of utc, local, relative", p.times)}
	}
	if p.output == "csv" {
		p.csv = csv.NewWriter(w)
		return p.csv.Write([]string{"position", "stored", "id", "tenant", "type", "scope", "target", "user", "reason", "initiator", "initiator_id", "reason_admin", "replay", "time"})
	}
	return nil
}

// record writes one record.
func (p *printer) record(r replay.Record) error {
	if err := p.write(r); err != nil {
		return err
	}
	p.records, p.last = p.records+1, r.Position
	return nil
}

func (p *printer) write(r replay.Record) error {
	if p.output == "ndjson" {
		return printJSON(p.w, r)
	}
	e, err := events.Decode(r.Event)
	if p.csv != nil {
		return p.row(r, e, err)
	}
	if err != nil {
		_, err = fmt.Fprintf(p.w, "%s  %8d  (an event that this version doesn't know)\n", p.time(r.Stored), r.Position)
		return err
	}
	m := e.Meta()
	by := causer(m.Initiator)
	replayed := ""
	if m.Replay != "" {
		// The line begins with when the copy was stored.
		replayed = "  replay=" + shown(m.Replay) + "  happened=" + instant(m.Time)
	}
	tenant := ""
	if p.tenants && e.Kind() != events.KindTenant {
		tenant = " tenant=" + m.Tenant
	}
	_, err = fmt.Fprintf(p.w, "%s  %8d  %-24s %s=%s%s%s  reason=%s  by=%s  %s%s\n", p.time(r.Stored), r.Position, events.Name(e),
		e.Kind(), shown(e.Target()), userOf(e), tenant, m.Reason, by, m.ID, replayed)
	return err
}

func (p *printer) row(r replay.Record, e events.Event, unknown error) error {
	row := []string{strconv.FormatUint(r.Position, 10), r.Stored.UTC().Format(time.RFC3339Nano)}
	if unknown == nil {
		m := e.Meta()
		row = append(row, m.ID, m.Tenant, events.Name(e), string(e.Kind()), e.Target(), e.UserID(), string(m.Reason), string(m.Initiator.Type), m.Initiator.ID, m.ReasonAdmin, m.Replay, m.Time.UTC().Format(time.RFC3339Nano))
	} else {
		row = append(row, make([]string, 12)...)
	}
	if err := p.csv.Write(inert(row)); err != nil || !p.following {
		return err
	}
	return p.end()
}

// inert keeps a spreadsheet from taking what others have chosen for a formula. It changes the row, and returns it.
func inert(row []string) []string {
	for i, cell := range row {
		if strings.HasPrefix(cell, "'") || cell != "" && strings.ContainsRune("=+-@\t\r\n", rune(cell[0])) {
			row[i] = "'" + cell
		}
	}
	return row
}

// end writes what is left.
func (p *printer) end() error {
	if p.csv == nil {
		return nil
	}
	p.csv.Flush()
	return p.csv.Error()
}

func (p *printer) time(t time.Time) string {
	switch p.times {
	case "local":
		return t.Local().Format("2006-01-02T15:04:05.000-07:00")
	case "relative":
		return fmt.Sprintf("%12s", ago(p.now().Sub(t)))
	}
	return instant(t)
}

// ago is a while ago in two units at most.
func ago(d time.Duration) string {
	switch {
	case d < time.Second:
		return "just now"
	case d < time.Minute:
		return fmt.Sprintf("%ds ago", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds ago", d/time.Minute, d%time.Minute/time.Second)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm ago", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd%02dh ago", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
}

// shown is an id in a line of text. One that could pass for more than an id, by a space or by characters that aren't printed or turn the text around, stands in quotes.
func shown(id string) string {
	if strings.ContainsAny(id, " \"") {
		return strconv.Quote(id)
	}
	return note(id)
}

// note is free text in a line: in quotes if it holds what isn't printed, such as another line.
func note(text string) string {
	if strings.ContainsFunc(text, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return strconv.Quote(text)
	}
	return text
}

// causer is who has caused an event.
func causer(i events.Initiator) string {
	return strings.TrimSpace(string(i.Type) + " " + shown(i.ID))
}

func userOf(e events.Event) string {
	if e.Kind() == events.KindUser || e.UserID() == "" {
		return ""
	}
	return " user=" + shown(e.UserID())
}

// printStats writes counts, the greatest first.
func printStats(w io.Writer, s replay.Stats) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "events\t%d\n", s.Events)
	if s.Events > 0 {
		fmt.Fprintf(t, "from\t%s\tposition %d\n", s.FirstStored.Format(time.RFC3339), s.First)
		fmt.Fprintf(t, "to\t%s\tposition %d\n", s.LastStored.Format(time.RFC3339), s.Last)
	}
	counted(t, "scope", s.Scopes)
	counted(t, "reason", s.Reasons)
	counted(t, "initiator", s.Initiators)
	counted(t, "tenant", s.Tenants)
	if s.Replayed > 0 {
		fmt.Fprintf(t, "replayed\t%d\n", s.Replayed)
	}
	if s.Unreadable > 0 {
		fmt.Fprintf(t, "unreadable\t%d\t(no events that this version knows)\n", s.Unreadable)
	}
	return t.Flush()
}

func counted[K ~string](w io.Writer, what string, counts map[K]uint64) {
	keys := slices.SortedFunc(maps.Keys(counts), func(a, b K) int {
		if counts[a] != counts[b] {
			if counts[a] > counts[b] {
				return -1
			}
			return 1
		}
		return strings.Compare(string(a), string(b))
	})
	for _, k := range keys {
		fmt.Fprintf(w, "%s\t%s\t%d\n", what, k, counts[k])
	}
}
