package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/curfewhq/curfew/cmd/curfew/server"
	"github.com/curfewhq/curfew/services/publisher"
	"github.com/curfewhq/curfew/services/sessions"
)

// register registers sessions of a client, each of another user.
func register(t *testing.T, s *server.Server, client string, n int) {
	t.Helper()
	c := caller(t, s)
	for i := range n {
		q := sessions.Registration{Session: fmt.Sprint("s-", client, i), User: fmt.Sprint("u-", i), Client: client}
		if err := c.Call(t.Context(), http.MethodPost, "/v1/sessions", nil, q, nil); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDryRun(t *testing.T) {
	s := startServer(t)
	register(t, s, "shop", 3)
	for _, test := range []struct {
		args []string
		want []string
	}{
		{[]string{"logout", "tenant", "default", "--dry-run"}, []string{"DRY RUN: nothing was done.", "in tenant default", "sessions 3 registered, of 3 users; 3 seen", "open tabs 0", "application shop 3 sessions", "expected logins under 0.1/s as people come back", "--yes"}},
		{[]string{"revoke", "client", "shop", "--dry-run"}, []string{"A client revocation", "sessions 3", "--yes"}},
		{[]string{"logout", "user", "u-1", "--dry-run"}, []string{"A user revocation", "sessions 1", "without --dry-run"}},
		{[]string{"revoke", "session", "s-shop1", "--dry-run"}, []string{"A session revocation", "sessions 1"}},
		{[]string{"revoke", "device", "none", "--dry-run"}, []string{"sessions 0"}},
	} {
		out := strings.Join(strings.Fields(must(t, test.args...)), " ") // without the widths of the table
		for _, want := range test.want {
			if !strings.Contains(out, want) {
				t.Errorf("%v: %q is missing in\n%s", test.args, want, out)
			}
		}
	}
	var p publisher.Preview
	if err := json.Unmarshal([]byte(must(t, "logout", "tenant", "--dry-run", "--json")), &p); err != nil || p.Sessions.Count != 3 || p.Tenant != "default" {
		t.Errorf("%+v, %v", p, err)
	}
	if got := strings.TrimSpace(must(t, "events", "ls", "--json")); got != "" {
		t.Errorf("something was revoked all the same: %s", got)
	}
	for _, args := range [][]string{{"logout", "tenant", "acme", "--dry-run"}, {"logout", "tenant", "acme", "--yes"}} {
		if _, stderr, code := command(t, args...); code != exitRefused || !strings.Contains(stderr, "isn't this API key's tenant: use a key of that tenant") {
			t.Errorf("%v: exit code %d, %s", args, code, stderr)
		}
	}
	if _, stderr, code := command(t, "logout", "tenant", "a", "b", "--yes"); code != exitUsage {
		t.Errorf("two tenants: exit code %d, %s", code, stderr)
	}
}
