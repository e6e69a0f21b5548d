package main

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/curfewhq/curfew/services/replay"
	"github.com/curfewhq/curfew/services/sessions"
)

func TestDiff(t *testing.T) {
	s := startServer(t)
	c := caller(t, s)
	for _, session := range []string{"s-1", "s-2"} {
		if err := c.Call(t.Context(), http.MethodPost, "/v1/sessions", nil, sessions.Registration{Session: session, User: "u-1"}, nil); err != nil {
			t.Fatal(err)
		}
	}
	must(t, "revoke", "client", "app", "--yes")
	var st replay.State
	if err := json.Unmarshal([]byte(must(t, "state", "--json")), &st); err != nil {
		t.Fatal(err)
	}
	from := strconv.FormatUint(st.InForce[0].Position, 10)
	must(t, "revoke", "session", "s-1") // which names no user: the registry does
	out := must(t, "diff", "--from", from, "--user", "u-1")
	for _, want := range []string{"user u-1 from ", "session s-1: active, then revoked by session (", "came  session=s-1"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
	if strings.Contains(out, "s-2") || strings.Contains(out, "app") {
		t.Errorf("what hasn't changed is told:\n%s", out)
	}
	if out := must(t, "diff", "--from", from, "--all", "--output", "csv"); strings.Count(out, "\n") != 2 || !strings.HasPrefix(out, "change,scope,") {
		t.Errorf("csv:\n%s", out)
	}
	var d replay.Diff
	if err := json.Unmarshal([]byte(must(t, "diff", "--from", from, "--json")), &d); err != nil || len(d.Changes) != 1 || d.Changes[0].Change != replay.Came {
		t.Errorf("%v: %+v", err, d)
	}
	if out := must(t, "diff", "--from", "1h", "--to", "30m"); !strings.Contains(out, "nothing has changed") {
		t.Errorf("before everything:\n%s", out)
	}
	if _, stderr, code := command(t, "diff"); code != exitUsage || !strings.Contains(stderr, "curfew diff --from 1h") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	if _, stderr, code := command(t, "diff", "--from", "1h", "--to", "2h"); code != exitRefused || !strings.Contains(stderr, "before to") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}
