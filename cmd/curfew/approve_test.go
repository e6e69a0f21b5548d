package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/config"
	"github.com/curfewhq/curfew/services/publisher"
)

// Two people log a tenant out: one asks, the other approves, and until then nobody is signed out.
func TestApprove(t *testing.T) {
	s := startServer(t, func(c *config.Config) { c.Approval.ThresholdSessions = 2 })
	register(t, s, "shop", 3)
	second := newKey(t, s, access.Scopes()...)
	if out := must(t, "logout", "client", "shop", "--dry-run"); !strings.Contains(out, "a second person has to approve it: it ends 3 sessions") {
		t.Errorf("the dry run says\n%s", out)
	}
	ask := func(args ...string) publisher.Approval {
		t.Helper()
		out, stderr, code := command(t, append(args, "--json")...)
		var held struct{ Approval publisher.Approval }
		if err := json.Unmarshal([]byte(out), &held); code != exitPending || err != nil {
			t.Fatalf("exit code %d: %s%s, %v", code, out, stderr, err)
		}
		return held.Approval
	}
	if out, stderr, code := command(t, "approve", "ls"); code != exitDone || out != "" || !strings.Contains(stderr, "nothing waits") {
		t.Errorf("exit code %d\n%s%s", code, out, stderr)
	}
	a := ask("logout", "tenant", "default", "--yes", "--reason-admin", "keys leaked")
	out, _, code := command(t, "logout", "client", "shop", "--yes")
	if code != exitPending || !strings.Contains(out, "nothing is revoked yet.") || !strings.Contains(out, "curfew approve ") {
		t.Errorf("exit code %d\n%s", code, out)
	}
	if _, stderr, code := command(t, "approve", a.ID); code != exitRefused || !strings.Contains(stderr, "approval_own") {
		t.Errorf("the key that asked: exit code %d, %s", code, stderr)
	}
	if out := must(t, "approve", "ls"); strings.Count(out, "pending") != 2 || !strings.Contains(out, a.ID) || !strings.Contains(out, "tenant default") || !strings.Contains(out, "client shop") {
		t.Errorf("the list is\n%s", out)
	}
	if out := must(t, "approve", "show", a.ID); !strings.HasPrefix(out, "pending: tenant revocation default, request ") || !strings.Contains(out, `because "keys leaked"`) || !strings.Contains(out, "curfew approve "+a.ID) {
		t.Errorf("shown\n%s", out)
	}
	if out := must(t, "check", "--session", "s-shop1", "--user", "u-1", "--client", "shop", "--auth-time", begun()); !strings.HasPrefix(out, "active") {
		t.Errorf("somebody is signed out before the approval: %s", out)
	}
	must(t, "revoke", "user", "u-2")
	t.Setenv("CURFEW_API_KEY", second)
	if out := must(t, "approve", a.ID, "--wait", "applied"); !strings.HasPrefix(out, "approved and stored: tenant revocation") || !strings.Contains(out, "complete:") {
		t.Errorf("approved\n%s", out)
	}
	if out := must(t, "approve", a.ID); !strings.HasPrefix(out, "approved and stored, by an earlier approval") {
		t.Errorf("approved twice\n%s", out)
	}
	if out := must(t, "approve", "show", a.ID); !strings.HasPrefix(out, "stored:") || !strings.Contains(out, "at position") {
		t.Errorf("shown\n%s", out)
	}
	if out, _, code := command(t, "check", "--session", "s-shop1", "--user", "u-1", "--client", "shop", "--auth-time", begun()); code != exitRevoked {
		t.Errorf("nobody is signed out after the approval: %s", out)
	}
	b := ask("logout", "tenant", "--yes")
	if out := must(t, "approve", "show", b.ID); !strings.HasPrefix(out, "pending: tenant revocation (the key's own), request ") {
		t.Errorf("without the tenant's name:\n%s", out)
	}
	if out := must(t, "approve", b.ID, "--reject"); out != "rejected: nothing was revoked\n" {
		t.Errorf("rejected: %s", out)
	}
	if _, stderr, code := command(t, "approve", b.ID); code != exitRefused || !strings.Contains(stderr, "approval_rejected") {
		t.Errorf("what is rejected: exit code %d, %s", code, stderr)
	}
	for _, args := range [][]string{{"approve"}, {"approve", "a", "b"}, {"approve", "show"}} {
		if _, stderr, code := command(t, args...); code != exitUsage || !strings.Contains(stderr, "curfew approve ls") {
			t.Errorf("%v: exit code %d, %s", args, code, stderr)
		}
	}
}
