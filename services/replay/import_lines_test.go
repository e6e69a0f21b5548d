package replay_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/services/replay"
)

// lineOf is a record of an event as another ledger had it.
func lineOf(t *testing.T, e events.Event, stored time.Time) string {
	t.Helper()
	data, err := events.Encode(e)
	if err != nil {
		t.Fatal(err)
	}
	line, err := json.Marshal(replay.Record{Position: 1, Stored: stored, Event: data})
	if err != nil {
		t.Fatal(err)
	}
	return string(line) + "\n"
}

// TestImportLines: what isn't to be stored is counted, or refused with its line and why; the others are stored.
func TestImportLines(t *testing.T) {
	d := newDesk(t, natstest.Bus(t))
	now, month := time.Now(), 40*24*time.Hour
	session := func(change func(*events.SessionRevoked)) events.Event {
		e := &events.SessionRevoked{Common: common(t), Session: "PLANTED", User: "PLANTED"}
		change(e)
		return e
	}
	good := lineOf(t, session(func(*events.SessionRevoked) {}), now)
	old := lineOf(t, session(func(e *events.SessionRevoked) { e.Time = events.Floor(now.Add(-month)) }), now.Add(-month))
	kept := lineOf(t, session(func(e *events.SessionRevoked) {
		e.Time, e.ExpiresAt = events.Floor(now.Add(-month)), events.Floor(now.Add(time.Hour))
	}), now.Add(-month))
	ahead := lineOf(t, session(func(e *events.SessionRevoked) { e.Time = events.Floor(now.Add(time.Hour)) }), now)
	unbelieved := lineOf(t, &events.UserLoggedOutEverywhere{Common: common(t), User: "PLANTED", Cutoff: events.Floor(now.Add(-time.Hour))}, now.Add(-2*time.Hour))
	lockout := lineOf(t, &events.TenantLoggedOut{Common: common(t), Cutoff: events.Floor(now.Add(time.Hour))}, now)
	newer := strings.Replace(good, ".v1", ".v9", 1)
	tests := []struct{ name, line, want string }{
		{"no JSON", "PLANTED\n", "isn't a record"},
		{"empty", "\n", "isn't a record"},
		{"no event", `{"position":1}` + "\n", "isn't a record"},
		{"a newer version's", newer, "v9"},
		{"no event of ours", `{"position":1,"event":{"session":"PLANTED"}}` + "\n", "specversion"},
		{"a member twice", strings.Replace(good, `"session":`, `"session":"PLANTED 2","session":`, 1), "session"},
		{"from the future", ahead, "later than now"},
		{"stored in the future", lineOf(t, session(func(*events.SessionRevoked) {}), now.Add(time.Hour)), "later than now"},
		{"a cutoff that was never believed", unbelieved, "cutoff"},
		{"a cutoff that would lock people out", lockout, "cutoff"},
	}
	body := ""
	for _, tt := range tests {
		body += tt.line
	}
	out := d.imports(t, "execute=true", body+good+old+good+kept)
	if out.New != 2 || out.Expired != 1 || out.Known != 1 || len(out.Refused) != len(tests) {
		t.Fatalf("got %+v", out)
	}
	for i, tt := range tests {
		if got := out.Refused[i]; got.Line != i+1 || !strings.Contains(got.Detail, tt.want) || strings.Contains(got.Detail, planted) {
			t.Errorf("%s: %+v, want %q", tt.name, got, tt.want)
		}
	}
	if out := d.imports(t, "execute=true&all=true", old); out.New != 1 || d.count(t) != 3 {
		t.Errorf("with all: %+v", out)
	}
	if out := d.imports(t, "execute=true", ""); out.New+out.Known+out.Expired+len(out.Refused) != 0 {
		t.Errorf("nothing: %+v", out)
	}
}

// TestImportKeepsAsLong: an event whose publisher's clock was hours behind is kept as long as replicas kept it that heard of it then.
func TestImportKeepsAsLong(t *testing.T) {
	from, to := newDesk(t, natstest.Bus(t)), newDesk(t, natstest.Bus(t))
	c := common(t)
	c.Time = events.Floor(time.Now().Add(-9 * time.Hour))
	from.store(t, &events.SessionRevoked{Common: c, Session: "PLANTED", User: "PLANTED", SessionExpiresAt: events.Floor(time.Now().Add(-8 * time.Hour))})
	c = common(t)
	c.Time = events.Floor(time.Now().Add(-9 * time.Hour))
	from.store(t, &events.UserLoggedOutEverywhere{Common: c, User: "PLANTED", Cutoff: c.Time, KnownSessions: []string{"PLANTED 2"}})
	to.imports(t, "execute=true", from.export(t))
	stored := from.lines(t, from.operator, "tenant=*")
	for i, r := range to.lines(t, to.operator, "tenant=*") {
		if until := decode(t, r).Meta().ExpiresAt; until.Before(stored[i].Stored.Add(30 * 24 * time.Hour)) {
			t.Errorf("event %d is kept until %v only", i+1, until)
		}
	}
}

func TestImportIsRefusedWhole(t *testing.T) {
	d := newDesk(t, natstest.Bus(t))
	line := lineOf(t, &events.SessionRevoked{Common: common(t), Session: "PLANTED"}, time.Now())
	checked := d.look(t, nil)
	for _, tt := range []struct {
		query, body, code string
		status            int
	}{
		{"execute=yes", line, "invalid_parameter", 400},
		{"execute=true&execute=true", line, "invalid_parameter", 400},
		{"tenant=acme", line, "invalid_parameter", 400},
		{"name=A", line, "invalid_parameter", 400},
		{"name=", line, "invalid_parameter", 400},
		{"checked=1", line, "look_expired", 409},
		{"checked=" + checked[:len(checked)-1] + "x", line, "look_expired", 409},
		{"checked=" + fmt.Sprint(time.Now().Add(time.Second).UnixMilli()) + checked[strings.Index(checked, "-"):], line, "look_expired", 409},
		{"", strings.Repeat("\n", replay.MaxImportLines+1), "body_too_large", 413},
		{"", strings.Repeat("x", replay.MaxImportBytes+1), "body_too_large", 413},
	} {
		if status, _, text := d.post(t, d.operator, "/v1/import?"+tt.query, tt.body); status != tt.status || !strings.Contains(text, tt.code) {
			t.Errorf("%q: got %d %s", tt.query, status, text)
		}
	}
	if resp, _ := d.api.Call(t, d.operator, http.MethodPost, "/v1/import", line, "Content-Type", "application/json"); resp.StatusCode != http.StatusUnsupportedMediaType {
		t.Errorf("got %d", resp.StatusCode)
	}
	if n := d.count(t); n != 0 {
		t.Errorf("%d events are there", n)
	}
}

func TestImportWithoutServer(t *testing.T) {
	srv := natstest.Start(t)
	d := newDesk(t, natstest.Open(t, bus.Config{URL: srv.URL()}))
	line := lineOf(t, &events.SessionRevoked{Common: common(t), Session: "PLANTED"}, time.Now())
	checked := d.look(t, nil)
	srv.Stop()
	for path, code := range map[string]string{"/v1/import": "history_unavailable", "/v1/import?execute=true&checked=" + checked: "not_stored"} {
		if status, _, text := d.post(t, d.operator, path, line); status != 503 || !strings.Contains(text, code) {
			t.Errorf("%s: got %d %s", path, status, text)
		}
	}
	if status, _, text := d.post(t, d.operator, "/v1/import/known", `"acme/`+common(t).ID+`"`); status != 503 || !strings.Contains(text, "history_unavailable") {
		t.Errorf("got %d %s", status, text)
	}
}
