package main

import (
	"encoding/json"
	"testing"

	"github.com/curfewhq/curfew/services/gate"
	"github.com/curfewhq/curfew/services/publisher"
)

func TestCheckTellsTheStateByItsExitCode(t *testing.T) {
	startServer(t)
	var receipt publisher.Receipt
	if err := json.Unmarshal([]byte(must(t, "revoke", "user", "u-1", "--json")), &receipt); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		args  []string
		state string
		code  int
	}{
		{"active", []string{"--session", "s-1", "--user", "u-2", "--auth-time", begun()}, "active", exitDone},
		{"revoked", []string{"--session", "s-1", "--user", "u-1", "--auth-time", begun()}, "revoked", exitRevoked},
		{"claim missing", []string{"--session", "s-1", "--user", "u-2"}, "undetermined", exitUndetermined},
		{"claim allowed to be missing", []string{"--session", "s-1", "--user", "u-2", "--dangerously-allow-missing", "auth_time"}, "active", exitDone},
		{"position far ahead", []string{"--session", "s-1", "--user", "u-2", "--auth-time", begun(), "--position", "99999999"}, "undetermined", exitUndetermined},
	} {
		t.Run(c.name, func(t *testing.T) {
			stdout, stderr, code := command(t, append([]string{"check", "--json"}, c.args...)...)
			var v gate.Verdict
			if err := json.Unmarshal([]byte(stdout), &v); err != nil {
				t.Fatalf("%v in %q %s", err, stdout, stderr)
			}
			if v.State != c.state || code != c.code {
				t.Errorf("got %s and exit code %d, want %s and %d", v.State, code, c.state, c.code)
			}
			if c.state == "revoked" && v.Event != receipt.ID {
				t.Errorf("got event %s, want %s", v.Event, receipt.ID)
			}
		})
	}
}
