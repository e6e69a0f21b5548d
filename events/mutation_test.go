package events_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/curfewhq/curfew/events"
)

// verdict is who takes a mutated event.
type verdict string

const (
	both    verdict = "both"    // Decode and schema
	neither verdict = "neither" // the rule: they agree
	// onlySchema marks rules that JSON Schema can't express. The $comment of common.schema.json lists them.
	onlySchema verdict = "only schema"
	// onlyDecode marks what readers take as left out and writers never write.
	onlyDecode verdict = "only Decode"
)

// remove as a mutation's value deletes the member.
type remove struct{}

type mutation struct {
	path  string // members joined with dots
	value any
	want  verdict
}

func idMutations(path string, required bool) []mutation {
	leftOut := onlyDecode
	if required {
		leftOut = neither
	}
	return []mutation{
		{path, "x", both},
		{path, " ", both},
		{path, "\u2028\u202e\ufffd", both},
		{path, strings.Repeat("x", 256), both},
		{path, strings.Repeat("x", 257), neither},
		{path, strings.Repeat("é", 128), both},
		{path, strings.Repeat("é", 129), onlySchema}, // bytes, not code points
		{path, strings.Repeat("🔒", 65), onlySchema},
		{path, "a\x00", neither},
		{path, "\n", neither},
		{path, "a\nb", neither},
		{path, "a\n", neither},
		{path, "\x1f", neither},
		{path, "\x7f", neither},
		{path, "\u0080", neither},
		{path, "\u009f", neither},
		{path, "\u00a0", both},
		{path, "", leftOut},
		{path, nil, leftOut},
		{path, 1, neither},
		{path, true, neither},
		{path, []any{"x"}, neither},
		{path, map[string]any{}, neither},
	}
}

func textMutations(path string) []mutation {
	return []mutation{
		{path, "two\nlines", both},
		{path, "\n", both},
		{path, strings.Repeat("x", 500), both},
		{path, strings.Repeat("x", 501), neither},
		{path, strings.Repeat("é", 250), both},
		{path, strings.Repeat("é", 251), onlySchema}, // bytes, not code points
		{path, "tab\t", neither},
		{path, "\r\n", neither},
		{path, "\x00", neither},
		{path, "\x1b[31m", neither},
		{path, "\u0085", neither},
		{path, "", onlyDecode},
		{path, nil, onlyDecode},
		{path, 1, neither},
		{path, []any{}, neither},
	}
}

func timeMutations(path string, required bool) []mutation {
	leftOut := onlyDecode
	if required {
		leftOut = neither
	}
	return []mutation{
		{path, "1970-01-01T00:00:00Z", both},
		{path, "9999-12-31T23:59:59.999999999Z", both},
		{path, "2026-03-01t09:30:00.1z", both},
		{path, "2026-03-01T09:30:00+23:59", both},
		{path, "2026-03-01T09:30:00-00:00", both},
		{path, "2028-02-29T00:00:00Z", both},
		{path, "1969-12-31T23:59:59.999Z", neither},
		{path, "0000-01-01T00:00:00Z", neither},
		{path, "10000-01-01T00:00:00Z", neither},
		{path, "1970-01-01T00:59:59+01:00", onlySchema}, // 1969 in UTC
		{path, "9999-12-31T23:59:59-01:00", onlySchema}, // 10000 in UTC
		{path, "2026-02-29T00:00:00Z", onlySchema},      // no such day; format: date-time would refuse it
		{path, "2026-02-30T00:00:00Z", onlySchema},
		{path, "2026-02-32T00:00:00Z", neither},
		{path, "2026-13-01T00:00:00Z", neither},
		{path, "2026-03-01T24:00:00Z", neither},
		{path, "2026-03-01T23:59:60Z", neither},
		{path, "2026-03-01T9:30:00Z", neither},
		{path, "2026-03-01T09:30Z", neither},
		{path, "2026-03-01T09:30:00", neither},
		{path, "2026-03-01T09:30:00.Z", neither},
		{path, "2026-03-01T09:30:00,5Z", neither},
		{path, "2026-03-01T09:30:00+24:00", neither},
		{path, "2026-03-01T09:30:00+0100", neither},
		{path, "2026-03-01T09:30:00+01:60", neither},
		{path, "2026-03-01 09:30:00Z", neither},
		{path, "2026-03-01", neither},
		{path, " 2026-03-01T09:30:00Z", neither},
		{path, "2026-03-01T09:30:00Z\n", neither},
		{path, "", neither},
		{path, 1772357400000, neither},
		{path, map[string]any{}, neither},
		{path, "0001-01-01T00:00:00Z", leftOut},
		{path, nil, leftOut},
	}
}

func commonMutations() []mutation {
	ms := []mutation{
		{"specversion", "0.3", neither},
		{"specversion", 1, neither},
		{"specversion", remove{}, neither},
		{"id", "019ca8bb-b63b-7abc-9def-0123456789ab", both},
		{"id", "019CA8BB-B63B-7ABC-9DEF-0123456789AB", neither},
		{"id", "019ca8bb-b63b-4abc-9def-0123456789ab", neither}, // version 4
		{"id", "019ca8bb-b63b-7abc-cdef-0123456789ab", neither}, // another variant
		{"id", "019ca8bbb63b7abc9def0123456789ab", neither},
		{"id", "{019ca8bb-b63b-7abc-9def-0123456789ab}", neither},
		{"id", "urn:uuid:019ca8bb-b63b-7abc-9def-0123456789ab", neither},
		{"id", "00000000-0000-0000-0000-000000000000", neither},
		{"id", "", neither},
		{"id", 7, neither},
		{"id", remove{}, neither},
		{"type", "io.github.curfewhq.SessionPaused.v1", neither},
		{"type", "io.github.curfewhq.SessionRevoked.v2", neither},
		{"type", "", neither},
		{"type", remove{}, neither},
		{"source", "x", both},
		{"source", "/", both},
		{"source", "https://[2001:db8::1]:8443/p?a=b#c", both},
		{"source", "%C3%BC", both},
		{"source", strings.Repeat("x", 256), both},
		{"source", strings.Repeat("x", 257), neither},
		{"source", "ü", neither},
		{"source", "a b", neither},
		{"source", "a%2", neither},
		{"source", "a\n", neither},
		{"source", "", neither},
		{"source", remove{}, neither},
		{"time", remove{}, neither},
		{"datacontenttype", remove{}, both},
		{"datacontenttype", "text/json", neither},
		{"datacontenttype", nil, onlyDecode},
		{"traceparent", remove{}, both},
		{"traceparent", "00-00000000000000000000000000000000-0000000000000000-00", both},
		{"traceparent", "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", neither},
		{"traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7", neither},
		{"traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-00", neither},
		{"traceparent", "", onlyDecode},
		{"data", nil, neither},
		{"data", "{}", neither},
		{"data", []any{}, neither},
		{"data", map[string]any{}, neither},
		{"data", remove{}, neither},
		{"data.tenant", "default", both},
		{"data.tenant", "-", both},
		{"data.tenant", strings.Repeat("a", 63), both},
		{"data.tenant", strings.Repeat("a", 64), neither},
		{"data.tenant", "Default", neither},
		{"data.tenant", "a.b", neither},
		{"data.tenant", "*", neither},
		{"data.tenant", ">", neither},
		{"data.tenant", "a\n", neither},
		{"data.tenant", "", neither},
		{"data.tenant", remove{}, neither},
		{"data.reason", "User_Logout", neither},
		{"data.reason", "other", neither},
		{"data.reason", "", neither},
		{"data.reason", []any{"admin"}, neither},
		{"data.reason", remove{}, neither},
		{"data.reason_admin", remove{}, both},
		{"data.reason_user", remove{}, both},
		{"data.initiator", remove{}, neither},
		{"data.initiator", "admin", neither},
		{"data.initiator", map[string]any{}, neither},
		{"data.initiator.id", remove{}, both},
		{"data.initiator.type", "bot", neither},
		{"data.initiator.type", "", neither},
		{"data.initiator.type", remove{}, neither},
		{"data.expires_at", remove{}, both},
		{"data.replayed", remove{}, neither},
		{"data.replayed", false, neither},
		{"data.replayed", "true", neither},
		{"data.replayed", 1, neither},
		{"data.replay", remove{}, neither},
		{"unknown", map[string]any{"id": 1}, both},
		{"Type", 1, both},
		{"data.unknown", []any{nil, 1.5}, both},
		{"data.Tenant", "*", both},
		{"data.initiator.unknown", nil, both},
	}
	for _, reason := range events.Reasons() {
		ms = append(ms, mutation{"data.reason", string(reason), both})
	}
	for _, typ := range initiatorTypes() {
		ms = append(ms, mutation{"data.initiator.type", string(typ), both})
	}
	ms = append(ms, timeMutations("time", true)...)
	ms = append(ms, timeMutations("data.expires_at", false)...)
	ms = append(ms, textMutations("data.reason_admin")...)
	ms = append(ms, textMutations("data.reason_user")...)
	ms = append(ms, idMutations("data.initiator.id", false)...)
	return append(ms, idMutations("data.replay", true)...) // required beside replayed
}

func listMutations(path string, most int) []mutation {
	ids := func(n int) []any {
		list := make([]any, n)
		for i := range list {
			list[i] = strings.Repeat("x", i%200+1)
		}
		return list
	}
	return []mutation{
		{path, remove{}, both},
		{path, []any{"x"}, both},
		{path, []any{"x", "x"}, both},
		{path, ids(most), both},
		{path, ids(most + 1), neither},
		{path, []any{"x", ""}, neither},
		{path, []any{"x", nil}, neither},
		{path, []any{"x", 1}, neither},
		{path, []any{"x", "\n"}, neither},
		{path, []any{[]any{"x"}}, neither},
		{path, []any{strings.Repeat("x", 257)}, neither},
		{path, []any{strings.Repeat("é", 129)}, onlySchema},
		{path, "x", neither},
		{path, map[string]any{"0": "x"}, neither},
		{path, []any{}, onlyDecode},
		{path, nil, onlyDecode},
	}
}

func ownMutations(e events.Event) []mutation {
	var ms []mutation
	required := func(path string, more []mutation) {
		ms = append(append(ms, mutation{path, remove{}, neither}), more...)
	}
	optional := func(path string, more []mutation) {
		ms = append(append(ms, mutation{path, remove{}, both}), more...)
	}
	if _, ok := events.Cutoff(e); ok {
		required("data.cutoff", timeMutations("data.cutoff", true))
	}
	switch e.(type) {
	case *events.SessionRevoked:
		required("data.session", idMutations("data.session", true))
		optional("data.user", idMutations("data.user", false))
		optional("data.device", idMutations("data.device", false))
		optional("data.client", idMutations("data.client", false))
		optional("data.auth_time", timeMutations("data.auth_time", false))
		optional("data.session_expires_at", timeMutations("data.session_expires_at", false))
	case *events.UserLoggedOutEverywhere:
		required("data.user", idMutations("data.user", true))
		ms = append(ms, listMutations("data.except", events.MaxExcept)...)
		ms = append(ms, listMutations("data.known_sessions", events.MaxKnownSessions)...)
		ms = append(ms, mutation{"data.except", []any{"s-1"}, onlySchema}) // s-1 is a known session too
	case *events.DeviceLoggedOut:
		required("data.device", idMutations("data.device", true))
		optional("data.user", idMutations("data.user", false))
	case *events.ClientLoggedOut:
		required("data.client", idMutations("data.client", true))
	}
	return ms
}

// mutate sets (or removes) one member in an encoded event.
func mutate(t testing.TB, file []byte, m mutation) []byte {
	t.Helper()
	doc := parseJSON(t, file).(map[string]any)
	in, last := doc, m.path
	for {
		first, rest, nested := strings.Cut(last, ".")
		if !nested {
			break
		}
		in, last = in[first].(map[string]any), rest
	}
	if _, gone := m.value.(remove); gone {
		delete(in, last)
	} else {
		in[last] = m.value
	}
	b, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
