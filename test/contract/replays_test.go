package contract

import (
	"encoding/json"
	"testing"

	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/services/replay"
)

// someReplay is one that there isn't.
const someReplay = "/v1/replays/01a222ce-f410-77d9-af45-200a1753b54d"

// testReplays makes the calls for replays. What is begun here waits: no process has the lease yet, or the rate is low.
func (r *rig) testReplays(t *testing.T) {
	const path = "/v1/replays"
	const plan = `{"target":{"kind":"webhook","url":"https://receiver.example.com/x"},"filter":{"user":"ann","since":"2h","scope":"session","after":1}}`
	for _, x := range append(r.refusals(path, plan),
		exchange{name: "plan", method: "POST", path: path, body: plan, auth: r.full, status: 200},
		exchange{name: "plan of everything", method: "POST", path: path, body: `{"target":{"kind":"replicas"},"execute":false}`, auth: r.full, status: 200},
		exchange{name: "another kind's member", method: "POST", path: path, body: `{"target":{"kind":"file","url":"https://a.example"}}`, auth: r.full, status: 422, code: "invalid_request"},
		exchange{name: "a kind that there isn't", method: "POST", path: path, body: `{"target":{"kind":"oidc"}}`, auth: r.full, status: 422, code: "invalid_request"},
		exchange{name: "tabs by mistake", method: "POST", path: path, body: `{"target":{"kind":"tabs"}}`, auth: r.full, status: 422, code: "invalid_request", beyond: true},
		exchange{name: "the ledger", method: "POST", path: path, body: `{"target":{"kind":"topic","topic":"curfew.v1.beat"}}`, auth: r.full, status: 422, code: "invalid_request", beyond: true},
		exchange{name: "an empty filter's member", method: "POST", path: path, body: `{"target":{"kind":"file"},"filter":{"user":""}}`, auth: r.full, status: 422, code: "invalid_request"},
		exchange{name: "no limit", method: "GET", path: path + "?limit=0", auth: r.full, status: 400, code: "invalid_parameter"},
		exchange{name: "list without a key", method: "GET", path: path, status: 401, code: "api_key_missing"},
		exchange{name: "list without the scope", method: "GET", path: path, auth: r.read, status: 403, code: "api_key_scope"},
	) {
		t.Run(x.method+" "+x.name, func(t *testing.T) { r.do(t, x) })
	}
	for _, call := range []struct{ method, path string }{{"GET", someReplay}, {"POST", someReplay + "/cancel"}, {"POST", someReplay + "/resume"}} {
		r.do(t, exchange{method: call.method, path: call.path, status: 401, code: "api_key_missing"})
		r.do(t, exchange{method: call.method, path: call.path, auth: r.admin, status: 403, code: "api_key_scope"})
		r.do(t, exchange{method: call.method, path: call.path, auth: r.full, status: 404, code: "replay_unknown"})
	}
	const begin = `{"target":{"kind":"file"},"rate":1,"filter":{"tenant":"*"},"execute":true}`
	var begun struct{ ID string }
	if err := json.Unmarshal(r.do(t, exchange{method: "POST", path: path, body: begin, auth: r.full, status: 202}), &begun); err != nil {
		t.Fatal(err)
	}
	one := path + "/" + begun.ID
	r.do(t, exchange{method: "GET", path: one, auth: r.full, status: 200})
	r.do(t, exchange{method: "POST", path: one + "/cancel", auth: r.full, status: 200})
	r.do(t, exchange{method: "POST", path: one + "/resume", auth: r.full, status: 202})
	r.do(t, exchange{method: "POST", path: one + "/resume", auth: r.full, status: 409, code: "replay_goes_on"})
	for r.goingOn(t) < 100 { // on a busy machine some are done before the last is asked for
		r.do(t, exchange{method: "POST", path: path, body: begin, auth: r.full, status: 202})
	}
	r.do(t, exchange{method: "POST", path: path, body: begin, auth: r.full, status: 429, code: "too_many_replays"})
	r.do(t, exchange{method: "GET", path: path, auth: r.full, status: 200})

	kv, err := r.srv.Bus().KeyValue(t.Context(), bus.ReplaysBucket())
	if err != nil {
		t.Fatal(err)
	}
	const over = "01a222ce-f410-7000-af45-200a1753b54d"
	if _, err := kv.Put(t.Context(), over, []byte(`{"id":"`+over+`","state":"done","created_at":"2026-08-04T12:00:00Z","target":{"kind":"file"},"rate":1,"key_id":"k","key_tenant":"acme"}`)); err != nil {
		t.Fatal(err)
	}
	r.do(t, exchange{method: "POST", path: path + "/" + over + "/cancel", auth: r.full, status: 409, code: "replay_ended"})
}

// goingOn counts the replays that wait or run.
func (r *rig) goingOn(t *testing.T) (n int) {
	t.Helper()
	resp := r.open(t.Context(), t, "/v1/replays?limit=1000")
	defer resp.Body.Close()
	var list replay.Replays
	if err := json.NewDecoder(resp.Body).Decode(&list); err != nil {
		t.Fatal(err)
	}
	for _, one := range list.Replays {
		if one.State == replay.StateWaiting || one.State == replay.StateRunning {
			n++
		}
	}
	return n
}
