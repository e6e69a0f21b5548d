package main

import (
	"encoding/json"
	"strconv"
	"testing"
	"time"

	"github.com/curfewhq/curfew/services/gate"
	"github.com/curfewhq/curfew/services/publisher"
)

func TestCheckTellsTheStateByItsExitCode(t *testing.T) {
	startServer(t)
	var receipt publisher.Stored
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
		// With the position, for an acknowledged event may be on its way to the server's replica for a moment.
		{"revoked", []string{"--session", "s-1", "--user", "u-1", "--auth-time", begun(), "--position", strconv.FormatUint(receipt.Position, 10)}, "revoked", exitRevoked},
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
			if c.state == "revoked" && (v.Event != receipt.ID || v.EventPosition != receipt.Position || v.At == nil) {
				t.Errorf("got event %s of %v at %d, want %s at %d", v.Event, v.At, v.EventPosition, receipt.ID, receipt.Position)
			}
		})
	}
}

// What a verdict doesn't hold isn't made up, nor does it stop the command.
func TestCheckSentence(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)
	for _, c := range []struct {
		v    gate.Verdict
		want string
	}{
		{gate.Verdict{State: "active", Position: 7, StalenessMS: 250}, "active [position 7, proof 0.2 s old]"},
		{gate.Verdict{State: "undetermined", Cause: "replica is stale", Position: 7, StalenessMS: 20_000}, "undetermined: replica is stale [position 7, proof 20.0 s old]"},
		{gate.Verdict{State: "revoked", Scope: "user", Reason: "admin", EventPosition: 5, Event: "e-1", At: &at, Position: 7},
			"revoked: by user (admin), at 2026-01-02T03:04:05.678Z, event e-1 at position 5 [position 7, proof 0.0 s old]"},
		{gate.Verdict{State: "revoked", Scope: "user", Reason: "admin", EventPosition: 5, Position: 7},
			"revoked: by user (admin), event at position 5, which can't be read now [position 7, proof 0.0 s old]"},
		{gate.Verdict{State: "revoked", Scope: "max_age", Reason: "max_age", At: &at, Position: 7},
			"revoked: by max_age (max_age), at 2026-01-02T03:04:05.678Z [position 7, proof 0.0 s old]"},
		{gate.Verdict{State: "revoked", Scope: "max_age", Reason: "max_age", Position: 7},
			"revoked: by max_age (max_age): the ledger may have lost what ended it ('curfew explain' tells) [position 7, proof 0.0 s old]"},
		{gate.Verdict{State: "revoked", Scope: "user", Reason: "admin", Position: 7}, "revoked: by user (admin) [position 7, proof 0.0 s old]"},
	} {
		if got := sentence(c.v); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}
