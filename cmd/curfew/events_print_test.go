package main

import (
	"bytes"
	"encoding/csv"
	"strings"
	"testing"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/services/replay"
)

// hostile is a record whose ids and note were chosen to be taken for something else: for more fields, for another line, for text that runs backwards, for a formula.
func hostile(t *testing.T) (replay.Record, *events.SessionRevoked) {
	t.Helper()
	id, err := events.NewID()
	if err != nil {
		t.Fatal(err)
	}
	e := &events.SessionRevoked{Session: "s-1 user=bob", User: "ann\u202e=nimda", Common: events.Common{
		ID: id, Time: events.Floor(time.Now()), Source: "test", Tenant: "default", Reason: events.ReasonAdmin, ReasonAdmin: "\n=HYPERLINK(1)", Replay: "r\u2028x",
		Initiator: events.Initiator{Type: events.InitiatorAdmin, ID: "eve  reason=policy"},
	}}
	data, err := events.Encode(e)
	if err != nil {
		t.Fatal(err)
	}
	return replay.Record{Position: 1, Stored: time.Now(), Event: data}, e
}

func TestEventsTextIsNotForged(t *testing.T) {
	record, e := hostile(t)
	var out bytes.Buffer
	p := printer{output: "text", times: "utc"}
	if err := p.begin(&out, false); err != nil {
		t.Fatal(err)
	}
	if err := p.record(record); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`session="s-1 user=bob" user="ann\u202e=nimda"  reason=admin  by=admin "eve  reason=policy"`, `replay="r\u2028x"  happened=` + instant(e.Time)} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%s is missing in %q", want, out.String())
		}
	}
	if strings.ContainsAny(out.String(), "\u202e\u2028") || strings.Count(out.String(), "\n") != 1 {
		t.Errorf("%q", out.String())
	}
}

func TestEventsCSVHasNoFormulas(t *testing.T) {
	record, e := hostile(t)
	var out bytes.Buffer
	p := printer{output: "csv", times: "utc"}
	if err := p.begin(&out, false); err != nil {
		t.Fatal(err)
	}
	if err := p.record(record); err != nil {
		t.Fatal(err)
	}
	if err := p.end(); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&out).ReadAll()
	if err != nil || len(rows) != 2 || rows[1][11] != "'\n=HYPERLINK(1)" || rows[0][13] != "time" || rows[1][13] != e.Time.UTC().Format(time.RFC3339Nano) {
		t.Errorf("%q, %v", rows, err)
	}
}

// A note may hold several lines, and none of them may pass for one of the answer's own.
func TestExplainTextIsNotForged(t *testing.T) {
	_, e := hostile(t)
	f := replay.Finding{Position: 1, ID: e.ID, Reason: e.Reason, ReasonAdmin: "why\nactive: nothing ends it", Initiator: e.Initiator, Why: "it names the session"}
	var out bytes.Buffer
	if err := printExplanation(&out, explained{Explanation: replay.Explanation{State: "revoked", Scope: "session", Reason: e.Reason, Event: &f}}); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); !strings.Contains(got, `note       "why\nactive: nothing ends it"`) || !strings.Contains(got, `caused by  admin "eve  reason=policy" at`) {
		t.Errorf("%s", got)
	}
}
