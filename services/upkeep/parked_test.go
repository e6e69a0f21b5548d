package upkeep_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/services/upkeep"
)

// A list tells where each came from and why it was parked, and nothing of what it holds.
func TestParkedList(t *testing.T) {
	d := newDesk(t, natstest.Bus(t))
	if list := answer[upkeep.ParkedList](t, d.do(t, d.operator, "GET", "/v1/parked")); list.Parked == nil || len(list.Parked) != 0 {
		t.Errorf("of nothing: %+v", list)
	}
	topic, data := event(t)
	d.poison(t, topic, data, []byte("PLANTED"), nil, data, data)
	r := d.do(t, d.operator, "GET", "/v1/parked")
	list := answer[upkeep.ParkedList](t, r)
	if len(list.Parked) != 5 || list.NextAfter != 0 || bytes.Contains(r.body, []byte(planted)) {
		t.Fatalf("got %s", r.body)
	}
	if p := list.Parked[1]; p.Position != 2 || !strings.Contains(p.Reason, "410") || p.Topic != topic || p.Stream != bus.LedgerStream || p.FromPosition != 2 || p.Consumer != "relay" || p.Deliveries != 1 || p.Bytes != 7 || p.Parked.IsZero() {
		t.Errorf("%+v", p)
	}
	var all []uint64
	for after := uint64(0); ; {
		page := answer[upkeep.ParkedList](t, d.do(t, d.operator, "GET", fmt.Sprintf("/v1/parked?limit=2&after=%d", after)))
		for _, p := range page.Parked {
			all = append(all, p.Position)
		}
		if after = page.NextAfter; after == 0 {
			break
		}
	}
	if fmt.Sprint(all) != "[1 2 3 4 5]" {
		t.Errorf("by pages: %v", all)
	}
}

func TestParkedShow(t *testing.T) {
	d := newDesk(t, natstest.Bus(t))
	topic, data := event(t)
	d.poison(t, topic, data, []byte("\x00\x1b[31m\xff"+strings.Repeat("PLANTED", 1000)), nil)
	show := func(n int) upkeep.ParkedMessage {
		return answer[upkeep.ParkedMessage](t, d.do(t, d.operator, "GET", fmt.Sprint("/v1/parked/", n)))
	}
	if e, err := events.Decode(show(1).Event); err != nil || e.Target() != "PLANTED s" || show(1).Begins != "" {
		t.Errorf("an event: %v, %v", e, err)
	}
	if p := show(2); p.Event != nil || !strings.HasPrefix(p.Begins, `"\x00\x1b[31m\xffPLANTED`) || len(p.Begins) > 2000 || p.Bytes != 7007 {
		t.Errorf("bytes: %+v", p)
	}
	if p := show(3); p.Event != nil || p.Begins != "" || p.Bytes != 0 {
		t.Errorf("nothing: %+v", p)
	}
}

// TestParkedRetry puts an event back, to be heard once more by services and by no browser, and twice is harmless.
func TestParkedRetry(t *testing.T) {
	d := newDesk(t, natstest.Bus(t))
	topic, data := event(t)
	d.poison(t, topic, data)
	done := answer[upkeep.Retried](t, d.do(t, d.operator, "POST", "/v1/parked/1/retry"))
	if done.Position != 1 || done.Stored != 2 || done.Stream != bus.LedgerStream || done.Duplicate {
		t.Errorf("%+v", done)
	}
	msg, err := d.bus.EventAt(t.Context(), 2)
	if err != nil {
		t.Fatal(err)
	}
	if e, err := events.DecodeMessage(msg.Subject, msg.Data); err != nil || e.Meta().Replay == "" || e.Target() != "PLANTED s" {
		t.Errorf("%+v, %v", e, err)
	}
	if list := answer[upkeep.ParkedList](t, d.do(t, d.operator, "GET", "/v1/parked")); len(list.Parked) != 0 {
		t.Errorf("still parked: %+v", list)
	}
	for _, call := range [][2]string{{"POST", "/retry"}, {"GET", ""}, {"DELETE", ""}} {
		if r := d.do(t, d.operator, call[0], "/v1/parked/1"+call[1]); r.status != 404 || r.Code != "parked_unknown" || !strings.Contains(string(r.body), "curfew parked ls") {
			t.Errorf("%v: %d %s", call, r.status, r.body)
		}
	}
	if !strings.Contains(d.log.String(), d.operatorID) {
		t.Errorf("the log doesn't say who: %s", d.log.String())
	}
}

// TestParkedDrop drops what can't be put back too, and says in the log who did.
func TestParkedDrop(t *testing.T) {
	d := newDesk(t, natstest.Bus(t))
	topic, data := event(t)
	d.poison(t, topic, data)
	if _, err := d.bus.JetStream().Publish(t.Context(), "curfew.parked.x", []byte("PLANTED")); err != nil {
		t.Fatal(err)
	}
	if r := d.do(t, d.operator, "POST", "/v1/parked/2/retry"); r.status != 409 || r.Code != "parked_no_way_back" {
		t.Errorf("%d %s", r.status, r.body)
	}
	for _, n := range []uint64{1, 2} {
		if done := answer[upkeep.Dropped](t, d.do(t, d.operator, "DELETE", fmt.Sprint("/v1/parked/", n))); done.Position != n {
			t.Errorf("%+v", done)
		}
	}
	if said := d.log.String(); !strings.Contains(said, "dropped for good") || !strings.Contains(said, d.operatorID) || !strings.Contains(said, "relay") {
		t.Errorf("the log: %s", said)
	}
	if _, err := d.bus.EventAt(t.Context(), 1); err != nil {
		t.Errorf("the event is gone from the ledger: %v", err)
	}
}

// TestUpkeepIsAnOperators: no other scope is enough for any of the calls, and nothing happens.
func TestUpkeepIsAnOperators(t *testing.T) {
	d := newDesk(t, natstest.Bus(t))
	topic, data := event(t)
	d.poison(t, topic, data)
	for _, call := range [][2]string{{"GET", "/v1/parked"}, {"GET", "/v1/parked/1"}, {"POST", "/v1/parked/1/retry"}, {"DELETE", "/v1/parked/1"}, {"GET", "/v1/backup"}, {"GET", "/v1/backup?all=true"}} {
		if r := d.do(t, d.others, call[0], call[1]); r.status != 403 || r.Code != "api_key_scope" {
			t.Errorf("%v: %d %s", call, r.status, r.body)
		}
		if r := d.do(t, "", call[0], call[1]); r.status != 401 {
			t.Errorf("%v: %d %s", call, r.status, r.body)
		}
	}
	if list := answer[upkeep.ParkedList](t, d.do(t, d.operator, "GET", "/v1/parked")); len(list.Parked) != 1 {
		t.Errorf("%+v", list)
	}
}

func TestUpkeepParameters(t *testing.T) {
	d := newDesk(t, natstest.Bus(t))
	for call, field := range map[string]string{
		"GET /v1/parked?limit=0": "limit", "GET /v1/parked?limit=1001": "limit", "GET /v1/parked?after=-1": "after", "GET /v1/parked?tenant=acme": "tenant", "GET /v1/parked?limit=1&limit=2": "limit",
		"GET /v1/parked?PLANTED=1": "query", "GET /v1/parked?after=%zz": "query", "GET /v1/parked/0": "position", "GET /v1/parked/x": "position", "POST /v1/parked/1/retry?x=1": "x", "DELETE /v1/parked/-1": "position",
		"GET /v1/backup?all=yes": "all", "GET /v1/backup?all=": "all", "GET /v1/backup?streams=CURFEW": "streams",
	} {
		method, path, _ := strings.Cut(call, " ")
		if r := d.do(t, d.operator, method, path); r.status != 400 || r.Code != "invalid_parameter" || len(r.Faults) != 1 || r.Faults[0].Field != field {
			t.Errorf("%s: got %d %s, want a fault of %s", call, r.status, r.body, field)
		}
	}
}

func TestUpkeepWithoutServer(t *testing.T) {
	srv := natstest.Start(t)
	d := newDesk(t, natstest.Open(t, bus.Config{URL: srv.URL()}))
	srv.Stop()
	for call, code := range map[string]string{
		"GET /v1/parked": "parked_unavailable", "GET /v1/parked/1": "parked_unavailable", "POST /v1/parked/1/retry": "parked_unavailable", "DELETE /v1/parked/1": "parked_unavailable", "GET /v1/backup": "backup_unavailable",
	} {
		method, path, _ := strings.Cut(call, " ")
		if r := d.do(t, d.operator, method, path); r.status != 503 || r.Code != code || !r.Retry {
			t.Errorf("%s: got %d %s", call, r.status, r.body)
		}
	}
}
