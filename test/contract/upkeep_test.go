package contract

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/bus"
)

func ndjson() []string { return []string{"Content-Type", "application/x-ndjson"} }

// line is a record of an event that the ledger doesn't have.
func (r *rig) line(t *testing.T) string {
	t.Helper()
	id, err := events.NewID()
	if err != nil {
		t.Fatal(err)
	}
	data, err := events.Encode(&events.SessionRevoked{Common: events.Common{
		ID: id, Time: events.Floor(time.Now()), Source: "test", Tenant: "globex", Reason: events.ReasonAdmin, Initiator: events.Initiator{Type: events.InitiatorAdmin},
	}, Session: "imported"})
	if err != nil {
		t.Fatal(err)
	}
	line, err := json.Marshal(map[string]any{"position": 1, "stored": time.Now(), "event": json.RawMessage(data)})
	if err != nil {
		t.Fatal(err)
	}
	return string(line) + "\n"
}

// park parks a message as a consumer does.
func (r *rig) park(t *testing.T, header nats.Header, payload string) {
	t.Helper()
	if _, err := r.srv.Bus().JetStream().PublishMsg(t.Context(), &nats.Msg{Subject: "curfew.parked.relay", Header: header, Data: []byte(payload)}); err != nil {
		t.Fatal(err)
	}
}

func (r *rig) upkeep(t *testing.T) []exchange {
	t.Helper()
	const imports, known, parked = "/v1/import", "/v1/import/known", "/v1/parked"
	line := r.line(t)
	var record struct{ Event json.RawMessage }
	if err := json.Unmarshal([]byte(line), &record); err != nil {
		t.Fatal(err)
	}
	from := nats.Header{
		bus.ParkedReasonHeader: {"the webhook answers 410"}, bus.ParkedTopicHeader: {"curfew.v1.globex.00.session"}, bus.ParkedStreamHeader: {bus.LedgerStream}, bus.ParkedPositionHeader: {"1"},
		bus.ParkedConsumerHeader: {"relay"}, bus.ParkedDeliveriesHeader: {"5"},
	}
	r.park(t, from, string(record.Event))
	r.park(t, nil, "\x00\x1bno event")
	full := slices.Clip([]exchange{
		{name: "import", method: "POST", path: imports + "?execute=true&all=false&name=a", body: line + "no event\n", auth: r.full, header: ndjson(), status: 200},
		{name: "import of what isn't told", method: "POST", path: imports + "?checked=1-x", body: line, auth: r.full, header: ndjson(), status: 409, code: "look_expired"},
		{name: "import of another form", method: "POST", path: imports, body: line, auth: r.full, status: 415, code: "unsupported_media_type"},
		{name: "import with a bad name", method: "POST", path: imports + "?name=A", body: line, auth: r.full, header: ndjson(), status: 400, code: "invalid_parameter"},
		{name: "import of too much", method: "POST", path: imports, body: strings.Repeat("\n", 1001), auth: r.full, header: ndjson(), status: 413, code: "body_too_large", beyond: true},
		{name: "known", method: "POST", path: known, body: `"acme/01a222c5-405d-7dbc-b6e5-6ed5c77090fb"` + "\n", auth: r.full, header: ndjson(), status: 200},
		{name: "known of no id", method: "POST", path: known, body: "x", auth: r.full, header: ndjson(), status: 400, code: "malformed_body", beyond: true},
		{name: "known of too much", method: "POST", path: known, body: strings.Repeat("x", 70_000), auth: r.full, header: ndjson(), status: 413, code: "body_too_large", beyond: true},
		{name: "known of another form", method: "POST", path: known, body: `"x"`, auth: r.full, status: 415, code: "unsupported_media_type"},
		{name: "backup", method: "GET", path: "/v1/backup?all=true", auth: r.full, status: 200},
		{name: "backup of something", method: "GET", path: "/v1/backup?all=some", auth: r.full, status: 400, code: "invalid_parameter"},
		{name: "parked", method: "GET", path: parked + "?after=0&limit=1", auth: r.full, status: 200},
		{name: "parked by none", method: "GET", path: parked + "?limit=0", auth: r.full, status: 400, code: "invalid_parameter"},
		{name: "a parked event", method: "GET", path: parked + "/1", auth: r.full, status: 200},
		{name: "a parked message", method: "GET", path: parked + "/2", auth: r.full, status: 200},
		{name: "retry", method: "POST", path: parked + "/1/retry", auth: r.full, status: 200},
		{name: "retry what has no way back", method: "POST", path: parked + "/2/retry", auth: r.full, status: 409, code: "parked_no_way_back"},
		{name: "drop", method: "DELETE", path: parked + "/2", auth: r.full, status: 200},
	})
	for _, call := range [][2]string{{"GET", parked + "/%s"}, {"POST", parked + "/%s/retry"}, {"DELETE", parked + "/%s"}} {
		full = append(full,
			exchange{name: "of what isn't parked", method: call[0], path: fmt.Sprintf(call[1], "99"), auth: r.full, status: 404, code: "parked_unknown"},
			exchange{name: "of no position", method: call[0], path: fmt.Sprintf(call[1], "x"), auth: r.full, status: 400, code: "invalid_parameter"})
	}
	for _, call := range [][2]string{{"POST", imports}, {"POST", known}, {"GET", "/v1/backup"}, {"GET", parked}, {"GET", parked + "/1"}, {"POST", parked + "/1/retry"}, {"DELETE", parked + "/1"}} {
		x := exchange{name: call[1] + " without a key", method: call[0], path: call[1], status: 401, code: "api_key_missing"}
		if strings.HasPrefix(call[1], imports) {
			x.body, x.header = line, ndjson()
		}
		full = append(full, x)
		x.name, x.auth, x.status, x.code = call[1]+" without the scope", r.admin, 403, "api_key_scope"
		full = append(full, x)
	}
	return full
}
