package contract

import (
	"encoding/json"
	"testing"

	"github.com/curfewhq/curfew/internal/config"
)

func testApprovals(t *testing.T, seen map[string]int) {
	r := newRig(t, start(t, func(c *config.Config) { c.Approval.ThresholdSessions = 1 }), seen)
	const preview, approvals, none = "/v1/revocations/preview", "/v1/approvals", "/v1/approvals/0011223344556677"
	for _, x := range r.refusals(preview, session) {
		t.Run(x.name, func(t *testing.T) { r.do(t, x) })
	}
	r.do(t, exchange{method: "POST", path: "/v1/sessions", body: `{"user":"ida","client":"c"}`, auth: r.full, status: 201})
	ask := func() string {
		t.Helper()
		var held struct{ Approval struct{ ID string } }
		body := `{"scope":"tenant","tenant":"acme","reason_admin":"drill","cutoff":"2026-01-01T00:00:00Z"}`
		if err := json.Unmarshal(r.do(t, exchange{method: "POST", path: "/v1/revocations", body: body, auth: r.full, status: 202}), &held); err != nil {
			t.Fatal(err)
		}
		return approvals + "/" + held.Approval.ID
	}
	one, two := ask(), ask()
	for _, x := range []exchange{
		{name: "preview a session", method: "POST", path: preview, body: session, auth: r.full, status: 200},
		{name: "preview a tenant", method: "POST", path: preview, body: `{"scope":"tenant"}`, auth: r.full, status: 200},
		{name: "preview a tenant without admin", method: "POST", path: preview, body: `{"scope":"tenant"}`, auth: r.publish, status: 403, code: "api_key_scope"},
		{name: "preview another's tenant", method: "POST", path: preview, body: `{"scope":"tenant","tenant":"globex"}`, auth: r.full, status: 422, code: "invalid_request", beyond: true},
		{name: "preview several", method: "POST", path: preview, body: "[" + session + "]", auth: r.full, status: 400, code: "malformed_body"},
		{name: "preview with a parameter", method: "POST", path: preview + "?x=1", body: session, auth: r.full, status: 400, code: "unknown_parameter", beyond: true},
		{name: "an array with a tenant", method: "POST", path: "/v1/revocations", body: `[{"scope":"tenant"}]`, auth: r.full, status: 422, code: "invalid_request", beyond: true},
		{name: "list", method: "GET", path: approvals, auth: r.admin, status: 200},
		{name: "list without a key", method: "GET", path: approvals, status: 401, code: "api_key_missing"},
		{name: "list without the scope", method: "GET", path: approvals, auth: r.read, status: 403, code: "api_key_scope"},
		{name: "show", method: "GET", path: one, auth: r.admin, status: 200},
		{name: "show none", method: "GET", path: none, auth: r.admin, status: 404, code: "approval_not_found"},
		{name: "show without a key", method: "GET", path: one, status: 401, code: "api_key_missing"},
		{name: "show without the scope", method: "GET", path: one, auth: r.read, status: 403, code: "api_key_scope"},
		{name: "approve one's own", method: "POST", path: one + "/approve", auth: r.full, status: 409, code: "approval_own"},
		{name: "approve none", method: "POST", path: none + "/approve", auth: r.admin, status: 404, code: "approval_not_found"},
		{name: "approve without a key", method: "POST", path: one + "/approve", status: 401, code: "api_key_missing"},
		{name: "approve without the scope", method: "POST", path: one + "/approve", auth: r.publish, status: 403, code: "api_key_scope"},
		{name: "approve with an unknown parameter", method: "POST", path: one + "/approve?x=1", auth: r.admin, status: 400, code: "unknown_parameter", beyond: true},
		{name: "approve with a bad timeout", method: "POST", path: one + "/approve?timeout=1h", auth: r.admin, status: 422, code: "invalid_timeout"},
		{name: "reject", method: "DELETE", path: two, auth: r.admin, status: 200},
		{name: "approve what is rejected", method: "POST", path: two + "/approve", auth: r.admin, status: 409, code: "approval_rejected"},
		{name: "reject none", method: "DELETE", path: none, auth: r.admin, status: 404, code: "approval_not_found"},
		{name: "reject without a key", method: "DELETE", path: one, status: 401, code: "api_key_missing"},
		{name: "reject without the scope", method: "DELETE", path: one, auth: r.read, status: 403, code: "api_key_scope"},
		{name: "approve", method: "POST", path: one + "/approve?wait=applied&timeout=10s", auth: r.admin, status: 200},
		{name: "approve again", method: "POST", path: one + "/approve", auth: r.admin, status: 200},
		{name: "show what is stored", method: "GET", path: one, auth: r.admin, status: 200},
		{name: "reject what is stored", method: "DELETE", path: one, auth: r.admin, status: 409, code: "approval_decided"},
	} {
		t.Run(x.method+" "+x.name, func(t *testing.T) { r.do(t, x) })
	}
}
