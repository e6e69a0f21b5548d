package events_test

import (
	"strings"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/google/uuid"
)

// A stringField is a field that holds free text or an id.
type stringField struct {
	name string
	of   func(events.Event) *string // nil if the event doesn't have it
}

func stringFields() []stringField {
	meta := func(f func(*events.Common) *string) func(events.Event) *string {
		return func(e events.Event) *string { return f(e.Meta()) }
	}
	return []stringField{
		{"id", meta(func(c *events.Common) *string { return &c.ID })},
		{"source", meta(func(c *events.Common) *string { return &c.Source })},
		{"tenant", meta(func(c *events.Common) *string { return &c.Tenant })},
		{"reason", meta(func(c *events.Common) *string { return (*string)(&c.Reason) })},
		{"reason_admin", meta(func(c *events.Common) *string { return &c.ReasonAdmin })},
		{"reason_user", meta(func(c *events.Common) *string { return &c.ReasonUser })},
		{"initiator.type", meta(func(c *events.Common) *string { return (*string)(&c.Initiator.Type) })},
		{"initiator.id", meta(func(c *events.Common) *string { return &c.Initiator.ID })},
		{"traceparent", meta(func(c *events.Common) *string { return &c.TraceParent })},
		{"replay", meta(func(c *events.Common) *string { return &c.Replay })},
		{"session", func(e events.Event) *string {
			if e, ok := e.(*events.SessionRevoked); ok {
				return &e.Session
			}
			return nil
		}},
		{"user", func(e events.Event) *string {
			switch e := e.(type) {
			case *events.SessionRevoked:
				return &e.User
			case *events.UserLoggedOutEverywhere:
				return &e.User
			case *events.DeviceLoggedOut:
				return &e.User
			}
			return nil
		}},
		{"device", func(e events.Event) *string {
			switch e := e.(type) {
			case *events.SessionRevoked:
				return &e.Device
			case *events.DeviceLoggedOut:
				return &e.Device
			}
			return nil
		}},
		{"client", func(e events.Event) *string {
			switch e := e.(type) {
			case *events.SessionRevoked:
				return &e.Client
			case *events.ClientLoggedOut:
				return &e.Client
			}
			return nil
		}},
		{"except[1]", func(e events.Event) *string {
			if e, ok := e.(*events.UserLoggedOutEverywhere); ok {
				return &e.Except[1]
			}
			return nil
		}},
		{"known_sessions[2]", func(e events.Event) *string {
			if e, ok := e.(*events.UserLoggedOutEverywhere); ok {
				return &e.KnownSessions[2]
			}
			return nil
		}},
	}
}

type timeField struct {
	name string
	of   func(events.Event) *time.Time
}

func timeFields() []timeField {
	return []timeField{
		{"time", func(e events.Event) *time.Time { return &e.Meta().Time }},
		{"expires_at", func(e events.Event) *time.Time { return &e.Meta().ExpiresAt }},
		{"cutoff", func(e events.Event) *time.Time {
			switch e := e.(type) {
			case *events.UserLoggedOutEverywhere:
				return &e.Cutoff
			case *events.DeviceLoggedOut:
				return &e.Cutoff
			case *events.ClientLoggedOut:
				return &e.Cutoff
			case *events.TenantLoggedOut:
				return &e.Cutoff
			}
			return nil
		}},
		{"auth_time", func(e events.Event) *time.Time {
			if e, ok := e.(*events.SessionRevoked); ok {
				return &e.AuthTime
			}
			return nil
		}},
		{"session_expires_at", func(e events.Event) *time.Time {
			if e, ok := e.(*events.SessionRevoked); ok {
				return &e.SessionExpiresAt
			}
			return nil
		}},
	}
}

// stringCases lists, per form of a field, values at its boundaries and whether they are valid.
func stringCases(field string) map[string]bool {
	cases := map[string]bool{
		secret + "\x00": false, secret + "\xff": false, secret + "\t": false, secret + strings.Repeat("x", 600): false,
	}
	add := func(ok bool, values ...string) {
		for _, v := range values {
			cases[v] = ok
		}
	}
	switch field {
	case "id":
		add(true, "019ca8bb-b63b-7abc-8def-0123456789ab", "ffffffff-ffff-7fff-bfff-ffffffffffff")
		add(false, "", "019CA8BB-B63B-7ABC-8DEF-0123456789AB", uuid.NewString(), "019ca8bbb63b7abc8def0123456789ab", secret,
			"{019ca8bb-b63b-7abc-8def-0123456789ab}", "urn:uuid:019ca8bb-b63b-7abc-8def-0123456789ab", "019ca8bb-b63b-7abc-cdef-0123456789ab")
	case "source":
		add(true, "a", strings.Repeat("x", 256), "https://curfew.example.com/a?b=%20c#d")
		add(false, "", strings.Repeat("x", 257), "ü", "a b", "50%", secret+"<>")
	case "tenant":
		add(true, "default", "-", "0", strings.Repeat("a", 63))
		add(false, "", strings.Repeat("a", 64), "Default", "a.b", "*", ">", "a\n", "ä", "_", secret+"!")
	case "reason":
		for _, r := range events.Reasons() {
			add(true, string(r))
		}
		add(false, "", "USER_LOGOUT", secret)
	case "initiator.type":
		for _, typ := range initiatorTypes() {
			add(true, string(typ))
		}
		add(false, "", "bot", secret)
	case "traceparent":
		add(true, "", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
		add(false, secret, "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\n")
	case "reason_admin", "reason_user":
		add(true, "", "\n", strings.Repeat("x", 500), strings.Repeat("é", 250))
		add(false, strings.Repeat("x", 501), strings.Repeat("é", 250)+"x", secret+"\r\n", secret+"\u0085", secret+"\x1b[31m")
	default: // ids
		add(true, "x", " ", strings.Repeat("x", 256), strings.Repeat("é", 128), "\u2028", "a.b.*.>", `"`)
		add(false, strings.Repeat("x", 257), strings.Repeat("é", 128)+"x", secret+"\n", secret+"\u009f", secret+"\x7f", secret+"\xed\xa0\x80")
	}
	return cases
}
