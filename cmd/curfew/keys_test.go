package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/curfewhq/curfew/internal/access"
)

func TestKeysLifeOfAKey(t *testing.T) {
	startServer(t)
	var made access.Created
	if err := json.Unmarshal([]byte(must(t, "keys", "create", "--scopes", "publish,check", "--tenant", "acme", "--name", "billing", "--json")), &made); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CURFEW_API_KEY", made.Text)
	must(t, "revoke", "session", "s-1")
	if _, stderr, code := command(t, "keys", "ls"); code != exitRefused || !strings.Contains(stderr, "scope admin") {
		t.Errorf("a key without admin lists keys: exit code %d, %s", code, stderr)
	}
	t.Setenv("CURFEW_API_KEY", "")
	// The revocation was acme's, so the default tenant's session of the same id lives.
	must(t, "check", "--session", "s-1", "--user", "u", "--auth-time", begun())

	must(t, "keys", "revoke", made.ID)
	list := must(t, "keys", "ls")
	if !strings.Contains(list, made.ID) || !strings.Contains(list, "revoked") || strings.Contains(list, strings.TrimPrefix(made.Text, "cfw_"+made.ID+"_")) {
		t.Errorf("the list is\n%s", list)
	}
	t.Setenv("CURFEW_API_KEY", made.Text)
	if _, stderr, code := command(t, "revoke", "session", "s-2"); code != exitRefused || !strings.Contains(stderr, "api_key_invalid") || strings.Contains(stderr, made.Text) {
		t.Errorf("a revoked key: exit code %d, %s", code, stderr)
	}
}

func TestKeysCreateNamesEveryFault(t *testing.T) {
	_, stderr, code := command(t, "keys", "create", "--tenant", "Acme", "--scopes", "fly")
	if code != exitUsage || !strings.Contains(stderr, "tenant") || !strings.Contains(stderr, "scopes") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}
