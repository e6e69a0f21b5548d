package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/services/replay"
)

func TestTailFollowsAndFilters(t *testing.T) {
	startServer(t)
	must(t, "revoke", "session", "s-before", "--user", "u-1")
	all, stopAll := background(t, "events", "tail", "--since", "1h")
	await(t, all, "session=s-before user=u-1")
	users, stopUsers := background(t, "events", "tail", "--json", "--since", "1h", "--scope", "user", "--user", "u-2")

	must(t, "revoke", "session", "s-after", "--user", "u-2", "--reason", "compromised")
	must(t, "revoke", "user", "u-3")
	must(t, "revoke", "user", "u-2")
	await(t, all, "user=u-2  reason=admin")
	await(t, users, "UserLoggedOutEverywhere")
	if out := all.String(); !strings.Contains(out, "session=s-after user=u-2  reason=compromised  by=admin") {
		t.Errorf("tail printed\n%s", out)
	}
	if out := users.String(); strings.Contains(out, "SessionRevoked") || strings.Contains(out, "u-3") {
		t.Errorf("the filter let through\n%s", out)
	}
	if a, b := stopAll(), stopUsers(); a != exitDone || b != exitDone {
		t.Errorf("exit codes %d and %d, want 0: an interrupted tail is done", a, b)
	}
}

// A tail whose server goes away is no tail that is done, and says how to go on.
func TestTailTellsThatItBroke(t *testing.T) {
	s := startServer(t)
	must(t, "revoke", "session", "s-1")
	var record replay.Record
	if err := json.Unmarshal([]byte(must(t, "events", "ls", "--json")), &record); err != nil {
		t.Fatal(err)
	}
	out := &output{}
	ended := make(chan int, 1)
	go func() { ended <- run(t.Context(), []string{"events", "tail", "--since", "1h"}, out, out) }()
	await(t, out, "session=s-1")
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if code := <-ended; code != exitUnavailable || !strings.Contains(out.String(), "--after "+strconv.FormatUint(record.Position, 10)) {
		t.Errorf("exit code %d:\n%s", code, out)
	}
}

func TestTailRefusesBadFilters(t *testing.T) {
	startServer(t)
	for _, args := range [][]string{{"events", "tail", "--since", "yesterday"}, {"events", "tail", "--after", "x"}, {"events", "ls", "--until", "later"}, {"events", "stats", "--reason", "because"}, {"events", "get", "x"}} {
		if _, stderr, code := command(t, args...); code != exitRefused || !strings.Contains(stderr, "invalid_parameter") {
			t.Errorf("%v: exit code %d, %s", args, code, stderr)
		}
	}
}

func TestEventsList(t *testing.T) {
	startServer(t)
	for i := range 5 {
		must(t, "revoke", "session", fmt.Sprintf("s-%d", i), "--user", "=u-1")
	}
	must(t, "revoke", "user", "u-2", "--reason", "compromised")
	out, stderr, code := command(t, "events", "ls", "--limit", "2")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if code != exitDone || len(lines) != 2 || !strings.Contains(lines[0], "session=s-4") || !strings.Contains(lines[1], "user=u-2  reason=compromised") {
		t.Fatalf("exit code %d\n%s", code, out)
	}
	_, before, more := strings.Cut(strings.TrimSpace(stderr), "--before ")
	if before, _, _ = strings.Cut(before, ","); !more {
		t.Fatalf("what there is more of isn't said: %s", stderr)
	}
	if out := must(t, "events", "ls", "--before", before, "--limit", "2"); !strings.Contains(out, "s-2") || !strings.Contains(out, "s-3") || strings.Contains(out, "s-4") {
		t.Errorf("the page before:\n%s", out)
	}
	if out := must(t, "events", "ls", "--all", "--json", "--scope", "session"); strings.Count(out, "\n") != 5 || strings.Contains(out, "u-2") {
		t.Errorf("all, as JSON:\n%s", out)
	}
	rows, err := csv.NewReader(strings.NewReader(must(t, "events", "ls", "--all", "--output", "csv"))).ReadAll()
	if err != nil || len(rows) != 7 || rows[0][0] != "position" || rows[1][6] != "s-0" || rows[1][7] != "'=u-1" || rows[6][8] != "compromised" {
		t.Errorf("as CSV: %v, %v", rows, err)
	}
	if out := must(t, "events", "ls", "--time", "relative", "--limit", "1"); !strings.Contains(out, "just now") && !strings.Contains(out, "s ago") {
		t.Errorf("relative:\n%s", out)
	}
	if out := must(t, "events", "ls", "--tenant", "*", "--limit", "1"); !strings.Contains(out, "user=u-2 tenant=default  reason=") {
		t.Errorf("of all tenants:\n%s", out)
	}
	if _, stderr, code := command(t, "events", "get", "1"); code != exitRefused || !strings.Contains(stderr, "a beat lies there") {
		t.Errorf("a beat's position: exit code %d, %s", code, stderr)
	}
	if out, stderr, code := command(t, "events", "ls", "--user", "nobody"); code != exitDone || out != "" || !strings.Contains(stderr, "no such events") {
		t.Errorf("of nobody: exit code %d\n%s%s", code, out, stderr)
	}
	for _, args := range [][]string{{"events", "ls", "--output", "xml"}, {"events", "ls", "--output", "csv", "--json"}, {"events", "ls", "--time", "mine"}, {"events", "ls", "--all", "--limit", "3"}, {"events", "get"}, {"events", "ls", "x"}} {
		if _, stderr, code := command(t, args...); code != exitUsage {
			t.Errorf("%v: exit code %d: %s", args, code, stderr)
		}
	}
}

// Each filter of the API is a flag, and each way to tell times is another text of the same moment.
func TestEventsFlags(t *testing.T) {
	startServer(t)
	must(t, "revoke", "session", "s-1", "--user", "u-1")
	must(t, "revoke", "device", "d-1")
	must(t, "revoke", "client", "c-1", "--yes", "--reason", "policy")
	var record replay.Record
	if err := json.Unmarshal([]byte(must(t, "events", "ls", "--device", "d-1", "--json")), &record); err != nil {
		t.Fatal(err)
	}
	second, stored := strconv.FormatUint(record.Position, 10), record.Stored
	for args, want := range map[string]string{
		"--user u-1": "s", "--session s-1": "s", "--device d-1": "d", "--client c-1": "c", "--scope device": "d", "--reason policy": "c", "--initiator admin": "sdc", "--initiator user": "", "--initiator-id nobody": "",
		"--after " + second: "c", "--before " + second: "s", "--since 1h": "sdc", "--since 0s": "", "--until 1h": "", "--until 0s": "sdc", "--tenant default": "sdc", "--tenant globex": "",
		"--since " + stored.Format(time.RFC3339Nano): "dc", "--until " + stored.Format(time.RFC3339Nano): "s",
	} {
		got := ""
		for line := range strings.Lines(must(t, append([]string{"events", "ls"}, strings.Fields(args)...)...)) {
			for _, target := range []string{"session=s-1", "device=d-1", "client=c-1"} {
				if strings.Contains(line, " "+target) {
					got += target[:1]
				}
			}
		}
		if got != want {
			t.Errorf("%s: %q, want %q", args, got, want)
		}
	}
	for how, want := range map[string]string{"utc": stored.UTC().Format("2006-01-02T15:04:05.000Z"), "local": stored.Local().Format("2006-01-02T15:04:05.000-07:00"), "relative": " ago"} {
		if out := must(t, "events", "ls", "--device", "d-1", "--time", how); !strings.HasPrefix(out, want+" ") && !(how == "relative" && (strings.Contains(out, want) || strings.Contains(out, "just now"))) {
			t.Errorf("--time %s:\n%s", how, out)
		}
	}
}

func TestEventsGetAndStats(t *testing.T) {
	startServer(t)
	must(t, "revoke", "session", "s-1", "--user", "u-1")
	var record replay.Record
	if err := json.Unmarshal([]byte(must(t, "events", "ls", "--json")), &record); err != nil {
		t.Fatal(err)
	}
	position := strconv.FormatUint(record.Position, 10)
	if out := must(t, "events", "get", position); !strings.Contains(out, `"position": `+position) || !strings.Contains(out, "s-1") {
		t.Error(out)
	}
	e, err := events.Decode(record.Event)
	if err != nil {
		t.Fatal(err)
	}
	if out := must(t, "events", "get", e.Meta().ID, "--json"); !strings.Contains(out, `"position":`+position) {
		t.Error(out)
	}
	if _, stderr, code := command(t, "events", "get", "100000"); code != exitRefused || !strings.Contains(stderr, "curfew events ls") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	if out := must(t, "events", "stats", "--tenant", "*"); !strings.Contains(out, "events") || !strings.Contains(out, "session") || !strings.Contains(out, "position "+position) {
		t.Error(out)
	}
	var stats replay.Stats
	if err := json.Unmarshal([]byte(must(t, "events", "stats", "--json", "--user", "u-1")), &stats); err != nil || stats.Events != 1 {
		t.Errorf("%v, %+v", err, stats)
	}
}

func TestAgo(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "just now", 999 * time.Millisecond: "just now", 59 * time.Second: "59s ago", 61 * time.Second: "1m01s ago", 47*time.Hour + 59*time.Minute: "47h59m ago", 49 * time.Hour: "2d01h ago",
	} {
		if got := ago(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}
