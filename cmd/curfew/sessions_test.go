package main

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/curfewhq/curfew/internal/config"
	"github.com/curfewhq/curfew/services/sessions"
)

// TestSessionsList: a user's sessions are listed with what they have come to, by what the registry's call tells.
func TestSessionsList(t *testing.T) {
	s := startServer(t, func(cfg *config.Config) { cfg.Sessions.IdleTimeout = 30 * time.Minute })
	c := caller(t, s)
	firefox := "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0"
	for _, r := range []sessions.Registration{{Session: "s-1", User: "ada", UserAgent: firefox, IP: "203.0.113.7"}, {Session: "s-2", User: "ada", Device: "phone"}} {
		if err := c.Call(t.Context(), http.MethodPost, "/v1/sessions", nil, r, nil); err != nil {
			t.Fatal(err)
		}
	}
	must(t, "revoke", "session", "s-1", "--user", "ada", "--reason", "compromised", "--wait", "applied")
	out := must(t, "sessions", "ls", "--user", "ada")
	for _, want := range []string{`(?m)^s-2 .* phone .* active until \S+ unless touched$`, `(?m)^s-1 +Firefox.* 203\.0\.113\.0.* ended \(compromised\) since 2`} {
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("want %s in\n%s", want, out)
		}
	}
	if out = must(t, "sessions", "ls", "--user", "ada", "--ended=false"); strings.Contains(out, "s-1") || !strings.Contains(out, "s-2") {
		t.Errorf("without those that have ended:\n%s", out)
	}
	if _, stderr, _ := command(t, "sessions", "ls", "--user", "ada", "--limit", "1"); !strings.Contains(stderr, "there are more: raise --limit") {
		t.Errorf("of two one is shown, and nothing said: %s", stderr)
	}
	must(t, "revoke", "user", "ada", "--wait", "applied")
	if _, stderr, _ := command(t, "sessions", "ls", "--user", "ada", "--ended=false"); !strings.Contains(stderr, "those are listed that have ended") {
		t.Errorf("all have ended: %s", stderr)
	}
	var list sessions.List
	if err := json.Unmarshal([]byte(must(t, "sessions", "ls", "--user", "ada", "--json")), &list); err != nil || len(list.Sessions) != 2 {
		t.Errorf("%+v, %v", list, err)
	}
	if _, stderr, _ := command(t, "sessions", "ls", "--user", "eve/../ada"); !strings.Contains(stderr, "none is registered") {
		t.Errorf("a user without sessions: %s", stderr)
	}
	if _, stderr, code := command(t, "sessions", "ls"); code != exitUsage || !strings.Contains(stderr, "--user") {
		t.Errorf("nobody's: exit code %d: %s", code, stderr)
	}
}
