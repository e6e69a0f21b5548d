package main

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/curfewhq/curfew/cmd/curfew/apiclient"
	"github.com/curfewhq/curfew/events/tab"
	"github.com/curfewhq/curfew/internal/config"
	"github.com/curfewhq/curfew/internal/tabclient"
	"github.com/curfewhq/curfew/services/sessions"
)

// Doctor says of a session what ends it, which replicas know, and which tabs are open; and what may be wrong where nothing ends it.
func TestDoctorOfASession(t *testing.T) {
	s := startServer(t, func(cfg *config.Config) { cfg.Sessions.IdleTimeout = 30 * time.Minute })
	c := caller(t, s)
	var registered sessions.Registered
	if err := c.Call(t.Context(), http.MethodPost, "/v1/sessions", nil, sessions.Registration{Session: "s-1", User: "ada"}, &registered); err != nil {
		t.Fatal(err)
	}
	look := func(want []string, args ...string) {
		t.Helper()
		stdout, stderr, _ := command(t, append([]string{"doctor"}, args...)...)
		for _, w := range want {
			if !strings.Contains(stdout, w) {
				t.Errorf("%q: want %q in\n%s%s", args, w, stdout, stderr)
			}
		}
	}
	look([]string{"ends for idleness at " + instant(registered.CreatedAt.Add(30*time.Minute)) + " unless touched"}, "--session", "s-1", "--user", "ada")
	look([]string{"ok    registry: active", "ok    decision: active", "hint: nothing ends it", "replicas: answers: 1; fresh: 1", "tabs: 0 of the session's are open, of 0"}, "--session", "s-1")
	for _, session := range []string{"s-1", "s-1", "s-2"} {
		openTab(t, c, s.URL(), session)
	}
	look([]string{"tabs: 2 of the session's are open, of 3 of the user's"}, "--session", "s-1")
	look([]string{"warn  registry: the session isn't registered", "asked without auth_time and user", "not looked for"}, "--session", "nobody's")
	look([]string{"fail  registry: the session is another user's"}, "--session", "s-1", "--user", "eve")
	look([]string{"warn  registry: registered with auth time"}, "--session", "s-1", "--user", "ada", "--auth-time", "2026-01-01T00:00:00Z")
	look([]string{"registry: 1 sessions active, 0 ended"}, "--user", "ada")
	must(t, "revoke", "user", "ada", "--reason", "compromised", "--wait", "applied")
	look([]string{"decision: revoked: by user (compromised)", "know that it is over: 1"}, "--session", "s-1", "--user", "ada")
	if stdout, _, _ := command(t, "doctor", "--session", "s-1", "--user", "ada"); strings.Contains(stdout, "unless touched") {
		t.Errorf("a touch is said to help a session that is over:\n%s", stdout)
	}
	// A cutoff that may reach it makes it undetermined, and nothing is wrong with the replica.
	look([]string{"warn  decision: undetermined", "hint: asked without auth_time, and a cutoff may end it: give --auth-time"}, "--session", "nobody's", "--user", "ada")
	if _, stderr, code := command(t, "doctor", "--session", "s-1", "--auth-time", "yesterday"); code != exitUsage || !strings.Contains(stderr, "RFC 3339") {
		t.Errorf("exit code %d\n%s", code, stderr)
	}
}

// openTab opens a tab of ada's, as a browser does.
func openTab(t *testing.T, c *apiclient.Client, url, session string) {
	t.Helper()
	var made struct{ Ticket string }
	who := map[string]any{"user": "ada", "session": session, "auth_time": time.Now().UTC()}
	if err := c.Call(t.Context(), http.MethodPost, "/v1/tickets", nil, who, &made); err != nil {
		t.Fatal(err)
	}
	opened, err := tabclient.Dial(t.Context(), strings.Replace(url, "http", "ws", 1), "", made.Ticket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = opened.Close() })
	if f, err := opened.Next(t.Context()); err != nil || f.Type != tab.TypeReady {
		t.Fatalf("%+v, %v", f, err)
	}
}
