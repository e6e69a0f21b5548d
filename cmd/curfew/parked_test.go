package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/services/upkeep"
)

// refusal is why messages are parked here. It would change a terminal, if it were printed as it is.
const refusal = "the webhook answers 410\x1b[31m"

func TestParked(t *testing.T) {
	s := startServer(t)
	if _, stderr, code := command(t, "parked", "ls"); code != exitDone || !strings.Contains(stderr, "nothing is parked") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	for i := range 3 {
		must(t, "revoke", "session", fmt.Sprint("s-", i), "--user", "u-1")
	}
	natstest.Park(t, s.Bus(), refusal, 3)
	stdout, stderr, _ := command(t, "parked", "ls")
	if strings.Count(stdout, "the webhook answers 410") != 3 || strings.Contains(stdout, "\x1b") || strings.Contains(stdout, "u-1") || !strings.Contains(stdout, "by relay after 1 deliveries") ||
		!strings.Contains(stderr, "curfew parked retry 1") {
		t.Errorf("%s%s", stdout, stderr)
	}
	for i := range 3 {
		if !strings.Contains(stdout, fmt.Sprintf("next: curfew parked show %d\n", i+1)) {
			t.Errorf("of message %d it isn't said what to type:\n%s", i+1, stdout)
		}
	}
	if stdout, stderr, _ := command(t, "parked", "ls", "--limit", "2"); strings.Count(stdout, "410") != 2 || !strings.Contains(stderr, "--after 2") {
		t.Errorf("%s%s", stdout, stderr)
	}
	if out := must(t, "parked", "ls", "--after", "2", "--json"); !strings.Contains(out, `"position":3`) || strings.Contains(out, `"position":2,`) {
		t.Error(out)
	}
	stdout, stderr, _ = command(t, "parked", "show", "1")
	if !strings.Contains(stdout, `"session": "s-0"`) || !strings.Contains(stderr, "curfew parked retry 1") || !strings.Contains(stderr, "drop 1 --execute") {
		t.Errorf("%s%s", stdout, stderr)
	}
	if out := must(t, "parked", "retry", "1"); !strings.Contains(out, "message 1 is back in CURFEW") {
		t.Error(out)
	}
	if out := must(t, "events", "stats", "--json"); !strings.Contains(out, `"replayed":1`) {
		t.Error(out)
	}
	if _, stderr, code := command(t, "parked", "retry", "1"); code != exitRefused || !strings.Contains(stderr, "hint: see what is parked") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	if out := must(t, "parked", "drop", "2"); !strings.Contains(out, "DRY RUN") || !strings.Contains(out, "410") || !strings.Contains(out, "drop 2 --execute") {
		t.Error(out)
	}
	if out := must(t, "parked", "drop", "2", "--execute"); !strings.Contains(out, "2 is dropped") {
		t.Error(out)
	}
	for _, more := range [][]string{{"--execute"}, nil} {
		if _, _, code := command(t, append([]string{"parked", "drop", "2"}, more...)...); code != exitRefused {
			t.Errorf("again: exit code %d", code)
		}
	}
	var list upkeep.ParkedList
	if err := json.Unmarshal([]byte(must(t, "parked", "ls", "--json")), &list); err != nil || len(list.Parked) != 1 || list.Parked[0].Position != 3 {
		t.Errorf("%+v, %v", list, err)
	}
	for _, args := range [][]string{{"parked", "show"}, {"parked", "show", "x"}, {"parked", "retry", "0"}, {"parked", "drop", "-1"}, {"parked", "nothing"}} {
		if _, _, code := command(t, args...); code != exitUsage {
			t.Errorf("%v: exit code %d", args, code)
		}
	}
}

// TestParkedThatIsNoEvent shows its size and a beginning that a terminal can be shown.
func TestParkedThatIsNoEvent(t *testing.T) {
	s := startServer(t)
	if _, err := s.Bus().JetStream().Publish(t.Context(), "curfew.v1.default.00.user", []byte("\x1b[31mno event"+strings.Repeat("x", 5000))); err != nil {
		t.Fatal(err)
	}
	natstest.Park(t, s.Bus(), refusal, 1)
	if out := must(t, "parked", "show", "1"); !strings.Contains(out, `5013 bytes, beginning with "\x1b[31mno eventxxx`) || len(out) > 1500 {
		t.Error(out)
	}
}

func TestParkedIsAnOperators(t *testing.T) {
	s := startServer(t)
	t.Setenv("CURFEW_API_KEY", newKey(t, s, access.ScopePublish, access.ScopeRead, access.ScopeAdmin))
	for _, args := range [][]string{{"ls"}, {"show", "1"}, {"retry", "1"}, {"drop", "1", "--execute"}} {
		if _, stderr, code := command(t, append([]string{"parked"}, args...)...); code != exitRefused || !strings.Contains(stderr, "operator") {
			t.Errorf("%v: exit code %d: %s", args, code, stderr)
		}
	}
}
