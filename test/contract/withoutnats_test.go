package contract

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/curfewhq/curfew/cmd/curfew/server"
	"github.com/curfewhq/curfew/internal/config"
	"github.com/curfewhq/curfew/internal/natstest"
)

func testWithoutNATS(t *testing.T, seen map[string]int) {
	srv := natstest.Start(t)
	r := newRig(t, start(t, func(c *config.Config) {
		c.NATS.URL, c.StalenessBudget, c.JWT = srv.URL(), time.Second, config.Default().JWT
	}), seen)
	r.do(t, exchange{method: "GET", path: "/v1/forward-auth", status: 503, code: "forward_auth_not_configured"})
	// The event of the second would be read for the first time without NATS.
	r.revoke(t, "told")
	r.checkRevoked(t, r.revoke(t, "unread").Position)
	ticket := r.ticket(t)
	srv.Stop()
	probe := time.NewTicker(20 * time.Millisecond)
	defer probe.Stop()
	for deadline := time.Now().Add(30 * time.Second); r.fresh(t); {
		if <-probe.C; time.Now().After(deadline) {
			t.Fatal("the replica stays fresh without NATS")
		}
	}
	for _, x := range []exchange{
		{name: "readiness", method: "GET", path: "/readyz", status: 503},
		{name: "doctor", method: "GET", path: "/doctor", status: 200},
		{name: "revoke", method: "POST", path: "/v1/revocations", body: session, auth: r.full, status: 503, code: "not_stored"},
		{name: "log out", method: "POST", path: "/v1/users/ann/logout", body: `{"scope":"everywhere"}`, auth: r.full, status: 503, code: "not_stored"},
		{name: "end a session", method: "DELETE", path: "/v1/sessions/here", auth: r.full, status: 503, code: "not_stored"},
		{name: "register", method: "POST", path: "/v1/sessions", body: `{"user":"ida"}`, auth: r.full, status: 503, code: "registry_unavailable"},
		{name: "list", method: "GET", path: "/v1/users/ida/sessions", auth: r.full, status: 503, code: "registry_unavailable"},
		{name: "a session", method: "GET", path: "/v1/sessions/here", auth: r.full, status: 503, code: "registry_unavailable"},
		{name: "touch", method: "POST", path: "/v1/sessions/here/touch", auth: r.full, status: 503, code: "registry_unavailable"},
		{name: "touch several", method: "POST", path: "/v1/sessions/touch", body: `{"touches":[{"session":"here"}]}`, auth: r.full, status: 503, code: "registry_unavailable"},
		{name: "history", method: "GET", path: "/v1/revocations", auth: r.full, status: 503, code: "history_unavailable"},
		{name: "history stats", method: "GET", path: "/v1/revocations/stats", auth: r.full, status: 503, code: "history_unavailable"},
		{name: "an event", method: "GET", path: "/v1/revocations/1", auth: r.full, status: 503, code: "history_unavailable"},
		{name: "explain", method: "GET", path: "/v1/explain?session=a", auth: r.full, status: 503, code: "history_unavailable"},
		{name: "approvals", method: "GET", path: "/v1/approvals", auth: r.full, status: 503, code: "approvals_unavailable"},
		{name: "an approval", method: "GET", path: "/v1/approvals/0011223344556677", auth: r.full, status: 503, code: "approvals_unavailable"},
		{name: "approve", method: "POST", path: "/v1/approvals/0011223344556677/approve", auth: r.full, status: 503, code: "approvals_unavailable"},
		{name: "reject", method: "DELETE", path: "/v1/approvals/0011223344556677", auth: r.full, status: 503, code: "approvals_unavailable"},
		{name: "receipts", method: "GET", path: "/v1/receipts", auth: r.full, status: 503, code: "receipts_unavailable"},
		{name: "a receipt", method: "GET", path: "/v1/receipts/01980b5c-58d4-7cc1-8a2b-1f0e9d3c4b5a", auth: r.full, status: 503, code: "receipts_unavailable"},
		{name: "import", method: "POST", path: "/v1/import", body: r.line(t), auth: r.full, header: ndjson(), status: 503, code: "history_unavailable"},
		{name: "known", method: "POST", path: "/v1/import/known", body: `"acme/01a222c5-405d-7dbc-b6e5-6ed5c77090fb"`, auth: r.full, header: ndjson(), status: 503, code: "history_unavailable"},
		{name: "backup", method: "GET", path: "/v1/backup", auth: r.full, status: 503, code: "backup_unavailable"},
		{name: "parked", method: "GET", path: "/v1/parked", auth: r.full, status: 503, code: "parked_unavailable"},
		{name: "a parked message", method: "GET", path: "/v1/parked/1", auth: r.full, status: 503, code: "parked_unavailable"},
		{name: "retry a parked message", method: "POST", path: "/v1/parked/1/retry", auth: r.full, status: 503, code: "parked_unavailable"},
		{name: "drop a parked message", method: "DELETE", path: "/v1/parked/1", auth: r.full, status: 503, code: "parked_unavailable"},
		{name: "audit", method: "GET", path: "/v1/audit", auth: r.full, status: 503, code: "history_unavailable"},
		{name: "checkpoints", method: "GET", path: "/v1/audit/checkpoints", auth: r.full, status: 503, code: "history_unavailable"},
		{name: "stored events", method: "GET", path: "/v1/audit/entries", auth: r.full, status: 503, code: "history_unavailable"},
		{name: "state", method: "GET", path: "/v1/state", auth: r.full, status: 503, code: "history_unavailable"},
		{name: "exposure", method: "GET", path: "/v1/exposure?event=1", auth: r.full, status: 503, code: "history_unavailable"},
		{name: "diff", method: "GET", path: "/v1/diff?from=1h", auth: r.full, status: 503, code: "history_unavailable"},
		{name: "stream", method: "GET", path: "/v1/revocations/stream", auth: r.full, status: 503, code: "stream_unavailable"},
		{name: "plan a replay", method: "POST", path: "/v1/replays", body: `{"target":{"kind":"file"}}`, auth: r.full, status: 503, code: "history_unavailable"},
		{name: "replays", method: "GET", path: "/v1/replays", auth: r.full, status: 503, code: "replays_unavailable"},
		{name: "a replay", method: "GET", path: someReplay, auth: r.full, status: 503, code: "replays_unavailable"},
		{name: "cancel a replay", method: "POST", path: someReplay + "/cancel", auth: r.full, status: 503, code: "replays_unavailable"},
		{name: "resume a replay", method: "POST", path: someReplay + "/resume", auth: r.full, status: 503, code: "replays_unavailable"},
		{name: "check", method: "GET", path: "/v1/check?session=a&user=b&auth_time=" + time.Now().UTC().Format(time.RFC3339), auth: r.full, status: 503, code: "session_undetermined"},
		{name: "check several", method: "POST", path: "/v1/check", body: `[{"session":"a"},{"session":"told"}]`, auth: r.full, status: 200},
		{name: "check a revoked one", method: "GET", path: "/v1/check?session=unread", auth: r.full, status: 401, code: "session_revoked"},
		{name: "tabs of a user", method: "GET", path: "/v1/users/ann/tabs?timeout=100ms", auth: r.full, status: 503, code: "gateways_unavailable"},
		{name: "replicas", method: "GET", path: "/v1/replicas", auth: r.full, status: 503, code: "replicas_unavailable"},
		{name: "exchange a ticket", method: "POST", path: "/v1/notices", body: `{"ticket":"` + ticket + `"}`, header: []string{"Origin", origin}, status: 503, code: "tickets_unavailable"},
		{name: "make a key", method: "POST", path: "/v1/keys", body: `{"tenant":"a","scopes":["read"]}`, auth: r.full, status: 503, code: "keys_unavailable"},
		{name: "revoke a key", method: "DELETE", path: "/v1/keys/0123456789abcdef", auth: r.full, status: 503, code: "keys_unavailable"},
	} {
		t.Run(x.method+" "+x.name, func(t *testing.T) { r.do(t, x) })
	}
}

// fresh reports whether the replica still has proof that it has applied everything.
func (r *rig) fresh(t *testing.T) bool {
	t.Helper()
	resp, err := r.client.Get(r.srv.AdminURL() + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var ready server.Readiness
	if err := json.NewDecoder(resp.Body).Decode(&ready); err != nil {
		t.Fatal(err)
	}
	return ready.Checks["replica"] == "ok"
}
