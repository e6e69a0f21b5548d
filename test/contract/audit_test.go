package contract

import (
	"bufio"
	"encoding/json"
	"net/http"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/chain"
	"github.com/curfewhq/curfew/internal/signing"
)

// testAudit asks for what the chain is made of.
func (r *rig) testAudit(t *testing.T) {
	for _, path := range []string{"/v1/audit", "/v1/audit/checkpoints", "/v1/audit/entries"} {
		r.do(t, exchange{name: "without a key", method: "GET", path: path, status: 401, code: "api_key_missing"})
		r.do(t, exchange{name: "without a scope", method: "GET", path: path, auth: r.publish, status: 403, code: "api_key_scope"})
		r.do(t, exchange{name: "of a tenant's reader", method: "GET", path: path, auth: r.read, status: 403, code: "api_key_scope"})
		r.do(t, exchange{name: "with a parameter that there isn't", method: "GET", path: path + "?tenant=acme", auth: r.full, status: 400, code: "invalid_parameter", beyond: true})
	}
	r.do(t, exchange{method: "GET", path: "/v1/audit/entries?after=x", auth: r.full, status: 400, code: "invalid_parameter"})
	r.revoke(t, "audited")
	if n := r.lines(t, "/v1/audit/entries", "?after=1"); n == 0 {
		t.Error("the ledger holds no events")
	}
	r.checkpoint(t)
	if n := r.lines(t, "/v1/audit/checkpoints", "?after=0"); n == 0 {
		t.Error("there is no checkpoint")
	}
	r.do(t, exchange{method: "GET", path: "/v1/audit", auth: r.full, status: 200})
}

// checkpoint puts one there. The server's own first comes once the time is over for which another process might have been elected.
func (r *rig) checkpoint(t *testing.T) {
	t.Helper()
	kv, err := r.srv.Bus().KeyValue(t.Context(), bus.SecretsBucket())
	if err != nil {
		t.Fatal(err)
	}
	keys, err := signing.Open(t.Context(), kv)
	if err != nil {
		t.Fatal(err)
	}
	_, number, err := r.srv.Bus().LastCheckpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	token, err := keys.Sign(chain.Type, []byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.srv.Bus().AppendCheckpoint(t.Context(), []byte(token), number); err != nil {
		t.Fatal(err)
	}
}

// lines holds each line of an answer to the document, and returns how many there are: kin-openapi knows no NDJSON.
func (r *rig) lines(t *testing.T, path, query string) (n int) {
	t.Helper()
	resp := r.open(t.Context(), t, path+query)
	defer resp.Body.Close()
	operation := r.doc.Paths.Find(path).Get
	media := operation.Responses.Status(resp.StatusCode).Value.Content.Get(resp.Header.Get("Content-Type"))
	if resp.StatusCode != http.StatusOK || media == nil || resp.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%s: %d %v", path, resp.StatusCode, resp.Header)
	}
	lines := bufio.NewScanner(resp.Body)
	for lines.Buffer(nil, 1<<20); lines.Scan(); n++ {
		var v any
		if err := json.Unmarshal(lines.Bytes(), &v); err != nil {
			t.Fatal(err)
		}
		if err := media.Schema.Value.VisitJSON(v, openapi3.EnableJSONSchema2020()); err != nil {
			t.Errorf("a line isn't as documented: %v", err)
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	r.seen[operation.OperationID+" 200"]++
	return n
}
