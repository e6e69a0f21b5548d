package main

import (
	"strings"
	"testing"
)

func TestTailFollowsAndFilters(t *testing.T) {
	startServer(t)
	must(t, "revoke", "session", "s-before", "--user", "u-1")
	all, stopAll := background(t, "tail", "--since", "1h")
	await(t, all, "session=s-before user=u-1")
	users, stopUsers := background(t, "tail", "--json", "--since", "1h", "--scope", "user", "--user", "u-2")

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

func TestTailRefusesBadFilters(t *testing.T) {
	startServer(t)
	for _, args := range [][]string{{"tail", "--since", "yesterday"}, {"tail", "--after", "x"}} {
		if _, stderr, code := command(t, args...); code != exitRefused || !strings.Contains(stderr, "invalid_parameter") {
			t.Errorf("%v: exit code %d, %s", args, code, stderr)
		}
	}
}
