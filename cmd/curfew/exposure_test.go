package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/curfewhq/curfew/services/replay"
)

func TestExposure(t *testing.T) {
	startServer(t)
	auth := begun()
	must(t, "revoke", "session", "s-1", "--user", "u-1")
	var s replay.State
	if err := json.Unmarshal([]byte(must(t, "state", "--json")), &s); err != nil || len(s.InForce) != 1 {
		t.Fatalf("%v: %+v", err, s)
	}
	id := s.InForce[0].ID
	out := must(t, "exposure", "--event", id)
	for _, want := range []string{"0 requests passed since ", "session=s-1 was ended", "applied it at ", "0 passed, and no others", " (curfew): ", "what can't be known:", "clock_ahead_ms"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
	// A session that the event doesn't end passes on; asked about by name, its pass is told.
	must(t, "check", "--session", "s-2", "--user", "u-1", "--auth-time", auth)
	var x replay.Exposure
	if err := json.Unmarshal([]byte(must(t, "exposure", "--event", id, "--session", "s-2", "--json")), &x); err != nil || x.Count != 1 || len(x.Processes) != 1 || len(x.Processes[0].Passes) != 1 {
		t.Fatalf("%v: %+v", err, x)
	}
	if p := x.Processes[0]; p.Passes[0].Route != "POST /v1/check" && p.Passes[0].Route != "GET /v1/check" || p.Passes[0].Session != "s-2" || !p.Whole || !strings.Contains(p.Name, ":") {
		t.Errorf("%+v", p)
	}
	if out := must(t, "exposure", "--event", id, "--session", "s-2", "--output", "csv"); strings.Count(out, "\n") != 2 || !strings.HasSuffix(out, ",true,curfew\n") {
		t.Errorf("csv:\n%s", out)
	}
	for _, args := range [][]string{{"exposure"}, {"exposure", "--event", id, "--output", "xml"}, {"exposure", "--event", id, "--json", "--output", "csv"}} {
		if _, stderr, code := command(t, args...); code != exitUsage {
			t.Errorf("%v: exit code %d: %s", args, code, stderr)
		}
	}
	if _, stderr, code := command(t, "exposure", "--event", "99999"); code != exitRefused || !strings.Contains(stderr, "event_unknown") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}
