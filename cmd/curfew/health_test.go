package main

import (
	"strings"
	"testing"
)

func TestHealth(t *testing.T) {
	if _, stderr, code := command(t, "health", "--admin-url", "http://127.0.0.1:1"); code != exitUnavailable || !strings.Contains(stderr, "hint: ") {
		t.Errorf("nobody there: exit code %d, %s", code, stderr)
	}
	startServer(t)
	if out := must(t, "health"); out != "ready\n" {
		t.Errorf("got %q", out)
	}
}
