package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/curfewhq/curfew/services/sessions"
)

func TestExplain(t *testing.T) {
	startServer(t)
	auth := begun()
	must(t, "revoke", "user", "u-1", "--except", "s-1")
	active := must(t, "explain", "--session", "s-1", "--user", "u-1", "--auth-time", auth)
	for _, want := range []string{"active: nothing ends it", "not ended by 1 event:", "it excepts the session", "ends ", "replicas: answers: 1", "tabs: "} {
		if !strings.Contains(active, want) {
			t.Errorf("%q is missing in\n%s", want, active)
		}
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal([]byte(must(t, "explain", "--session", "s-1", "--user", "u-1", "--json")), &raw); err != nil || raw["replicas"] == nil || raw["tabs"] == nil {
		t.Errorf("it isn't what GET /v1/explain tells: %s, %v", raw, err)
	}
	must(t, "revoke", "session", "s-1", "--user", "u-1", "--reason", "compromised", "--wait", "applied")
	out := must(t, "explain", "--session", "s-1", "--user", "u-1", "--auth-time", auth)
	for _, want := range []string{"revoked by session (compromised)", "because    it names the session", "forgotten ", "ended by 1 event:", "know that it is over: 1"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
	var e explained
	if err := json.Unmarshal([]byte(must(t, "explain", "--session", "s-1", "--user", "u-1", "--auth-time", auth, "--json")), &e); err != nil || e.State != "revoked" || e.Event == nil || len(e.Around) < 3 {
		t.Fatalf("%v: %+v", err, e)
	}
	then := must(t, "explain", "--session", "s-1", "--user", "u-1", "--auth-time", auth, "--at", e.Event.Stored.Add(-1).Format("2006-01-02T15:04:05.999999999Z07:00"))
	if !strings.Contains(then, "active: nothing ends it") || strings.Contains(then, "replicas:") {
		t.Errorf("as of before:\n%s", then)
	}
	if out := must(t, "explain", "--session", "s-1"); !strings.Contains(out, "revoked by session") || !strings.Contains(out, "isn't registered") {
		t.Errorf("by the session alone:\n%s", out)
	}
	if out := must(t, "explain", "--session", "s-2"); !strings.Contains(out, "undetermined: without --user and --auth-time") {
		t.Errorf("without claims:\n%s", out)
	}
	// Whether the cutoff reaches it can't be told, so nobody is told that it doesn't.
	if out := must(t, "explain", "--session", "s-2", "--user", "u-1"); !strings.Contains(out, "\nnot known to be ended by 1 event:") {
		t.Errorf("without an auth time:\n%s", out)
	}
	if out := must(t, "explain", "--user", "u-1", "--tenant", "globex"); strings.Contains(out, "registry") || !strings.Contains(out, "undetermined") {
		t.Errorf("another tenant's:\n%s", out)
	}
	for _, args := range [][]string{{"explain"}, {"explain", "--session", "s", "--auth-time", "x"}, {"explain", "s-1"}} {
		if _, stderr, code := command(t, args...); code != exitUsage {
			t.Errorf("%v: exit code %d: %s", args, code, stderr)
		}
	}
	if _, stderr, code := command(t, "explain", "--session", "s-1", "--at", "later"); code != exitRefused || !strings.Contains(stderr, "at") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

// What is given counts, also where the registry has something else: its answer is for what is left out.
func TestExplainTakesWhatItIsGiven(t *testing.T) {
	s := startServer(t)
	c := caller(t, s)
	if err := c.Call(t.Context(), http.MethodPost, "/v1/sessions", nil, sessions.Registration{Session: "s-1", User: "u-1", Device: "d-1", Client: "c-1"}, nil); err != nil {
		t.Fatal(err)
	}
	openTab(t, c, s.URL(), "s-ada")
	for _, whose := range [][]string{nil, {"--tenant", "default"}} {
		if out := must(t, append([]string{"explain", "--session", "s-ada", "--user", "ada"}, whose...)...); !strings.Contains(out, "tabs: 1 of the session's are open, of 1 of the user's") {
			t.Errorf("with a tab, %v:\n%s", whose, out)
		}
	}
	must(t, "revoke", "device", "d-2")
	if out := must(t, "explain", "--session", "s-1", "--device", "d-2"); !strings.Contains(out, "revoked by device") {
		t.Errorf("by a device that the registry doesn't have it by:\n%s", out)
	}
	if out := must(t, "explain", "--session", "s-1"); !strings.Contains(out, "active: nothing ends it") {
		t.Errorf("by the registry:\n%s", out)
	}
	must(t, "revoke", "client", "c-2", "--yes")
	if out := must(t, "explain", "--session", "s-1", "--client", "c-2"); !strings.Contains(out, "revoked by client") {
		t.Errorf("by a client that the registry doesn't have it by:\n%s", out)
	}
}
