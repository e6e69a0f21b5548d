package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/curfewhq/curfew/services/publisher"
)

func TestRevokeEachScope(t *testing.T) {
	s := startServer(t)
	for _, args := range [][]string{
		{"session", "s-1", "--user", "u-1", "--auth-time", begun()},
		{"user", "u-1", "--except", "s-2", "--known-session", "s-3"},
		{"device", "d-1", "--user", "u-1"},
		{"client", "c-1", "--yes"},
		{"tenant", "--yes", "--cutoff", begun()},
	} {
		t.Run(args[0], func(t *testing.T) {
			var receipt publisher.Stored
			out := must(t, append([]string{"revoke", "--json"}, args...)...)
			if err := json.Unmarshal([]byte(out), &receipt); err != nil || string(receipt.Scope) != args[0] || receipt.Position == 0 {
				t.Errorf("got %s, %v", out, err)
			}
			if err := s.Replica().WaitFor(t.Context(), receipt.Position); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestRevokeTwiceWithOneKeyIsOneEvent(t *testing.T) {
	startServer(t)
	first := must(t, "revoke", "session", "s-1", "--idempotency-key", "k-1")
	again := must(t, "revoke", "session", "s-1", "--idempotency-key", "k-1")
	if !strings.HasPrefix(first, "stored: ") || !strings.HasPrefix(again, "stored, by an earlier call: ") {
		t.Errorf("got %q, then %q", first, again)
	}
	if _, stderr, code := command(t, "revoke", "session", "s-2", "--idempotency-key", "k-1"); code != exitRefused || !strings.Contains(stderr, "idempotency_key_reused") {
		t.Errorf("another request under the key: exit code %d, %s", code, stderr)
	}
}

func TestRevokeOfEverybodyAsksFirst(t *testing.T) {
	startServer(t)
	for _, args := range [][]string{{"revoke", "tenant"}, {"revoke", "client", "c-1"}} {
		if _, stderr, code := command(t, args...); code != exitUsage || !strings.Contains(stderr, "hint: add --yes") {
			t.Errorf("%v: exit code %d, %s", args, code, stderr)
		}
	}
	if out := must(t, "check", "--session", "s", "--user", "u", "--client", "c-1", "--auth-time", begun()); !strings.HasPrefix(out, "active") {
		t.Errorf("something was revoked all the same: %s", out)
	}
}

// Whoever is interrupted must not read success: the revocation may be stored or not.
func TestRevokeInterruptedIsUnknown(t *testing.T) {
	// A server that takes the call and never answers.
	taken := make(chan struct{})
	hung := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(taken)
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}))
	defer hung.Close()
	t.Setenv("CURFEW_API_KEY", "cfw_0011223344556677_"+strings.Repeat("0", 64))
	out, stop := background(t, "revoke", "session", "s-1", "--url", hung.URL)
	<-taken
	if code := stop(); code != exitUnavailable || !strings.Contains(out.String(), "unknown whether") || !strings.Contains(out.String(), "--idempotency-key ") {
		t.Errorf("exit code %d\n%s", code, out)
	}
}
