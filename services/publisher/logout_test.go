package publisher_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/natstest"
)

func TestLogout(t *testing.T) {
	tests := []struct {
		name, body    string
		except, known []string
		reason        events.Reason
		initiator     events.InitiatorType
	}{
		{name: "everywhere", body: `{"scope":"everywhere"}`, reason: events.ReasonUserLogout, initiator: events.InitiatorUser},
		// Contract 4, rule 4: the sids that are known are ended by name too.
		{name: "everywhere with known sessions", body: `{"scope":"everywhere","known_sessions":["PLANTED a","PLANTED b"],"reason":"password_changed","initiator":{"type":"admin"}}`,
			known: []string{"PLANTED a", "PLANTED b"}, reason: events.ReasonPasswordChanged, initiator: events.InitiatorAdmin},
		{name: "others", body: `{"scope":"others","current_session":"PLANTED me"}`, except: []string{"PLANTED me"}, reason: events.ReasonUserLogout, initiator: events.InitiatorUser},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := newDesk(t, natstest.Bus(t), nil)
			got := d.call(t, d.key, http.MethodPost, "/v1/users/"+url.PathEscape("PLANTED/ü %")+"/logout", tt.body)
			if got.status != 200 {
				t.Fatalf("got %d %s", got.status, got.body)
			}
			e, ok := d.one(t).(*events.UserLoggedOutEverywhere)
			if !ok || e.User != "PLANTED/ü %" || e.Tenant != "acme" || !e.Cutoff.Equal(e.Time) || e.ID != got.ID {
				t.Fatalf("the event is %+v", e)
			}
			if diff := cmp.Diff([]any{tt.except, tt.known, tt.reason, tt.initiator}, []any{e.Except, e.KnownSessions, e.Reason, e.Initiator.Type}); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Trap 21: others without the caller's own sid is refused, and never widened to everywhere.
func TestLogoutIsNeverWidened(t *testing.T) {
	d := newDesk(t, natstest.Bus(t), nil)
	tests := []struct {
		name, user, body string
		status           int
		field            string
	}{
		{name: "others without a session", body: `{"scope":"others"}`, status: 422, field: "current_session"},
		{name: "others with an empty session", body: `{"scope":"others","current_session":""}`, status: 422, field: "current_session"},
		{name: "others with null", body: `{"scope":"others","current_session":null}`, status: 422, field: "current_session"},
		{name: "others with a session that is none", body: `{"scope":"others","current_session":"\n"}`, status: 422, field: "except[0]"},
		{name: "others that keep and end the same", body: `{"scope":"others","current_session":"a","known_sessions":["a"]}`, status: 422, field: "known_sessions[0]"},
		{name: "everywhere with a session to keep", body: `{"scope":"everywhere","current_session":"a"}`, status: 422, field: "current_session"},
		{name: "no scope", body: `{}`, status: 422, field: "scope"},
		{name: "another scope", body: `{"scope":"global"}`, status: 422, field: "scope"},
		{name: "a misspelt member", body: `{"scope":"others","currentSession":"a"}`, status: 400},
		{name: "an array", body: `[{"scope":"everywhere"}]`, status: 400},
		{name: "empty", body: ``, status: 400},
		{name: "a user with a control character", user: "a%00", body: `{"scope":"everywhere"}`, status: 422, field: "user"},
		{name: "a user that isn't UTF-8", user: "%ff", body: `{"scope":"everywhere"}`, status: 422, field: "user"},
		{name: "a user that is too long", user: strings.Repeat("u", 257), body: `{"scope":"everywhere"}`, status: 422, field: "user"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			user := "PLANTED"
			if tt.user != "" {
				user = tt.user
			}
			got := d.call(t, d.key, http.MethodPost, "/v1/users/"+user+"/logout", tt.body)
			field := ""
			if len(got.Faults) > 0 {
				field = got.Faults[0].Field
			}
			if got.status != tt.status || field != tt.field {
				t.Errorf("got %d %s, want %d for %q", got.status, got.body, tt.status, tt.field)
			}
		})
	}
	if all := d.stored(t); len(all) != 0 {
		t.Errorf("%d events were stored", len(all))
	}
}

// Traps 28 and 30: the tenant is the key's; nothing in a request can name another.
func TestTenantComesFromTheKeyAlone(t *testing.T) {
	d := newDesk(t, natstest.Bus(t), nil)
	tests := []struct {
		name, path, body string
		header           []string
		stored           bool
	}{
		{name: "a member", body: `{"scope":"session","session":"PLANTED","tenant":"globex"}`},
		{name: "a member of an item", body: `[{"scope":"session","session":"PLANTED","tenant":"globex"}]`},
		{name: "a parameter", path: "?tenant=globex", body: `{"scope":"session","session":"PLANTED"}`},
		{name: "a member of the event", body: `{"scope":"session","session":"PLANTED","data":{"tenant":"globex"}}`},
		{name: "headers", body: `{"scope":"session","session":"PLANTED"}`, header: []string{"Tenant", "globex", "X-Tenant", "globex", "X-Curfew-Tenant", "globex"}, stored: true},
		{name: "ids that look like topics", body: `{"scope":"session","session":"curfew.v1.globex.00.session","user":"globex.00.>"}`, stored: true},
		{name: "ids with separators", body: `{"scope":"device","device":"globex/PLANTED","user":"*"}`, stored: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := d.call(t, d.key, http.MethodPost, "/v1/revocations"+tt.path, tt.body, tt.header...)
			if tt.stored != (got.status == 200) {
				t.Errorf("got %d %s", got.status, got.body)
			}
		})
	}
	for _, e := range d.stored(t) {
		if e.Meta().Tenant != "acme" || events.TopicOf(e).Tenant != "acme" {
			t.Errorf("an event lies with %s", e.Meta().Tenant)
		}
	}
}

func TestScopesOfKeys(t *testing.T) {
	d := newDesk(t, natstest.Bus(t), nil)
	publish, read, check := d.newKey(t, "acme", access.ScopePublish), d.newKey(t, "acme", access.ScopeRead), d.newKey(t, "acme", access.ScopeCheck, access.ScopeAdmin)
	const session, tenant = `{"scope":"session","session":"PLANTED"}`, `{"scope":"tenant"}`
	tests := []struct {
		name, key, method, path, body string
		want                          int
	}{
		{"publish", publish, http.MethodPost, "/v1/revocations", session, 200},
		{"publish a logout", publish, http.MethodPost, "/v1/users/PLANTED/logout", `{"scope":"everywhere"}`, 200},
		{"read can't publish", read, http.MethodPost, "/v1/revocations", session, 403},
		{"read can't log out", read, http.MethodPost, "/v1/users/PLANTED/logout", `{"scope":"everywhere"}`, 403},
		{"admin alone can't publish", check, http.MethodPost, "/v1/revocations", tenant, 403},
		{"publish can't log out a tenant", publish, http.MethodPost, "/v1/revocations", tenant, 403},
		{"nor in an array", publish, http.MethodPost, "/v1/revocations", "[" + session + "," + tenant + "]", 403},
		{"publish and admin can", d.admin, http.MethodPost, "/v1/revocations", tenant, 200},
		{"no key", "", http.MethodPost, "/v1/revocations", session, 401},
		{"another method", d.admin, http.MethodPut, "/v1/revocations", session, 405},
		{"a logout by GET", d.admin, http.MethodGet, "/v1/users/PLANTED/logout", "", 405},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := len(d.stored(t))
			got := d.call(t, tt.key, tt.method, tt.path, tt.body)
			if got.status != tt.want {
				t.Fatalf("got %d %s, want %d", got.status, got.body, tt.want)
			}
			if tt.want == 403 && !strings.Contains(got.header.Get("WWW-Authenticate"), `error="insufficient_scope"`) {
				t.Errorf("WWW-Authenticate is %q", got.header.Get("WWW-Authenticate"))
			}
			if got.status != 200 && len(d.stored(t)) != before {
				t.Error("a refused call has stored something")
			}
		})
	}
	if d.refused("api_key_scope") != 5 || d.refused("api_key_missing") != 1 {
		t.Errorf("counted %v and %v", d.refused("api_key_scope"), d.refused("api_key_missing"))
	}
}
