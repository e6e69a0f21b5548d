package gate_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/services/gate"
)

func TestCheckBatchKeepsOrder(t *testing.T) {
	bubble(t, nil, func(t *testing.T, g *rig) {
		var questions, want []string
		for i := range gate.MaxBatch {
			questions = append(questions, fmt.Sprintf(`{"session":"s%d","user":"u%d","auth_time":"1999-12-31T23:00:00Z"}`, i, i))
			want = append(want, "active")
		}
		for _, i := range []int{0, 7, gate.MaxBatch - 1} {
			g.publish(t, sessionRevoked(fmt.Sprintf("s%d", i)))
			want[i] = "revoked"
		}
		questions[3], want[3] = `{"session":"s3"}`, "undetermined"
		got := read(t, g.post(t, "\n ["+strings.Join(questions, ",")+"]"))
		if len(got.Decisions) != gate.MaxBatch {
			t.Fatalf("%d decisions, want %d", len(got.Decisions), gate.MaxBatch)
		}
		var states []string
		for _, d := range got.Decisions {
			states = append(states, d.State)
			if d.Position != 4 {
				t.Fatalf("position %d, want 4", d.Position)
			}
		}
		if diff := cmp.Diff(want, states); diff != "" {
			t.Errorf("states (-want +got):\n%s", diff)
		}
		if got.Decisions[3].Cause != "user is missing" {
			t.Errorf("cause %q", got.Decisions[3].Cause)
		}
		counted(t, g.metrics.Checks.WithLabelValues("active"), gate.MaxBatch-4)
		counted(t, g.metrics.Checks.WithLabelValues("revoked"), 3)
		counted(t, g.metrics.Checks.WithLabelValues("undetermined"), 1)
	})
}

func TestCheckBatchExactBodies(t *testing.T) {
	bubble(t, nil, func(t *testing.T, g *rig) {
		const one = `{"tenant":"default","state":"active","position":1,"staleness_ms":0}`
		const question = `{"session":"laptop","user":"ada","auth_time":"1999-12-31T23:00:00Z"}`
		for _, tt := range []struct{ body, want string }{
			{question, one},
			{"[" + question + "]", `{"decisions":[` + one + `]}`},
			{"[]", `{"decisions":[]}`},
		} {
			want := "OK\nCache-Control: no-store\nContent-Type: application/json\n" + tt.want + "\n"
			if diff := cmp.Diff(want, dump(g.post(t, tt.body))); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.body, diff)
			}
		}
	})
}

func TestCheckBatchRefusals(t *testing.T) {
	g := newRig(t, newKeys(t), nil)
	many := func(n int) string { return "[" + strings.TrimSuffix(strings.Repeat("{},", n), ",") + "]" }
	tests := []struct {
		name, body, code, faults string
		status                   int
	}{
		{name: "empty", body: "", status: 400, code: "malformed_body"},
		{name: "not JSON", body: "session=laptop", status: 400, code: "malformed_body"},
		{name: "unknown member", body: `{"sesion":"laptop"}`, status: 400, code: "malformed_body"},
		{name: "two values", body: `{"session":"a"}{"session":"b"}`, status: 400, code: "malformed_body"},
		{name: "number for an id", body: `{"session":7}`, status: 400, code: "malformed_body"},
		{name: "auth time in seconds", body: `{"auth_time":946681200}`, status: 400, code: "malformed_body"},
		{name: "negative position", body: `{"position":-1}`, status: 400, code: "malformed_body"},
		{name: "array of ids", body: `["laptop"]`, status: 400, code: "malformed_body"},
		{name: "one too many", body: many(gate.MaxBatch + 1), status: 422, code: "invalid_request"},
		{name: "too large", body: `{"session":"` + strings.Repeat("x", 1<<20) + `"}`, status: 413, code: "body_too_large"},
		{name: "fault of an object", body: `{"session":"a\nb"}`, status: 422, code: "invalid_request", faults: "- session"},
		{name: "faults of an array", body: `[{},{"user":"a\u0000"},{"max_staleness_ms":0,"dangerously_allow_missing":["everything"]}]`,
			status: 422, code: "invalid_request", faults: "1 user, 2 max_staleness_ms, 2 dangerously_allow_missing"},
		// One fault for each member, or a megabyte of them would be answered with twenty.
		{name: "many wrong names", body: `{"dangerously_allow_missing":["x"` + strings.Repeat(`,"x"`, 10_000) + `]}`,
			status: 422, code: "invalid_request", faults: "- dangerously_allow_missing"},
		{name: "the name without the warning", body: `{"session":"laptop","allow_missing":["user"]}`, status: 400, code: "malformed_body"},
		{name: "Go's zero time", body: `{"auth_time":"0001-01-01T00:00:00Z","dangerously_allow_missing":["auth_time"]}`, status: 422, code: "invalid_request", faults: "- auth_time"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := g.post(t, tt.body)
			got := read(t, w)
			if w.Code != tt.status || got.Code != tt.code {
				t.Fatalf("%d %s, want %d %s: %s", w.Code, got.Code, tt.status, tt.code, w.Body)
			}
			var faults []string
			for _, f := range got.Errors {
				index := "-"
				if f.Index != nil {
					index = fmt.Sprint(*f.Index)
				}
				faults = append(faults, index+" "+f.Field)
			}
			if diff := cmp.Diff(tt.faults, strings.Join(faults, ", ")); diff != "" {
				t.Errorf("faults (-want +got):\n%s", diff)
			}
		})
	}
	counted(t, g.metrics.Refused.WithLabelValues("malformed_body"), 9)
	counted(t, g.metrics.Checks.WithLabelValues("undetermined"), 0)
	w := g.do(t, call{method: http.MethodPost, target: "/v1/check", key: g.keys.check, body: "{}", header: http.Header{"Content-Type": {"text/plain"}}})
	if w.Code != http.StatusUnsupportedMediaType {
		t.Errorf("text/plain: %d, want 415", w.Code)
	}
}

func TestCheckAllowMissing(t *testing.T) {
	bubble(t, nil, func(t *testing.T, g *rig) {
		g.publish(t, &events.UserLoggedOutEverywhere{Common: common(events.DefaultTenant), User: "grace", Cutoff: time.Now()})
		const at = `"auth_time":"1999-12-31T23:00:00Z"`
		tests := []struct{ name, body, state, cause string }{
			{"nothing", `{}`, "undetermined", "session id is missing"},
			{"no session", `{"user":"ada",` + at + `}`, "undetermined", "session id is missing"},
			{"no user", `{"session":"laptop",` + at + `}`, "undetermined", "user is missing"},
			{"no auth time", `{"session":"laptop","user":"ada"}`, "undetermined", "auth time is missing"},
			{"no session, allowed", `{"user":"ada",` + at + `,"dangerously_allow_missing":["session"]}`, "active", ""},
			{"no user, allowed", `{"session":"laptop",` + at + `,"dangerously_allow_missing":["user"]}`, "active", ""},
			{"no auth time, allowed", `{"session":"laptop","user":"ada","dangerously_allow_missing":["auth_time"]}`, "active", ""},
			{"no auth time, allowed, but a cutoff exists", `{"session":"laptop","user":"grace","dangerously_allow_missing":["auth_time"]}`, "undetermined", "auth time is missing"},
			{"another is allowed", `{"session":"laptop","user":"ada","dangerously_allow_missing":["user","session"]}`, "undetermined", "auth time is missing"},
			{"all", `{"dangerously_allow_missing":["session","user","auth_time"]}`, "active", ""},
			{"empty list", `{"session":"laptop","user":"ada","dangerously_allow_missing":[]}`, "undetermined", "auth time is missing"},
		}
		for _, tt := range tests {
			got := read(t, g.post(t, tt.body))
			if got.State != tt.state || got.Cause != tt.cause {
				t.Errorf("%s: %s %q, want %s %q", tt.name, got.State, got.Cause, tt.state, tt.cause)
			}
		}
		if w := g.get(t, "session=laptop&dangerously_allow_missing=user,auth_time"); w.Code != http.StatusOK {
			t.Errorf("as a parameter: %d %s", w.Code, w.Body)
		}
	})
}

// Trap 1: whole seconds stand for the start of their second, and are over when the cutoff lies in it; milliseconds tell the two apart.
func TestCheckAuthTimePrecision(t *testing.T) {
	bubble(t, nil, func(t *testing.T, g *rig) {
		pass(500 * time.Millisecond)
		g.publish(t, &events.UserLoggedOutEverywhere{Common: common(events.DefaultTenant), User: "ada", Cutoff: time.Now()})
		tests := []struct{ authTime, want string }{
			{"1999-12-31T23:59:59Z", "revoked"},
			{"2000-01-01T00:00:00Z", "revoked"},
			{"2000-01-01T00:00:00.499Z", "revoked"},
			{"2000-01-01T00:00:00.500Z", "revoked"},
			{"2000-01-01T00:00:00.500999Z", "revoked"}, // floored to the millisecond
			{"2000-01-01T00:00:00.501Z", "active"},
			{"2000-01-01T01:00:00.501+01:00", "active"},
			{"1999-12-31T23:00:00.500-01:00", "revoked"},
			{"2000-01-01T00:00:01Z", "active"},
		}
		for _, tt := range tests {
			if got := read(t, g.post(t, `{"session":"laptop","user":"ada","auth_time":"`+tt.authTime+`"}`)).State; got != tt.want {
				t.Errorf("POST %s: %s, want %s", tt.authTime, got, tt.want)
			}
			query := "session=laptop&user=ada&auth_time=" + strings.ReplaceAll(tt.authTime, "+", "%2B")
			if got := read(t, g.get(t, query)).State; got != tt.want {
				t.Errorf("GET %s: %s, want %s", tt.authTime, got, tt.want)
			}
		}
	})
}
