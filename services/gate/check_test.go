package gate_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/curfewhq/curfew/events"
)

// whole names every claim of a session that began an hour before the bubble's midnight.
const whole = "session=laptop&user=ada&auth_time=1999-12-31T23:00:00Z"

func TestCheckOneStates(t *testing.T) {
	tests := []struct {
		name    string
		arrange func(*testing.T, *rig)
		query   string
		want    string
		state   string
	}{
		{
			name: "active", query: whole, state: "active",
			want: "OK\nCache-Control: no-store\nContent-Type: application/json\n" +
				`{"tenant":"default","state":"active","position":1,"staleness_ms":0}`,
		},
		{
			name: "revoked", query: whole, state: "revoked",
			arrange: func(t *testing.T, g *rig) { g.publish(t, sessionRevoked("laptop")) },
			want: "Unauthorized\nCache-Control: no-store\nContent-Type: application/problem+json\n" +
				`Www-Authenticate: Bearer error="invalid_token", error_description="The session is over"` + "\n" +
				`{"type":"about:blank","title":"Unauthorized","status":401,"detail":"The session is over: sign in again.","code":"session_revoked",` +
				`"retry":false,"tenant":"default","state":"revoked","scope":"session","reason":"user_logout","event_position":2,"event":"` + eventID + `","at":"2000-01-01T00:00:00Z","position":2,"staleness_ms":0}`,
		},
		{
			name: "past max age", query: "session=laptop&user=ada&auth_time=1999-12-01T00:00:00Z", state: "revoked",
			want: "Unauthorized\nCache-Control: no-store\nContent-Type: application/problem+json\n" +
				`Www-Authenticate: Bearer error="invalid_token", error_description="The session is over"` + "\n" +
				`{"type":"about:blank","title":"Unauthorized","status":401,"detail":"The session is over: sign in again.","code":"session_revoked",` +
				`"retry":false,"tenant":"default","state":"revoked","scope":"max_age","reason":"max_age","at":"1999-12-31T00:00:00Z","position":1,"staleness_ms":0}`,
		},
		{
			name: "stale", query: whole, state: "undetermined",
			arrange: func(_ *testing.T, g *rig) { g.feed.Stall(); pass(16 * time.Second) },
			want: "Service Unavailable\nCache-Control: no-store\nContent-Type: application/problem+json\nRetry-After: 1\n" +
				`{"type":"about:blank","title":"Service Unavailable","status":503,"detail":"Whether the session is over can't be told at the moment: try again.",` +
				`"code":"session_undetermined","retry":true,"tenant":"default","state":"undetermined","cause":"replica is stale","position":1,"staleness_ms":16000}`,
		},
		{
			// A 401 would sign people out because of a caller's bug (traps 29 and 40).
			name: "claim missing", query: "session=laptop&user=ada", state: "undetermined",
			want: "Unprocessable Entity\nCache-Control: no-store\nContent-Type: application/problem+json\n" +
				`{"type":"about:blank","title":"Unprocessable Entity","status":422,"detail":"The question lacks what its answer depends on, or has it wrong; cause says what.",` +
				`"code":"session_claims_missing","retry":false,"tenant":"default","state":"undetermined","cause":"auth time is missing","position":1,"staleness_ms":0}`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, nil, func(t *testing.T, g *rig) {
				if tt.arrange != nil {
					tt.arrange(t, g)
				}
				if diff := cmp.Diff(tt.want+"\n", dump(g.get(t, tt.query))); diff != "" {
					t.Errorf("answer (-want +got):\n%s", diff)
				}
				counted(t, g.metrics.Checks.WithLabelValues(tt.state), 1)
				// The other form of the call gives the same state, always with 200.
				w := g.post(t, bodyOf(tt.query))
				if got := read(t, w).State; w.Code != http.StatusOK || got != tt.state {
					t.Errorf("POST: %d %s, want 200 %s", w.Code, got, tt.state)
				}
			})
		})
	}
}

// bodyOf writes a query as a body.
func bodyOf(query string) string {
	var members []string
	for part := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(part, "=")
		members = append(members, `"`+name+`":"`+value+`"`)
	}
	return "{" + strings.Join(members, ",") + "}"
}

func TestCheckOneRefusals(t *testing.T) {
	bubble(t, nil, func(t *testing.T, g *rig) {
		long := strings.Repeat("x", events.MaxIDBytes+1)
		tests := []struct {
			name, query, code string
			header            http.Header
			status            int
			field             string
		}{
			{name: "unknown parameter", query: whole + "&tenant=acme", status: 400, code: "invalid_parameter"},
			{name: "misspelt parameter", query: "sesion=laptop", status: 400, code: "invalid_parameter"},
			{name: "twice", query: "session=laptop&session=phone&user=ada", status: 400, code: "invalid_parameter"},
			{name: "twice the same", query: "user=ada&user=ada", status: 400, code: "invalid_parameter"},
			{name: "semicolon", query: "session=a;user=ada", status: 400, code: "invalid_parameter"},
			{name: "bad escape", query: "session=%zz", status: 400, code: "invalid_parameter"},
			{name: "auth time in seconds", query: "session=a&auth_time=946681200", status: 400, code: "invalid_parameter"},
			{name: "auth time with a naked plus", query: "session=a&auth_time=2000-01-01T00:00:00+01:00", status: 400, code: "invalid_parameter"},
			{name: "auth time that is Go's zero", query: "session=a&auth_time=0001-01-01T00:00:00Z", status: 422, code: "invalid_request", field: "auth_time"},
			{name: "no budget at all", query: whole + "&max_staleness_ms=0", status: 422, code: "invalid_request", field: "max_staleness_ms"},
			{name: "negative budget", query: whole + "&max_staleness_ms=-1", status: 422, code: "invalid_request", field: "max_staleness_ms"},
			{name: "budget with a unit", query: whole + "&max_staleness_ms=3s", status: 400, code: "invalid_parameter"},
			{name: "negative position", query: whole + "&position=-1", status: 400, code: "invalid_parameter"},
			{name: "long id", query: "session=" + long, status: 422, code: "invalid_request", field: "session"},
			{name: "control character", query: "user=a%0d%0aX-User-ID:+root", status: 422, code: "invalid_request", field: "user"},
			{name: "not UTF-8", query: "device=%ff", status: 422, code: "invalid_request", field: "device"},
			{name: "the name without the warning", query: whole + "&allow_missing=user", status: 400, code: "invalid_parameter"},
			{name: "dangerously_allow_missing of nothing", query: whole + "&dangerously_allow_missing=", status: 422, code: "invalid_request", field: "dangerously_allow_missing"},
			{name: "dangerously_allow_missing of a stranger", query: whole + "&dangerously_allow_missing=user,device", status: 422, code: "invalid_request", field: "dangerously_allow_missing"},
			{name: "header isn't a number", query: whole, header: http.Header{"Curfew-Position": {"soon"}}, status: 400, code: "invalid_position"},
			{name: "header is empty", query: whole, header: http.Header{"Curfew-Position": {""}}, status: 400, code: "invalid_position"},
			{name: "two headers", query: whole, header: http.Header{"Curfew-Position": {"1", "2"}}, status: 400, code: "invalid_position"},
			{name: "auth time in the future", query: "session=a&user=ada&auth_time=2000-01-01T00:06:00Z", status: 422, code: "session_claims_invalid"},
		}
		for _, tt := range tests {
			w := g.do(t, call{target: "/v1/check?" + tt.query, key: g.keys.check, header: tt.header})
			got := read(t, w)
			if w.Code != tt.status || got.Code != tt.code {
				t.Errorf("%s: %d %s, want %d %s: %s", tt.name, w.Code, got.Code, tt.status, tt.code, w.Body)
			}
			if w.Header().Get("WWW-Authenticate") != "" || w.Header().Get("Retry-After") != "" {
				t.Errorf("%s: headers %v ask for what doesn't help", tt.name, w.Header())
			}
			if tt.field != "" && (len(got.Errors) != 1 || got.Errors[0].Field != tt.field || got.Errors[0].Index != nil) {
				t.Errorf("%s: errors %+v, want one of %s without an index", tt.name, got.Errors, tt.field)
			}
		}
		counted(t, g.metrics.Checks.WithLabelValues("active"), 0)
		counted(t, g.metrics.Refused.WithLabelValues("invalid_position"), 3)
		counted(t, g.metrics.Refused.WithLabelValues("session_claims_invalid"), 1)
	})
}

func TestCheckKeys(t *testing.T) {
	g := newRig(t, newKeys(t), nil)
	tests := []struct {
		name, key, code string
		status          int
	}{
		{name: "none", status: 401, code: "api_key_missing"},
		{name: "a token instead", key: token(t, claims("laptop", "ada")), status: 401, code: "api_key_missing"},
		{name: "unknown", key: "cfw_0123456789abcdef_" + strings.Repeat("0", 64), status: 401, code: "api_key_invalid"},
		{name: "another scope", key: g.keys.publish, status: 403, code: "api_key_scope"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, method := range []string{http.MethodGet, http.MethodPost} {
				w := g.do(t, call{method: method, target: "/v1/check", key: tt.key})
				if got := read(t, w); w.Code != tt.status || got.Code != tt.code || got.State != "" {
					t.Errorf("%s: %d %s, want %d %s and no state", method, w.Code, w.Body, tt.status, tt.code)
				}
				if !strings.Contains(w.Header().Get("WWW-Authenticate"), `realm="curfew"`) {
					t.Errorf("%s: WWW-Authenticate is %q", method, w.Header().Get("WWW-Authenticate"))
				}
			}
		})
	}
	counted(t, g.metrics.Refused.WithLabelValues("api_key_scope"), 2)
}

// The tenant comes from the key: the same ids are other people elsewhere (trap 28).
func TestCheckTenantIsTheKeys(t *testing.T) {
	bubble(t, nil, func(t *testing.T, g *rig) {
		g.publish(t, &events.UserLoggedOutEverywhere{Common: common("acme"), User: "ada", Cutoff: time.Now()})
		for _, tt := range []struct{ key, tenant, want string }{{g.keys.acme, "acme", "revoked"}, {g.keys.check, "default", "active"}} {
			w := g.do(t, call{target: "/v1/check?" + whole, key: tt.key})
			if got := read(t, w); got.State != tt.want || got.Tenant != tt.tenant {
				t.Errorf("%s of %s, want %s of %s", got.State, got.Tenant, tt.want, tt.tenant)
			}
		}
		w := g.post(t, `{"session":"laptop","tenant":"acme"}`)
		if w.Code != http.StatusBadRequest || read(t, w).Code != "malformed_body" {
			t.Errorf("a tenant in the body: %d %s", w.Code, w.Body)
		}
	})
}

// Trap 27: the answer tells nothing of whether a session, a user or a tenant's session exists.
func TestCheckIsNoOracle(t *testing.T) {
	bubble(t, nil, func(t *testing.T, g *rig) {
		g.publish(t, &events.SessionRevoked{Common: common("acme"), Session: "laptop", User: "ada"})
		unknown := dump(g.get(t, "session=nobody-has-it&user=nobody&auth_time=1999-12-31T23:00:00Z"))
		if foreign := dump(g.get(t, whole)); foreign != unknown {
			t.Errorf("a session of another tenant: %s\nan unknown one: %s", foreign, unknown)
		}
		if !strings.Contains(unknown, `"state":"active"`) {
			t.Errorf("an unknown session: %s, want active", unknown)
		}
		// And it is ended all the same when its logout comes first (trap 14).
		g.publish(t, sessionRevoked("nobody-has-it"))
		if got := read(t, g.get(t, "session=nobody-has-it&user=nobody&auth_time=1999-12-31T23:00:00Z")).State; got != "revoked" {
			t.Errorf("after its logout: %s", got)
		}
	})
}
