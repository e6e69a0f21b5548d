package contract

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const (
	session = `{"scope":"session","session":"s1","user":"ann"}`
	now     = `"2026-07-01T10:00:00.250Z"`
)

// TestContract makes every documented call for success and for each documented status. An operation or status that nothing here brings about
// fails the test at its end.
func TestContract(t *testing.T) {
	seen := map[string]int{}
	t.Run("alive", func(t *testing.T) {
		r := newRig(t, start(t, nil), seen)
		for _, x := range slices.Concat(r.revocations(t), r.sessions(), r.checks(t), r.others(), r.upkeep(t)) {
			t.Run(x.method+" "+x.name, func(t *testing.T) { r.do(t, x) })
		}
		t.Run("event of a check", r.testEvent)
		t.Run("keys", r.testKeys)
		t.Run("receipts", r.testReceipts)
		t.Run("replays", r.testReplays)
		t.Run("ended session", r.testEnded)
		t.Run("follow", r.testFollow)
		t.Run("audit", r.testAudit)
		t.Run("stream", r.testRevocationStream)
		t.Run("conns", r.testConns)
		t.Run("streams", r.testStreams)
	})
	t.Run("approvals", func(t *testing.T) { testApprovals(t, seen) })
	t.Run("without NATS", func(t *testing.T) { testWithoutNATS(t, seen) })
	if t.Failed() {
		return
	}
	for path, item := range load(t).Paths.Map() {
		for method, operation := range item.Operations() {
			for _, status := range slices.Sorted(maps.Keys(operation.Responses.Map())) {
				if status != "default" && seen[operation.OperationID+" "+status] == 0 {
					t.Errorf("%s %s is documented to answer with %s, and nothing here brings it about", method, path, status)
				}
			}
		}
	}
}

// refusals are those that every call with a body and a key knows.
func (r *rig) refusals(path, good string) []exchange {
	big := `{"` + strings.Repeat("x", 1<<20) + `":1}`
	// A call that neither key may make: check's for the publishing ones, publish's for the others.
	wrong := r.check
	if path == "/v1/check" {
		wrong = r.publish
	}
	return []exchange{
		{name: path + " without a key", method: "POST", path: path, body: good, status: 401, code: "api_key_missing"},
		{name: path + " with an unknown key", method: "POST", path: path, body: good, auth: "cfw_0123456789abcdef_" + strings.Repeat("0", 64), status: 401, code: "api_key_invalid"},
		{name: path + " without the scope", method: "POST", path: path, body: good, auth: wrong, status: 403, code: "api_key_scope"},
		{name: path + " no JSON", method: "POST", path: path, body: "{", auth: r.full, status: 400, code: "malformed_body"},
		{name: path + " unknown member", method: "POST", path: path, body: `{"tenant_id":"x"}`, auth: r.full, status: 400, code: "malformed_body"},
		{name: path + " too large", method: "POST", path: path, body: big, auth: r.full, status: 413, code: "body_too_large"},
		{name: path + " a form", method: "POST", path: path, body: good, auth: r.full, header: []string{"Content-Type", "text/plain"}, status: 415, code: "unsupported_media_type"},
	}
}

func (r *rig) revocations(t *testing.T) []exchange {
	t.Helper()
	event := fmt.Sprint("/v1/revocations/", r.revoke(t, "read").Position)
	const path, logout = "/v1/revocations", "/v1/users/ann/logout"
	future := `{"scope":"user","user":"a","cutoff":"2999-01-01T00:00:00Z"}`
	key := []string{"Idempotency-Key", "k1"}
	all := slices.Concat(r.refusals(path, session), r.refusals(logout, `{"scope":"everywhere"}`))
	return append(all, []exchange{
		{name: "revoke one", method: "POST", path: path + "?wait=stored&timeout=2s", body: session, auth: r.full, header: key, status: 200},
		{name: "again", method: "POST", path: path, body: session, auth: r.full, header: key, status: 200},
		{name: "another under its key", method: "POST", path: path, body: `{"scope":"session","session":"s2"}`, auth: r.full, header: key, status: 409, code: "idempotency_key_reused"},
		{name: "revoke all of a session", method: "POST", path: path, auth: r.full, status: 200,
			body: `{"scope":"session","session":"s1","user":"","device":"d","client":"c","cutoff":null,"auth_time":` + now + `,"session_expires_at":` + now + `,"reason":"policy","reason_admin":"a","reason_user":"b","initiator":{"type":"admin","id":"x"},"expires_at":` + now + `}`},
		{name: "revoke each scope", method: "POST", path: path, auth: r.full, status: 200,
			body: `[{"scope":"user","user":"bob","cutoff":` + now + `,"except":["x"],"known_sessions":["y"]},{"scope":"device","device":"d","user":"bob"},{"scope":"client","client":"c"}]`},
		{name: "revoke a tenant without admin", method: "POST", path: path, body: `{"scope":"tenant"}`, auth: r.publish, status: 403, code: "api_key_scope"},
		{name: "revoke nothing", method: "POST", path: path, body: `[]`, auth: r.full, status: 422, code: "invalid_request"},
		{name: "revoke too many", method: "POST", path: path, body: "[" + strings.Repeat(session+",", 1000) + session + "]", auth: r.full, status: 422, code: "invalid_request"},
		{name: "revoke without a target", method: "POST", path: path, body: `{"scope":"session"}`, auth: r.full, status: 422, code: "invalid_request"},
		{name: "revoke with a foreign member", method: "POST", path: path, body: `[{"scope":"session","session":"a","known_sessions":["b"]}]`, auth: r.full, status: 422, code: "invalid_request"},
		{name: "revoke an unknown scope", method: "POST", path: path, body: `{"scope":"world"}`, auth: r.full, status: 422, code: "invalid_request"},
		{name: "revoke a long id", method: "POST", path: path, body: `{"scope":"session","session":"` + strings.Repeat("x", 257) + `"}`, auth: r.full, status: 422, code: "invalid_request"},
		{name: "revoke a control character", method: "POST", path: path, body: `{"scope":"session","session":"a\u0000"}`, auth: r.full, status: 422, code: "invalid_request"},
		// JSON Schema knows no clock.
		{name: "revoke until the end of time", method: "POST", path: path, body: `{"scope":"client","client":"c","expires_at":"9999-01-01T00:00:00Z"}`, auth: r.full, status: 422, code: "invalid_request", beyond: true},
		{name: "revoke what never ends", method: "POST", path: path, body: `{"scope":"session","session":"a","session_expires_at":"9999-01-01T00:00:00Z"}`, auth: r.full, status: 200},
		{name: "revoke in the future", method: "POST", path: path, body: future, auth: r.full, status: 422, code: "invalid_request", beyond: true},
		{name: "wait for what isn't offered", method: "POST", path: path + "?wait=replicated", body: session, auth: r.full, status: 422, code: "unsupported_wait"},
		{name: "timeout", method: "POST", path: path + "?timeout=5m", body: session, auth: r.full, status: 422, code: "invalid_timeout"},
		// OpenAPI has no way to forbid parameters that it doesn't list.
		{name: "unknown parameter", method: "POST", path: path + "?tenant=x", body: session, auth: r.full, status: 400, code: "unknown_parameter", beyond: true},
		{name: "bad idempotency key", method: "POST", path: path, body: session, auth: r.full, header: []string{"Idempotency-Key", "a b"}, status: 400, code: "invalid_idempotency_key"},

		{name: "log out", method: "POST", path: logout, body: `{"scope":"everywhere","known_sessions":["a"],"reason":"password_changed"}`, auth: r.full, header: []string{"Idempotency-Key", "k2"}, status: 200},
		{name: "log out others under its key", method: "POST", path: logout, body: `{"scope":"others","current_session":"a"}`, auth: r.full, header: []string{"Idempotency-Key", "k2"}, status: 409, code: "idempotency_key_reused"},
		{name: "log out others", method: "POST", path: logout, body: `{"scope":"others","current_session":"a"}`, auth: r.full, status: 200},
		{name: "log out others without a session", method: "POST", path: logout, body: `{"scope":"others"}`, auth: r.full, status: 422, code: "invalid_request"},
		{name: "log out everywhere with a session", method: "POST", path: logout, body: `{"scope":"everywhere","current_session":"a"}`, auth: r.full, status: 422, code: "invalid_request"},

		{name: "history", method: "GET", path: path, auth: r.full, status: 200},
		{name: "history filtered", method: "GET", path: path + "?user=ann&scope=session&since=2h&after=0&limit=1&follow=false", auth: r.full, status: 200},
		{name: "history of nobody", method: "GET", path: path + "?user=nobody", auth: r.full, status: 200},
		{name: "history with a bad limit", method: "GET", path: path + "?limit=1001", auth: r.full, status: 400, code: "invalid_parameter"},
		{name: "history with an empty filter", method: "GET", path: path + "?scope=all", auth: r.full, status: 400, code: "invalid_parameter"},
		{name: "history from the newest", method: "GET", path: path + "?order=newest&limit=1&tenant=*&reason=admin&initiator=system&initiator_id=x&until=0s&before=99999&device=d&client=c&session=s", auth: r.full, status: 200},
		{name: "the newest", method: "GET", path: path + "?order=newest&limit=1", auth: r.full, status: 200},
		{name: "history of another tenant without the scope", method: "GET", path: path + "?tenant=globex", auth: r.read, status: 400, code: "invalid_parameter", beyond: true},
		{name: "history stats", method: "GET", path: path + "/stats?tenant=*", auth: r.full, status: 200},
		{name: "history stats of pages", method: "GET", path: path + "/stats?limit=1", auth: r.full, status: 400, code: "invalid_parameter", beyond: true},
		{name: "history stats without the scope", method: "GET", path: path + "/stats", auth: r.publish, status: 403, code: "api_key_scope"},
		{name: "an event that isn't there", method: "GET", path: path + "/999999999", auth: r.full, status: 404, code: "event_unknown"},
		{name: "an event by no id", method: "GET", path: path + "/x", auth: r.full, status: 400, code: "invalid_parameter", beyond: true},
		{name: "an event", method: "GET", path: event, auth: r.full, status: 200},
		{name: "an event without a key", method: "GET", path: event, status: 401, code: "api_key_missing"},
		{name: "an event without the scope", method: "GET", path: event, auth: r.publish, status: 403, code: "api_key_scope"},
		{name: "history stats without a key", method: "GET", path: path + "/stats", status: 401, code: "api_key_missing"},
		{name: "explain", method: "GET", path: "/v1/explain?session=read&user=ann&device=d&client=c&auth_time=2026-08-04T12:00:00Z&at=0s&tenant=default", auth: r.full, status: 200},
		{name: "explain what isn't over", method: "GET", path: "/v1/explain?user=nobody", auth: r.full, status: 200},
		{name: "state", method: "GET", path: "/v1/state?user=ann&tenant=default&scope=session&at=0s&limit=1", auth: r.full, status: 200},
		{name: "state of a tenant", method: "GET", path: "/v1/state?after=user:a", auth: r.full, status: 200},
		{name: "state at no time", method: "GET", path: "/v1/state?at=x", auth: r.full, status: 400, code: "invalid_parameter", beyond: true},
		{name: "state without a key", method: "GET", path: "/v1/state", status: 401, code: "api_key_missing"},
		{name: "state without the scope", method: "GET", path: "/v1/state", auth: r.publish, status: 403, code: "api_key_scope"},
		{name: "diff", method: "GET", path: "/v1/diff?user=ann&tenant=default&from=1h&to=0s&limit=1", auth: r.full, status: 200},
		{name: "diff of a tenant", method: "GET", path: "/v1/diff?from=1h&scope=session&after=user:a", auth: r.full, status: 200},
		{name: "diff from nowhere", method: "GET", path: "/v1/diff", auth: r.full, status: 400, code: "invalid_parameter"},
		{name: "diff without a key", method: "GET", path: "/v1/diff?from=1h", status: 401, code: "api_key_missing"},
		{name: "diff without the scope", method: "GET", path: "/v1/diff?from=1h", auth: r.publish, status: 403, code: "api_key_scope"},
		{name: "exposure", method: "GET", path: fmt.Sprint("/v1/exposure?tenant=*&session=read&timeout=100ms&event=", r.revoke(t, "exposed").Position), auth: r.full, status: 200},
		{name: "exposure by a reader", method: "GET", path: fmt.Sprint("/v1/exposure?event=", r.revoke(t, "exposed").Position), auth: r.read, status: 200},
		{name: "exposure of nothing", method: "GET", path: "/v1/exposure", auth: r.full, status: 400, code: "invalid_parameter"},
		{name: "exposure without a key", method: "GET", path: "/v1/exposure?event=1", status: 401, code: "api_key_missing"},
		{name: "exposure without the scope", method: "GET", path: "/v1/exposure?event=1", auth: r.publish, status: 403, code: "api_key_scope"},
		{name: "exposure of what isn't there", method: "GET", path: "/v1/exposure?event=99999999", auth: r.full, status: 404, code: "event_unknown"},
		{name: "explain nothing", method: "GET", path: "/v1/explain", auth: r.full, status: 400, code: "invalid_parameter", beyond: true},
		{name: "explain without a key", method: "GET", path: "/v1/explain?session=read", status: 401, code: "api_key_missing"},
		{name: "explain without the scope", method: "GET", path: "/v1/explain?session=read", auth: r.publish, status: 403, code: "api_key_scope"},
		{name: "history without a key", method: "GET", path: path, status: 401, code: "api_key_missing"},
		{name: "history without the scope", method: "GET", path: path, auth: r.publish, status: 403, code: "api_key_scope"},
		{name: "stream since nowhere", method: "GET", path: path + "/stream?since=x", auth: r.check, status: 400, code: "invalid_parameter"},
		{name: "stream after nothing", method: "GET", path: path + "/stream", auth: r.check, header: []string{"Last-Event-ID", "over"}, status: 400, code: "invalid_parameter"},
		{name: "stream without a key", method: "GET", path: path + "/stream", status: 401, code: "api_key_missing"},
		{name: "stream without the scope", method: "GET", path: path + "/stream", auth: r.publish, status: 403, code: "api_key_scope"},
	}...)
}

func (r *rig) sessions() []exchange {
	const path, touch, touches = "/v1/sessions", "/v1/sessions/here/touch", "/v1/sessions/touch"
	const list = "/v1/users/ida/sessions"
	all := slices.Concat(r.refusals(path, `{"user":"ida"}`), r.refusals(touches, `{"touches":[{"session":"here"}]}`), r.refusals(touch, `{}`))
	return append(all, []exchange{
		{name: "register", method: "POST", path: path, body: `{"user":"ida"}`, auth: r.full, header: []string{"Curfew-Position", "1"}, status: 201},
		{name: "register all of it", method: "POST", path: path, auth: r.full, status: 201,
			body: `{"session":"here","user":"ida","device":"d","client":"c","auth_time_ms":null,"user_agent":"Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0","ip":"203.0.113.7","expires_at":"2100-01-01T00:00:00Z"}`},
		{name: "register again", method: "POST", path: path, body: `{"session":"here","user":"ida"}`, auth: r.full, status: 200},
		{name: "register one too many", method: "POST", path: path, body: `{"user":"ida"}`, auth: r.full, status: 429, code: "too_many_sessions"},
		{name: "register another's", method: "POST", path: path, body: `{"session":"here","user":"eve"}`, auth: r.full, status: 409, code: "session_of_another_user"},
		{name: "register a revoked one", method: "POST", path: path, body: `{"session":"s1","user":"ann"}`, auth: r.full, status: 409, code: "session_ended"},
		{name: "register nobody's", method: "POST", path: path, body: `{"session":"x"}`, auth: r.full, status: 422, code: "invalid_request"},
		{name: "register from nowhere", method: "POST", path: path, body: `{"user":"ida","ip":"localhost"}`, auth: r.full, status: 422, code: "invalid_request", beyond: true},
		{name: "register at a bad position", method: "POST", path: path, body: `{"user":"ida"}`, auth: r.full, header: []string{"Curfew-Position", "x"}, status: 400, code: "invalid_position"},
		{name: "touch", method: "POST", path: touch, body: `{"at_ms":1}`, auth: r.full, status: 200},
		{name: "touch now", method: "POST", path: touch, auth: r.full, status: 200},
		{name: "touch an unknown one", method: "POST", path: "/v1/sessions/nowhere/touch", auth: r.full, status: 404, code: "session_unknown"},
		{name: "touch nothing", method: "POST", path: "/v1/sessions/" + strings.Repeat("x", 257) + "/touch", auth: r.full, status: 422, code: "invalid_request"},
		{name: "touch several", method: "POST", path: touches, body: `{"touches":[{"session":"here","at_ms":2},{"session":"nowhere"}]}`, auth: r.full, status: 200},
		{name: "touch none", method: "POST", path: touches, body: `{"touches":[]}`, auth: r.full, status: 422, code: "invalid_request"},
		{name: "list", method: "GET", path: list + "?current=here&ended=true&limit=10", auth: r.full, status: 200},
		{name: "list nobody's", method: "GET", path: "/v1/users/nobody/sessions", auth: r.full, status: 200},
		{name: "list with too much", method: "GET", path: list + "?limit=1001", auth: r.full, status: 422, code: "invalid_request"},
		{name: "list with something else", method: "GET", path: list + "?tenant=x", auth: r.full, status: 400, code: "unknown_parameter", beyond: true},
		{name: "list without a key", method: "GET", path: list, status: 401, code: "api_key_missing"},
		{name: "list without the scope", method: "GET", path: list, auth: r.publish, status: 403, code: "api_key_scope"},
		{name: "one session", method: "GET", path: path + "/here", auth: r.full, status: 200},
		{name: "no session", method: "GET", path: path + "/nowhere", auth: r.full, status: 404, code: "session_unknown"},
		{name: "a session that can't be", method: "GET", path: path + "/" + strings.Repeat("x", 257), auth: r.full, status: 422, code: "invalid_request"},
		{name: "a session without a key", method: "GET", path: path + "/here", status: 401, code: "api_key_missing"},
		{name: "a session without the scope", method: "GET", path: path + "/here", auth: r.publish, status: 403, code: "api_key_scope"},
		{name: "end", method: "DELETE", path: path + "/here?timeout=3s", body: `{"reason":"admin","reason_user":"Ask Ida."}`, auth: r.full, header: []string{"Idempotency-Key", "e1"}, status: 200},
		{name: "end another under its key", method: "DELETE", path: path + "/there", auth: r.full, header: []string{"Idempotency-Key", "e1"}, status: 409, code: "idempotency_key_reused"},
		{name: "end one that isn't registered", method: "DELETE", path: path + "/nowhere", auth: r.full, status: 200},
		{name: "end for a reason that there isn't", method: "DELETE", path: path + "/here", body: `{"reason":"whim"}`, auth: r.full, status: 422, code: "invalid_request"},
		{name: "end no JSON", method: "DELETE", path: path + "/here", body: `{`, auth: r.full, status: 400, code: "malformed_body"},
		{name: "end too much", method: "DELETE", path: path + "/here", body: `{"` + strings.Repeat("x", 1<<20) + `":1}`, auth: r.full, status: 413, code: "body_too_large"},
		{name: "end a form", method: "DELETE", path: path + "/here", body: `{}`, auth: r.full, header: []string{"Content-Type", "text/plain"}, status: 415, code: "unsupported_media_type"},
		{name: "end without a key", method: "DELETE", path: path + "/here", status: 401, code: "api_key_missing"},
		{name: "end without the scope", method: "DELETE", path: path + "/here", auth: r.check, status: 403, code: "api_key_scope"},
	}...)
}

func (r *rig) checks(t *testing.T) []exchange {
	const path, forward = "/v1/check", "/v1/forward-auth"
	alive := "?session=alive&user=eve&auth_time=2026-07-30T10:00:00Z&max_staleness_ms=60000&position=1&device=eve-phone&client=shop"
	recent := time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)
	alive = strings.Replace(alive, "2026-07-30T10:00:00Z", recent, 1)
	question := `{"session":"alive","user":"eve","auth_time":"` + recent + `","max_staleness_ms":60000,"position":1,"dangerously_allow_missing":["user"]}`
	return append(r.refusals(path, question), []exchange{
		{name: "check an active one", method: "GET", path: path + alive, auth: r.full, header: []string{"Curfew-Position", "1"}, status: 200},
		{name: "check with less", method: "GET", path: path + "?session=alive&dangerously_allow_missing=user,auth_time", auth: r.full, status: 200},
		{name: "check a revoked one", method: "GET", path: path + "?session=s1&user=ann&auth_time=" + recent, auth: r.full, status: 401, code: "session_revoked"},
		{name: "check one past max age", method: "GET", path: path + "?session=old&user=eve&auth_time=2001-01-01T00:00:00Z", auth: r.full, status: 401, code: "session_revoked"},
		{name: "check without a key", method: "GET", path: path, status: 401, code: "api_key_missing"},
		{name: "check without the scope", method: "GET", path: path, auth: r.publish, status: 403, code: "api_key_scope"},
		{name: "check nobody", method: "GET", path: path + "?user=eve", auth: r.full, status: 422, code: "session_claims_missing", beyond: true},
		{name: "check one of the future", method: "GET", path: path + "?session=z&user=eve&auth_time=2999-01-01T00:00:00Z", auth: r.full, status: 422, code: "session_claims_invalid", beyond: true},
		{name: "check with a bad budget", method: "GET", path: path + "?session=a&max_staleness_ms=0", auth: r.full, status: 422, code: "invalid_request"},
		{name: "check at a bad time", method: "GET", path: path + "?session=a&auth_time=x", auth: r.full, status: 400, code: "invalid_parameter"},
		{name: "check at a bad position", method: "GET", path: path, auth: r.full, header: []string{"Curfew-Position", "x"}, status: 400, code: "invalid_position"},
		{name: "check what isn't applied", method: "GET", path: path + alive + "&dangerously_allow_missing=user", auth: r.full, header: []string{"Curfew-Position", "999999"}, status: 503, code: "session_undetermined"},

		{name: "check one", method: "POST", path: path, body: question, auth: r.full, status: 200},
		{name: "check several", method: "POST", path: path, body: "[" + question + `,{"session":"s1"},{},{"session":"old","user":"a","auth_time":"2001-01-01T00:00:00Z"}]`, auth: r.full, header: []string{"Curfew-Position", "1"}, status: 200},
		{name: "check none", method: "POST", path: path, body: "[]", auth: r.full, status: 200},
		{name: "check too many", method: "POST", path: path, body: "[" + strings.Repeat("{},", 1000) + "{}]", auth: r.full, status: 422, code: "invalid_request"},
		{name: "check a bad question", method: "POST", path: path, body: `[{"session":"a"},{"dangerously_allow_missing":["everything"]}]`, auth: r.full, status: 422, code: "invalid_request"},

		{name: "replicas", method: "GET", path: "/v1/replicas", auth: r.full, status: 200},
		{name: "replicas about a session", method: "GET", path: "/v1/replicas?session=s1&user=ann&device=d&client=c&timeout=100ms&auth_time=" + recent, auth: r.full, status: 200},
		{name: "replicas at a bad time", method: "GET", path: "/v1/replicas?auth_time=x", auth: r.full, status: 400, code: "invalid_parameter"},
		{name: "replicas for a minute", method: "GET", path: "/v1/replicas?timeout=1m", auth: r.full, status: 422, code: "invalid_timeout", beyond: true},
		{name: "replicas about who can't be", method: "GET", path: "/v1/replicas?user=" + strings.Repeat("x", 257), auth: r.full, status: 422, code: "invalid_request"},
		{name: "replicas without a key", method: "GET", path: "/v1/replicas", status: 401, code: "api_key_missing"},
		{name: "replicas without the scope", method: "GET", path: "/v1/replicas", auth: r.publish, status: 403, code: "api_key_scope"},
		{name: "forward an active one", method: "GET", path: forward, auth: accessToken(t, "alive", map[string]any{"sub": "eve"}), header: []string{"Curfew-Position", "1"}, status: 200},
		{name: "forward a revoked one", method: "GET", path: forward, auth: accessToken(t, "s1", nil), status: 401, code: "session_revoked"},
		{name: "forward none", method: "GET", path: forward, status: 401, code: "session_required"},
		{name: "forward a bad token", method: "GET", path: forward, auth: "x.y.z", status: 401, code: "invalid_token"},
		{name: "forward a token without a session", method: "GET", path: forward, auth: accessToken(t, "", map[string]any{"sid": nil, "sub": "eve"}), status: 401, code: "session_claims_missing"},
		{name: "forward at a bad position", method: "GET", path: forward, auth: accessToken(t, "alive", nil), header: []string{"Curfew-Position", "x"}, status: 400, code: "invalid_position"},
	}...)
}

func (r *rig) others() []exchange {
	const tickets, keys, notices, acks = "/v1/tickets", "/v1/keys", "/v1/notices", "/v1/notices/acks"
	page, elsewhere, big := []string{"Origin", origin}, []string{"Origin", "https://evil.example"}, `{"`+strings.Repeat("x", 1<<20)+`":1}`
	ticket, key := `{"user":"eve","session":"alive","auth_time":`+now+`}`, `{"name":"ci","tenant":"globex","scopes":["read"]}`
	return append(slices.Concat(r.refusals(tickets, ticket), r.refusals(keys, key)), []exchange{
		{name: "ticket", method: "POST", path: tickets, body: strings.Replace(ticket, "}", `,"device":"d","client":"c","origin":"`+origin+`"}`, 1), auth: r.full, status: 200},
		{name: "ticket of a session that ends", method: "POST", path: tickets, body: strings.Replace(ticket, "}", `,"session_expires_at":"2100-01-01T00:00:00Z"}`, 1), auth: r.full, status: 200},
		{name: "ticket without an auth time", method: "POST", path: tickets, body: `{"user":"eve","session":"alive"}`, auth: r.full, status: 422, code: "invalid_request"},
		{name: "ticket for nobody", method: "POST", path: tickets, body: `{"user":"","session":"alive","auth_time":` + now + `}`, auth: r.full, status: 422, code: "invalid_request"},

		{name: "keys without a key", method: "GET", path: keys, status: 401, code: "api_key_missing"},
		{name: "keys without the scope", method: "GET", path: keys, auth: r.publish, status: 403, code: "api_key_scope"},
		{name: "key of another tenant", method: "POST", path: keys, body: key, auth: r.admin, status: 403, code: "api_key_scope"},
		{name: "key with more than one's own scopes", method: "POST", path: keys, body: `{"tenant":"acme","scopes":["operator"]}`, auth: r.admin, status: 403, code: "api_key_scope"},
		{name: "key of one's own tenant", method: "POST", path: keys, body: `{"tenant":"acme","scopes":["admin"]}`, auth: r.admin, status: 201},
		{name: "keys of one's own tenant", method: "GET", path: keys, auth: r.admin, status: 200},
		{name: "key for no tenant", method: "POST", path: keys, body: `{"tenant":"*","scopes":["read"]}`, auth: r.full, status: 422, code: "invalid_request"},
		{name: "key for nothing", method: "POST", path: keys, body: `{"tenant":"a","scopes":[]}`, auth: r.full, status: 422, code: "invalid_request"},
		{name: "revoke an unknown key", method: "DELETE", path: keys + "/0123456789abcdef", auth: r.full, status: 404, code: "no_such_key"},
		{name: "revoke a key without one", method: "DELETE", path: keys + "/x", status: 401, code: "api_key_missing"},
		{name: "revoke a key without the scope", method: "DELETE", path: keys + "/x", auth: r.publish, status: 403, code: "api_key_scope"},

		{name: "health", method: "GET", path: "/healthz", status: 200},
		{name: "readiness", method: "GET", path: "/readyz", status: 200},
		{name: "doctor", method: "GET", path: "/doctor", status: 200},
		{name: "metrics", method: "GET", path: "/metrics", status: 200},

		{name: "tabs of a user", method: "GET", path: "/v1/users/ann/tabs?timeout=500ms", auth: r.full, status: 200},
		{name: "tabs with an unknown parameter", method: "GET", path: "/v1/users/ann/tabs?tenant=x", auth: r.full, status: 400, code: "unknown_parameter", beyond: true},
		{name: "tabs without a key", method: "GET", path: "/v1/users/ann/tabs", status: 401, code: "api_key_missing"},
		{name: "tabs without the scope", method: "GET", path: "/v1/users/ann/tabs", auth: r.publish, status: 403, code: "api_key_scope"},
		{name: "tabs of who can't be", method: "GET", path: "/v1/users/" + strings.Repeat("x", 257) + "/tabs", auth: r.full, status: 422, code: "invalid_request"},
		{name: "tabs in a minute", method: "GET", path: "/v1/users/ann/tabs?timeout=1m", auth: r.full, status: 422, code: "invalid_timeout", beyond: true},
		{name: "a stream without a pass", method: "GET", path: notices, header: page, status: 401, code: "pass_missing"},
		{name: "a stream from elsewhere", method: "GET", path: notices, header: elsewhere, status: 403, code: "origin_not_allowed"},
		{name: "may a page call", method: "OPTIONS", path: notices, header: page, status: 204},
		{name: "may a page elsewhere call", method: "OPTIONS", path: notices, header: elsewhere, status: 403, code: "origin_not_allowed"},
		{name: "may a page acknowledge", method: "OPTIONS", path: acks, header: page, status: 204},
		{name: "may a page elsewhere acknowledge", method: "OPTIONS", path: acks, header: elsewhere, status: 403, code: "origin_not_allowed"},
		{name: "exchange no ticket", method: "POST", path: notices, body: `{"ticket":""}`, header: page, status: 422, code: "invalid_request"},
		{name: "exchange a bad ticket", method: "POST", path: notices, body: `{"ticket":"x.y"}`, header: page, status: 401, code: "ticket_refused"},
		{name: "exchange from elsewhere", method: "POST", path: notices, body: `{"ticket":"x.y"}`, header: elsewhere, status: 403, code: "origin_not_allowed"},
		{name: "exchange no JSON", method: "POST", path: notices, body: `{`, header: page, status: 400, code: "malformed_body"},
		{name: "exchange too much", method: "POST", path: notices, body: big, header: page, status: 413, code: "body_too_large"},
		{name: "exchange a form", method: "POST", path: notices, body: `{"ticket":"x"}`, header: []string{"Content-Type", "text/plain"}, status: 415, code: "unsupported_media_type"},
		// Whether a name is that of a stream its signature says.
		{name: "acknowledge on no stream", method: "POST", path: acks, body: `{"stream":"x.y","id":"e","outcome":"signed_out"}`, header: page, status: 422, code: "invalid_request", beyond: true},
		{name: "acknowledge without an outcome", method: "POST", path: acks, body: `{"stream":"x.y","id":"e","outcome":""}`, header: page, status: 422, code: "invalid_request"},
		{name: "acknowledge from elsewhere", method: "POST", path: acks, body: `{"stream":"x.y","id":"e","outcome":"signed_out"}`, header: elsewhere, status: 403, code: "origin_not_allowed"},
		{name: "acknowledge without JSON", method: "POST", path: acks, body: `{`, header: page, status: 400, code: "malformed_body"},
		{name: "acknowledge too much", method: "POST", path: acks, body: big, header: page, status: 413, code: "body_too_large"},
		{name: "acknowledge by a form", method: "POST", path: acks, body: `{"stream":"x","id":"e","outcome":"signed_out"}`, header: []string{"Content-Type", "text/plain"}, status: 415, code: "unsupported_media_type"},

		{name: "connect with a bad ticket", method: "GET", path: "/v1/connect", header: []string{"Upgrade", "websocket", "Connection", "Upgrade", "Sec-WebSocket-Protocol", "curfew.v1, ticket.x.y"}, status: 401, code: "ticket_refused"},
		{name: "connect without a subprotocol", method: "GET", path: "/v1/connect", status: 400, code: "subprotocol_missing"},
		// A handshake needs headers that HTTP doesn't leave to OpenAPI.
		{name: "connect without a handshake", method: "GET", path: "/v1/connect", header: []string{"Sec-WebSocket-Protocol", "curfew.v1"}, status: 400, code: "no_websocket", beyond: true},
		{name: "connect from elsewhere", method: "GET", path: "/v1/connect", header: []string{"Sec-WebSocket-Protocol", "curfew.v1", "Origin", "https://evil.example"}, status: 403, code: "origin_not_allowed"},
		{name: "connect with another version", method: "GET", path: "/v1/connect", status: 426, header: []string{"Sec-WebSocket-Protocol", "curfew.v1", "Connection", "Upgrade",
			"Upgrade", "websocket", "Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version", "12"}},
	}...)
}

// testEvent revokes a session, and finds the event in the answers about it.
func (r *rig) testEvent(t *testing.T) {
	want := r.revoke(t, "told")
	if diff := cmp.Diff(want, r.checkRevoked(t, want.Position)); diff != "" {
		t.Errorf("the check tells of another event (-revoked +checked):\n%s", diff)
	}
	body := r.do(t, exchange{method: "POST", path: "/v1/check", body: `[{"session":"told"},{"session":"alive"}]`, auth: r.full, status: 200})
	var batch struct{ Decisions []verdict }
	if err := json.Unmarshal(body, &batch); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]told{want, {}}, []told{batch.Decisions[0].told(), batch.Decisions[1].told()}); diff != "" {
		t.Errorf("the batch tells of other events (-revoked +checked):\n%s", diff)
	}
}

// told is an event, as a receipt or an answer about a session tells it.
type told struct {
	ID       string
	Time     time.Time
	Position uint64
}

type verdict struct {
	State, Event string
	At           time.Time
	Position     uint64 `json:"event_position"`
}

func (v verdict) told() told { return told{v.Event, v.At, v.Position} }

// revoke revokes a session.
func (r *rig) revoke(t *testing.T, session string) told {
	t.Helper()
	var made told
	body := r.do(t, exchange{method: "POST", path: "/v1/revocations", body: `{"scope":"session","session":"` + session + `"}`, auth: r.full, status: 200})
	if err := json.Unmarshal(body, &made); err != nil {
		t.Fatal(err)
	}
	return made
}

// checkRevoked asks for the session told once the gate has got to a position, and returns what the answer tells of the event.
func (r *rig) checkRevoked(t *testing.T, position uint64) told {
	t.Helper()
	body := r.do(t, exchange{
		method: "GET", path: "/v1/check?session=told&dangerously_allow_missing=user,auth_time", auth: r.full,
		header: []string{"Curfew-Position", fmt.Sprint(position)}, status: 401, code: "session_revoked",
	})
	var v verdict
	if err := json.Unmarshal(body, &v); err != nil {
		t.Fatal(err)
	}
	return v.told()
}

func (r *rig) testKeys(t *testing.T) {
	var made struct{ ID, Key string }
	body := r.do(t, exchange{method: "POST", path: "/v1/keys", body: `{"name":"ci","tenant":"globex","scopes":["publish","admin"]}`, auth: r.full, status: 201})
	if err := json.Unmarshal(body, &made); err != nil {
		t.Fatal(err)
	}
	r.do(t, exchange{method: "POST", path: "/v1/revocations", body: session, auth: made.Key, status: 200})
	r.do(t, exchange{method: "DELETE", path: "/v1/keys/" + made.ID, auth: r.admin, status: 404, code: "no_such_key"})
	for range 2 {
		r.do(t, exchange{method: "DELETE", path: "/v1/keys/" + made.ID, auth: r.full, status: 200})
	}
	r.do(t, exchange{method: "POST", path: "/v1/revocations", body: session, auth: made.Key, status: 401, code: "api_key_invalid"})
	r.do(t, exchange{method: "GET", path: "/v1/keys", auth: r.full, status: 200})
}

// testEnded touches a session once the registry has been told that it is over.
func (r *rig) testEnded(t *testing.T) {
	const path = "/v1/sessions/here"
	for deadline := time.Now().Add(20 * time.Second); ; {
		var seen struct {
			State   string
			EndedAt time.Time `json:"ended_at"`
		}
		if err := json.Unmarshal(r.do(t, exchange{method: "GET", path: path, auth: r.full, status: 200}), &seen); err != nil {
			t.Fatal(err)
		}
		if seen.State == "ended" && !seen.EndedAt.IsZero() {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the registry isn't told: %+v", seen)
		}
	}
	r.do(t, exchange{method: "POST", path: path + "/touch", auth: r.full, status: 409, code: "session_ended"})
}
