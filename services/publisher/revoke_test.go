package publisher_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/internal/problem"
	"github.com/curfewhq/curfew/services/publisher"
)

// sessionEnd and longer lie ahead: the one before max age, the other behind it.
var (
	sessionEnd = time.Now().Add(maxAge / 2).UTC().Truncate(time.Second)
	longer     = time.Now().Add(2 * maxAge).UTC().Truncate(time.Second)
)

// bodies: scope → a request with every member that applies to it.
var bodies = map[string]string{
	"session": `{"scope":"session","session":"PLANTED s","user":"PLANTED u","device":"PLANTED d","client":"PLANTED c","auth_time":"2026-07-01T10:00:00.1239Z",` +
		`"session_expires_at":"` + sessionEnd.Format(time.RFC3339) + `","reason":"compromised","reason_admin":"PLANTED a","reason_user":"PLANTED r","initiator":{"type":"policy","id":"PLANTED i"}}`,
	"user":   `{"scope":"user","user":"PLANTED u","cutoff":"2026-07-01T12:00:00.123456+02:00","except":["PLANTED e"],"known_sessions":["PLANTED k1","PLANTED k2"]}`,
	"device": `{"scope":"device","device":"PLANTED d","user":"PLANTED u"}`,
	"client": `{"scope":"client","client":"PLANTED c","expires_at":"` + longer.Format(time.RFC3339) + `"}`,
	"tenant": `{"scope":"tenant"}`,
}

func TestEveryScope(t *testing.T) {
	for scope, body := range bodies {
		for _, array := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/array=%v", scope, array), func(t *testing.T) {
				d := newDesk(t, natstest.Bus(t), nil)
				if array {
					body = " \n[" + body + "]"
				}
				before := events.Floor(time.Now())
				got := d.call(t, d.admin, http.MethodPost, "/v1/revocations", body)
				after := time.Now()
				if got.status != 200 || got.header.Get("Cache-Control") != "no-store" {
					t.Fatalf("got %d %s", got.status, got.body)
				}
				receipt := got.Stored
				if array {
					receipt = got.receipts(t)[0]
				}
				e := d.one(t)
				m := e.Meta()
				if m.Time.Before(before) || m.Time.After(after) || m.Tenant != "acme" || string(e.Kind()) != scope {
					t.Errorf("the event has time %v, tenant %s, scope %s", m.Time, m.Tenant, e.Kind())
				}
				cutoff, _ := events.Cutoff(e)
				want := publisher.Stored{ID: m.ID, Scope: e.Kind(), Position: 1, Time: m.Time, Cutoff: cutoff, ExpiresAt: m.ExpiresAt}
				if diff := cmp.Diff(want, receipt); diff != "" {
					t.Errorf("the receipt isn't the event's: %s", diff)
				}
				if got.Position != 1 {
					t.Errorf("position %d", got.Position)
				}
				checkEvent(t, e)
				if n := d.published(events.Name(e), "stored"); n != 1 {
					t.Errorf("counted %v times", n)
				}
			})
		}
	}
}

// checkEvent compares an event with what bodies asks for.
func checkEvent(t *testing.T, e events.Event) {
	t.Helper()
	utc := func(s string) time.Time {
		at, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return at.UTC()
	}
	common := *e.Meta()
	var want events.Event
	switch e := e.(type) {
	case *events.SessionRevoked:
		common.Reason, common.ReasonAdmin, common.ReasonUser = events.ReasonCompromised, "PLANTED a", "PLANTED r"
		common.Initiator = events.Initiator{Type: events.InitiatorPolicy, ID: "PLANTED i"}
		common.ExpiresAt = sessionEnd.Add(leeway)
		want = &events.SessionRevoked{Common: common, Session: "PLANTED s", User: "PLANTED u", Device: "PLANTED d", Client: "PLANTED c",
			AuthTime: utc("2026-07-01T10:00:00.123Z"), SessionExpiresAt: sessionEnd}
	case *events.UserLoggedOutEverywhere:
		// Sessions that are named may have begun after the cutoff.
		common.ExpiresAt = common.Time.Add(maxAge + leeway)
		want = &events.UserLoggedOutEverywhere{Common: common, User: "PLANTED u", Cutoff: utc("2026-07-01T10:00:00.123Z"),
			Except: []string{"PLANTED e"}, KnownSessions: []string{"PLANTED k1", "PLANTED k2"}}
	case *events.DeviceLoggedOut:
		common.ExpiresAt = common.Time.Add(maxAge + leeway)
		want = &events.DeviceLoggedOut{Common: common, Device: "PLANTED d", User: "PLANTED u", Cutoff: e.Time}
	case *events.ClientLoggedOut:
		common.ExpiresAt = longer
		want = &events.ClientLoggedOut{Common: common, Client: "PLANTED c", Cutoff: e.Time}
	case *events.TenantLoggedOut:
		common.ExpiresAt = common.Time.Add(maxAge + leeway)
		want = &events.TenantLoggedOut{Common: common, Cutoff: e.Time}
	}
	if e.Kind() != events.KindSession {
		want.Meta().Reason, want.Meta().Initiator = events.ReasonAdmin, events.Initiator{Type: events.InitiatorSystem}
	}
	if diff := cmp.Diff(want, e); diff != "" {
		t.Error(diff)
	}
}

func TestArray(t *testing.T) {
	d := newDesk(t, natstest.Bus(t), nil)
	var items []string
	for i := range publisher.MaxBatch {
		items = append(items, fmt.Sprintf(`{"scope":"session","session":"PLANTED %d"}`, i))
	}
	got := d.revoke(t, "["+strings.Join(items, ",")+"]")
	if got.status != 200 || got.Position != publisher.MaxBatch {
		t.Fatalf("got %d, position %d", got.status, got.Position)
	}
	all := d.stored(t)
	for i, r := range got.receipts(t) {
		e := all[r.Position-1]
		if e.Meta().ID != r.ID || e.Target() != fmt.Sprint("PLANTED ", i) {
			t.Fatalf("receipt %d is of the event %s", i, e.Target())
		}
	}
	if len(all) != publisher.MaxBatch {
		t.Errorf("%d events", len(all))
	}
}

func TestFaults(t *testing.T) {
	d := newDesk(t, natstest.Bus(t), nil)
	index := func(i int) *int { return &i }
	future := time.Now().Add(time.Minute).UTC().Format(time.RFC3339)
	long := strings.Repeat("x", 257)
	scopes := "must be one of session, user, device, client, tenant"
	tests := []struct {
		name, body string
		want       []problem.Fault
	}{
		{name: "no scope", body: `{"session":"a"}`, want: []problem.Fault{{Field: "scope", Detail: scopes}}},
		{name: "unknown scope", body: `{"scope":"PLANTED","session":"a"}`, want: []problem.Fault{{Field: "scope", Detail: scopes}}},
		{name: "no target", body: `{"scope":"session"}`, want: []problem.Fault{{Field: "session", Detail: "is required: give the id"}}},
		{name: "long ids", body: `{"scope":"session","session":"` + long + `","user":"` + long + `"}`, want: []problem.Fault{
			{Field: "session", Detail: "is longer than 256 bytes: give the id itself, not a token"}, {Field: "user", Detail: "is longer than 256 bytes: give the id itself, not a token"}}},
		{name: "NUL", body: `{"scope":"user","user":"a\u0000b"}`, want: []problem.Fault{{Field: "user", Detail: "holds a control character: send the id without it"}}},
		{name: "line break in an element", body: `{"scope":"user","user":"a","known_sessions":["b","c\n"]}`, want: []problem.Fault{{Field: "known_sessions[1]", Detail: "holds a control character: send the id without it"}}},
		{name: "reason", body: `{"scope":"client","client":"a","reason":"PLANTED"}`, want: []problem.Fault{{Field: "reason", Detail: "must be one of user_logout, admin, password_changed, credential_changed, account_disabled, account_deleted, compromised, idle_timeout, max_age, policy, idp_logout, superseded"}}},
		{name: "initiator", body: `{"scope":"client","client":"a","initiator":{"type":"god"}}`, want: []problem.Fault{{Field: "initiator.type", Detail: "must be one of user, admin, policy, system"}}},
		{name: "cutoff in the future", body: `{"scope":"user","user":"a","cutoff":"` + future + `"}`, want: []problem.Fault{{Field: "cutoff", Detail: "lies more than 5s in the future and would lock people out: leave it out for now"}}},
		{name: "a cutoff before time", body: `{"scope":"user","user":"a","cutoff":"1969-01-01T00:00:00Z"}`, want: []problem.Fault{{Field: "cutoff", Detail: "must lie between the years 1970 and 9999"}}},
		{name: "a cutoff for a session", body: `{"scope":"session","session":"a","cutoff":"` + future + `"}`, want: []problem.Fault{{Field: "cutoff", Detail: "doesn't apply to scope session: leave it out"}}},
		{name: "foreign to user", body: `{"scope":"user","user":"a","session":"b","device":"c","client":"d","auth_time":"2026-01-01T00:00:00Z","session_expires_at":"2026-01-01T00:00:00Z"}`,
			want: foreign("user", "session", "device", "client", "auth_time", "session_expires_at")},
		{name: "foreign to session", body: `{"scope":"session","session":"a","except":[],"known_sessions":["b"]}`, want: foreign("session", "except", "known_sessions")},
		{name: "foreign to device", body: `{"scope":"device","device":"a","session":"b","client":"c"}`, want: foreign("device", "session", "client")},
		{name: "foreign to client", body: `{"scope":"client","client":"a","user":"b"}`, want: foreign("client", "user")},
		{name: "both in except and known", body: `{"scope":"user","user":"a","except":["b"],"known_sessions":["b"]}`, want: []problem.Fault{{Field: "known_sessions[0]", Detail: "stands in except too: name the session in one of them"}}},
		{name: "one fault at its index", body: `[{"scope":"client","client":"a"},{"scope":"client"}]`, want: []problem.Fault{{Index: index(1), Field: "client", Detail: "is required: give the id"}}},
		{name: "an array of one has an index too", body: `[{"scope":"user"}]`, want: []problem.Fault{{Index: index(0), Field: "user", Detail: "is required: give the id"}}},
		{name: "null", body: `null`, want: []problem.Fault{{Field: "scope", Detail: scopes}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := d.revoke(t, tt.body)
			if got.status != 422 || got.Code != "invalid_request" || got.Retry {
				t.Fatalf("got %d %s", got.status, got.body)
			}
			if diff := cmp.Diff(tt.want, got.Faults); diff != "" {
				t.Error(diff)
			}
			if strings.Contains(string(got.body), planted) {
				t.Error("the answer repeats a value of the request")
			}
		})
	}
	if all := d.stored(t); len(all) != 0 {
		t.Errorf("%d events were stored", len(all))
	}
	if n := d.refused("invalid_request"); n != float64(len(tests)) {
		t.Errorf("counted %v of %d", n, len(tests))
	}
}

func foreign(scope string, fields ...string) []problem.Fault {
	var out []problem.Fault
	for _, f := range fields {
		out = append(out, problem.Fault{Field: f, Detail: "doesn't apply to scope " + scope + ": leave it out"})
	}
	return out
}

func TestUnreadable(t *testing.T) {
	d := newDesk(t, natstest.Bus(t), nil)
	good := `{"scope":"session","session":"PLANTED"}`
	tests := []struct {
		name, path, body string
		header           []string
		status           int
		code             string
	}{
		{name: "unknown member", body: `{"scope":"session","sesion":"PLANTED"}`, status: 400, code: "malformed_body"},
		{name: "another case", body: `{"scope":"session","Session":"PLANTED"}`, status: 400, code: "malformed_body"},
		{name: "a member twice", body: `{"scope":"session","session":"PLANTED","session":"b"}`, status: 400, code: "malformed_body"},
		{name: "no JSON", body: `scope=session`, status: 400, code: "malformed_body"},
		{name: "trailing", body: good + `]`, status: 400, code: "malformed_body"},
		{name: "invalid UTF-8", body: "{\"scope\":\"session\",\"session\":\"PLANTED\xff\"}", status: 400, code: "malformed_body"},
		{name: "half a surrogate pair", body: `{"scope":"session","session":"PLANTED\ud800"}`, status: 400, code: "malformed_body"},
		{name: "a NUL byte", body: "{\"scope\":\"session\",\"session\":\"PLANTED\x00\"}", status: 400, code: "malformed_body"},
		{name: "wrong type", body: `{"scope":"session","session":["PLANTED"]}`, status: 400, code: "malformed_body"},
		{name: "no time", body: `{"scope":"tenant","cutoff":"PLANTED"}`, status: 400, code: "malformed_body"},
		{name: "deep nesting", body: strings.Repeat("[", 100_000), status: 400, code: "malformed_body"},
		{name: "deep nesting of an unknown member", body: `{"a":` + strings.Repeat(`{"a":`, 9_000) + "1" + strings.Repeat("}", 9_001), status: 400, code: "malformed_body"},
		{name: "empty array", body: `[]`, status: 422, code: "invalid_request"},
		{name: "1,001 items", body: "[" + strings.Repeat(good+",", 1000) + good + "]", status: 422, code: "invalid_request"},
		{name: "too large", body: `{"scope":"` + strings.Repeat("x", 1<<20) + `"}`, status: 413, code: "body_too_large"},
		{name: "wrong type of content", body: good, header: []string{"Content-Type", "text/plain"}, status: 415, code: "unsupported_media_type"},
		{name: "unknown parameter", path: "?dry_run=true", body: good, status: 400, code: "unknown_parameter"},
		{name: "a parameter twice", path: "?wait=stored&wait=shown", body: good, status: 400, code: "unknown_parameter"},
		{name: "a query that can't be read", path: "?wait=%zz", body: good, status: 400, code: "unknown_parameter"},
		{name: "wait for what isn't offered", path: "?wait=applied", body: good, status: 422, code: "unsupported_wait"},
		{name: "wait for nothing", path: "?wait=", body: good, status: 422, code: "unsupported_wait"},
		{name: "timeout of nothing", path: "?timeout=", body: good, status: 422, code: "invalid_timeout"},
		{name: "no timeout", path: "?timeout=0s", body: good, status: 422, code: "invalid_timeout"},
		{name: "timeout without a unit", path: "?timeout=5", body: good, status: 422, code: "invalid_timeout"},
		{name: "timeout too long", path: "?timeout=31s", body: good, status: 422, code: "invalid_timeout"},
		{name: "empty idempotency key", body: good, header: []string{"Idempotency-Key", ""}, status: 400, code: "invalid_idempotency_key"},
		{name: "idempotency key with a space", body: good, header: []string{"Idempotency-Key", "a b"}, status: 400, code: "invalid_idempotency_key"},
		{name: "idempotency key too long", body: good, header: []string{"Idempotency-Key", strings.Repeat("k", 256)}, status: 400, code: "invalid_idempotency_key"},
		{name: "two idempotency keys", body: good, header: []string{"Idempotency-Key", "a", "Idempotency-Key", "b"}, status: 400, code: "invalid_idempotency_key"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			resp, answer := d.api.Call(t, d.key, http.MethodPost, "/v1/revocations"+tt.path, tt.body, tt.header...)
			var p problem.Problem
			if err := json.Unmarshal(answer, &p); err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != tt.status || p.Code != tt.code || strings.Contains(p.Detail, planted) {
				t.Errorf("got %d %s %q, want %d %s", resp.StatusCode, p.Code, p.Detail, tt.status, tt.code)
			}
		})
	}
	if all := d.stored(t); len(all) != 0 {
		t.Errorf("%d events were stored", len(all))
	}
	for _, path := range []string{"?wait=stored", "?timeout=30s", "?timeout=1s&wait=stored"} {
		if got := d.call(t, d.key, http.MethodPost, "/v1/revocations"+path, good); got.status != 200 {
			t.Errorf("%s: %s", path, got.body)
		}
	}
}

// A request of a megabyte must not cause an answer of many.
func TestFaultsAreBounded(t *testing.T) {
	d := newDesk(t, natstest.Bus(t), nil)
	got := d.revoke(t, "["+strings.TrimSuffix(strings.Repeat(`{"scope":"user","except":["","","","","","","","","",""]},`, 1000), ",")+"]")
	if got.status != 422 || len(got.Faults) != problem.MaxFaults {
		t.Errorf("got %d with %d faults", got.status, len(got.Faults))
	}
}

func TestCutoffWithinClockSkew(t *testing.T) {
	d := newDesk(t, natstest.Bus(t), nil)
	cutoff := events.Floor(time.Now().Add(3 * time.Second))
	got := d.revoke(t, fmt.Sprintf(`{"scope":"user","user":"PLANTED","cutoff":%q}`, cutoff.Format(time.RFC3339Nano)))
	if got.status != 200 || !got.Cutoff.Equal(cutoff) {
		t.Errorf("got %d %s", got.status, got.body)
	}
}

// A past session_expires_at, an old auth_time and an early expires_at made a revocation be forgotten while its token still passed (ADR 0020).
func TestExpiry(t *testing.T) {
	d := newDesk(t, natstest.Bus(t), nil)
	const session, day = `"scope":"session","session":"PLANTED"`, 24 * time.Hour
	tests := []struct {
		name, body string
		// member lies at from now.
		member string
		at     time.Duration
		want   time.Duration
	}{
		{name: "nothing known", body: session, want: maxAge},
		{name: "an end ahead", body: session, member: "session_expires_at", at: day, want: day},
		{name: "an end beyond max age", body: session, member: "session_expires_at", at: 2 * maxAge, want: 2 * maxAge},
		{name: "an end that has passed", body: session, member: "session_expires_at", at: -time.Minute, want: maxAge},
		{name: "an end long ago", body: session, member: "session_expires_at", at: -50 * 365 * day, want: maxAge},
		{name: "an old auth time", body: session, member: "auth_time", at: -29 * day, want: maxAge},
		{name: "an auth time beyond max age", body: session, member: "auth_time", at: -31 * day, want: maxAge},
		{name: "an early expires_at", body: session, member: "expires_at", at: time.Minute, want: maxAge},
		{name: "an expires_at that has passed", body: session, member: "expires_at", at: -day, want: maxAge},
		{name: "a later expires_at", body: session, member: "expires_at", at: 5 * maxAge, want: 5*maxAge - leeway},
		{name: "as late as may be", body: session, member: "expires_at", at: 10*maxAge - time.Minute, want: 10*maxAge - time.Minute - leeway},
		{name: "an early expires_at of a cutoff", body: `"scope":"user","user":"PLANTED"`, member: "expires_at", at: time.Minute, want: maxAge},
		{name: "an old cutoff", body: `"scope":"user","user":"PLANTED"`, member: "cutoff", at: -day, want: maxAge - day},
		{name: "an old cutoff with a named session", body: `"scope":"user","user":"PLANTED","known_sessions":["PLANTED"]`, member: "cutoff", at: -day, want: maxAge},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			body := tt.body
			if tt.member != "" {
				body += fmt.Sprintf(`,"%s":%q`, tt.member, time.Now().Add(tt.at).UTC().Format(time.RFC3339Nano))
			}
			got := d.revoke(t, "{"+body+"}")
			if got.status != 200 {
				t.Fatalf("got %d %s", got.status, got.body)
			}
			if kept := got.ExpiresAt.Sub(got.Time); (kept - tt.want - leeway).Abs() > 30*time.Second {
				t.Errorf("kept for %v, want %v", kept, tt.want+leeway)
			}
		})
	}
}

// One key could fill every replica's memory until the year 9999.
func TestExpiryIsBounded(t *testing.T) {
	d := newDesk(t, natstest.Bus(t), nil)
	for _, at := range []string{"9999-12-31T23:59:59Z", "9999-12-31T23:59:59-12:00", time.Now().Add(10*maxAge + time.Minute).UTC().Format(time.RFC3339)} {
		got := d.revoke(t, fmt.Sprintf(`[{"scope":"client","client":"PLANTED","expires_at":%q}]`, at))
		zero := 0
		want := []problem.Fault{{Index: &zero, Field: "expires_at", Detail: "lies more than 10 times max age (720h0m0s) in the future: leave it out, or give an earlier one"}}
		if diff := cmp.Diff(want, got.Faults); got.status != 422 || diff != "" {
			t.Errorf("%s: %d %s", at, got.status, diff)
		}
	}
	// A session that never ends is revoked all the same.
	for _, at := range []string{"9999-12-31T23:59:59Z", "9999-12-31T23:59:59-12:00"} {
		got := d.revoke(t, fmt.Sprintf(`{"scope":"session","session":"PLANTED","session_expires_at":%q}`, at))
		if got.status != 200 || got.ExpiresAt.After(time.Now().Add(10*maxAge+leeway)) {
			t.Errorf("%s: %d %s", at, got.status, got.body)
		}
	}
	for _, e := range d.stored(t) {
		if end := e.(*events.SessionRevoked).SessionExpiresAt; end.After(time.Now().Add(10 * maxAge)) {
			t.Errorf("replicas are told to keep it until %v", end)
		}
	}
}

func TestExpiryAtTheEdgesOfTime(t *testing.T) {
	d := newDesk(t, natstest.Bus(t), nil)
	for _, at := range []string{"1970-01-01T00:00:00Z", "9999-12-31T23:59:59Z"} {
		for _, member := range []string{"auth_time", "session_expires_at"} {
			if got := d.revoke(t, fmt.Sprintf(`{"scope":"session","session":"PLANTED","%s":"%s"}`, member, at)); got.status != 200 {
				t.Errorf("%s %s: a valid date became a fault: %s", member, at, got.body)
			}
		}
	}
}

// Ten times a long max age is more than a Duration holds.
func TestExpiryWithALongMaxAge(t *testing.T) {
	d := newDesk(t, natstest.Bus(t), func(c *publisher.Config) { c.MaxAge = 100 * 365 * 24 * time.Hour })
	if got := d.revoke(t, `{"scope":"session","session":"PLANTED","expires_at":"2500-01-01T00:00:00Z"}`); got.status != 200 || got.ExpiresAt.Year() != 2500 {
		t.Errorf("got %d %s", got.status, got.body)
	}
}
