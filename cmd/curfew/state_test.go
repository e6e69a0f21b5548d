package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/curfewhq/curfew/services/replay"
)

func TestState(t *testing.T) {
	startServer(t)
	if out := must(t, "state"); !strings.Contains(out, "in force of tenant default") || !strings.Contains(out, "nothing") || strings.Contains(out, "lost") {
		t.Errorf("of an empty ledger:\n%s", out)
	}
	must(t, "revoke", "session", "s-1", "--user", "u-1", "--reason", "compromised")
	must(t, "revoke", "user", "u-1", "--except", "s-2")
	must(t, "revoke", "client", "app", "--yes")
	out := must(t, "state", "--user", "u-1")
	for _, want := range []string{"in force of user u-1", "1 client, 1 user, 1 session", "client=app", "user=u-1", "but for 1 session(s): s-2", "session=s-1", "compromised", "forgotten "} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
	var s replay.State
	if err := json.Unmarshal([]byte(must(t, "state", "--json")), &s); err != nil || len(s.InForce) != 3 || s.NextAfter != "" {
		t.Fatalf("%v: %+v", err, s)
	}
	first, err := json.Marshal(s.InForce[2].Position)
	if err != nil {
		t.Fatal(err)
	}
	if out := must(t, "state", "--at", string(first)); strings.Contains(out, "client=app") || !strings.Contains(out, "session=s-1") {
		t.Errorf("as of the first:\n%s", out)
	}
	if _, stderr, _ := command(t, "state", "--limit", "1"); !strings.Contains(stderr, "there are more") {
		t.Errorf("it isn't told that there are more: %s", stderr)
	}
	if out := must(t, "state", "--all", "--output", "csv"); strings.Count(out, "\n") != 4 || !strings.HasPrefix(out, "scope,target,position") {
		t.Errorf("csv:\n%s", out)
	}
	if out := must(t, "state", "--output", "ndjson", "--scope", "user"); strings.Count(out, "\n") != 1 || !strings.Contains(out, `"target":"u-1"`) {
		t.Errorf("ndjson:\n%s", out)
	}
	for _, args := range [][]string{{"state", "x"}, {"state", "--output", "xml"}, {"state", "--json", "--output", "csv"}, {"state", "--all", "--limit", "3"}} {
		if _, stderr, code := command(t, args...); code != exitUsage {
			t.Errorf("%v: exit code %d: %s", args, code, stderr)
		}
	}
	if _, stderr, code := command(t, "state", "--at", "tomorrow"); code != exitRefused || !strings.Contains(stderr, "at") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}
