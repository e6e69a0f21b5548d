package contract

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"
)

func (r *rig) testReceipts(t *testing.T) {
	var stored struct {
		ID       string
		Position uint64
		Receipt  struct{ Complete bool }
	}
	answer := r.do(t, exchange{method: "POST", path: "/v1/revocations?wait=applied&timeout=10s", body: session, auth: r.full, status: 200})
	if err := json.Unmarshal(answer, &stored); err != nil || !stored.Receipt.Complete {
		t.Fatalf("%s: %v", answer, err)
	}
	unwaited := r.revoke(t, "unwaited")
	r.do(t, exchange{method: "POST", path: "/v1/revocations?wait=shown&timeout=10s", body: "[" + session + "," + session + "]", auth: r.full, status: 200})
	r.do(t, exchange{method: "POST", path: "/v1/users/ann/logout?wait=shown&timeout=10s", body: `{"scope":"everywhere"}`, auth: r.full, status: 200})
	r.do(t, exchange{method: "DELETE", path: "/v1/sessions/waited?wait=applied&timeout=10s", auth: r.publish, status: 200})
	path := "/v1/receipts/" + stored.ID
	r.kept(t, path)
	for _, x := range []exchange{
		{name: "one that is kept", path: path, auth: r.full, status: 200},
		{name: "what is shown, anew", path: path + "?wait=shown&timeout=10s", auth: r.full, status: 200},
		{name: "one at another position", path: fmt.Sprintf("/v1/receipts/%s?wait=applied&position=%d", unwaited.ID, stored.Position), auth: r.full, status: 404, code: "receipt_not_found"},
		{name: "one that nobody waited for", path: fmt.Sprintf("/v1/receipts/%s?wait=applied&position=%d", unwaited.ID, unwaited.Position), auth: r.full, status: 200},
		{name: "none", path: "/v1/receipts/01980b5c-58d4-7cc1-8a2b-1f0e9d3c4b5a", auth: r.full, status: 404, code: "receipt_not_found"},
		{name: "no event", path: "/v1/receipts/none", auth: r.full, status: 422, code: "invalid_request", beyond: true},
		{name: "another wait", path: path + "?wait=stored", auth: r.full, status: 422, code: "unsupported_wait", beyond: true},
		{name: "no timeout", path: path + "?timeout=1h", auth: r.full, status: 422, code: "invalid_timeout", beyond: true},
		{name: "no position", path: path + "?position=0", auth: r.full, status: 422, code: "invalid_request", beyond: true},
		{name: "unknown parameter", path: path + "?x=1", auth: r.full, status: 400, code: "unknown_parameter", beyond: true},
		{name: "one without a key", path: path, status: 401, code: "api_key_missing"},
		{name: "one without the scope", path: path, auth: r.publish, status: 403, code: "api_key_scope"},
		{name: "the list", path: "/v1/receipts?limit=2", auth: r.full, status: 200},
		{name: "the list's next page", path: "/v1/receipts?limit=2&before=2", auth: r.full, status: 200},
		{name: "too long a list", path: "/v1/receipts?limit=201", auth: r.full, status: 422, code: "invalid_request", beyond: true},
		{name: "a list before nothing", path: "/v1/receipts?before=0", auth: r.full, status: 422, code: "invalid_request", beyond: true},
		{name: "a list with an unknown parameter", path: "/v1/receipts?x=1", auth: r.full, status: 400, code: "unknown_parameter", beyond: true},
		{name: "the list without a key", path: "/v1/receipts", status: 401, code: "api_key_missing"},
		{name: "the list without the scope", path: "/v1/receipts", auth: r.publish, status: 403, code: "api_key_scope"},
		{name: "the keys", path: "/v1/receipts/keys", auth: r.full, status: 200},
		{name: "the keys without a key", path: "/v1/receipts/keys", status: 401, code: "api_key_missing"},
		{name: "the keys without the scope", path: "/v1/receipts/keys", auth: r.publish, status: 403, code: "api_key_scope"},
	} {
		x.method = "GET"
		t.Run(x.name, func(t *testing.T) { r.do(t, x) })
	}
}

// kept waits until a receipt is kept, which happens behind the answer.
func (r *rig) kept(t *testing.T, path string) {
	t.Helper()
	probe := time.NewTicker(10 * time.Millisecond)
	defer probe.Stop()
	for deadline := time.Now().Add(20 * time.Second); ; <-probe.C {
		resp := r.get(t, path)
		if resp == 200 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the receipt isn't kept: %d", resp)
		}
	}
}

// get makes a call that isn't held to the contract, and returns its status.
func (r *rig) get(t *testing.T, path string) int {
	t.Helper()
	resp := r.open(t.Context(), t, path)
	defer resp.Body.Close()
	return resp.StatusCode
}
