package events

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
)

// Limits of events, in the unit that the name says.
const (
	MaxIDBytes       = 256
	MaxTextBytes     = 500
	MaxSourceBytes   = 256
	MaxExcept        = 16
	MaxKnownSessions = 1000
)

// sourceCharacters are those of a URI reference (RFC 3986, appendix A), without the percent sign.
const sourceCharacters = letters + upperLetters + digits + "-._~:/?#[]@!$&'()*+,;="

const (
	letters      = "abcdefghijklmnopqrstuvwxyz"
	upperLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	digits       = "0123456789"
)

// traceParentForm is the form of W3C Trace Context level 1, section 3.2.
var traceParentForm = regexp.MustCompile(`^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$`)

// only reports whether s has no other characters than those, which are ASCII.
func only(s, characters string) bool {
	for i := range len(s) {
		if strings.IndexByte(characters, s[i]) < 0 {
			return false
		}
	}
	return true
}

// isReference reports whether s has the alphabet of a URI reference.
func isReference(s string) bool {
	rest, escape, escaped := strings.Cut(s, "%")
	for ; escaped; rest, escape, escaped = strings.Cut(escape, "%") {
		if !only(rest, sourceCharacters) || len(escape) < 2 || !only(escape[:2], digits+"abcdefABCDEF") {
			return false
		}
		escape = escape[2:]
	}
	return only(rest, sourceCharacters)
}

// faults collects what is wrong with an event. The zero value is ready to use.
type faults []FieldFault

func (f *faults) add(field, format string, args ...any) {
	*f = append(*f, FieldFault{Field: field, Remedy: fmt.Sprintf(format, args...)})
}

func (f *faults) err() error {
	if len(*f) == 0 {
		return nil
	}
	return &InvalidError{Faults: *f}
}

// IDFault returns "" if id has the form of a user, session, device or client id (1 to 256 bytes of UTF-8 without control
// characters), or else a remedy. Services use it for the ids of requests, so that one rule holds everywhere.
func IDFault(id string) string {
	switch {
	case id == "":
		return "is required: give the id"
	case len(id) > MaxIDBytes:
		return fmt.Sprintf("is longer than %d bytes: give the id itself, not a token", MaxIDBytes)
	case !utf8.ValidString(id):
		return "isn't valid UTF-8: send the id as UTF-8 text"
	case strings.ContainsFunc(id, unicode.IsControl):
		return "holds a control character: send the id without it"
	}
	return ""
}

// TenantFault returns "" if tenant has the form of a tenant, or else a remedy.
func TenantFault(tenant string) string {
	if len(tenant) == 0 || len(tenant) > 63 || !only(tenant, letters+digits+"-") {
		return "must be 1 to 63 characters of a-z, 0-9 and '-'"
	}
	return ""
}

// TraceParentFault returns "" if s has the form of a W3C trace context (level 1, section 3.2, of any version), or else a remedy.
// A trace id of zeros has the form too: no logout fails for the sake of a trace. The empty string hasn't.
func TraceParentFault(s string) string {
	if !traceParentForm.MatchString(s) {
		return "must have the form of W3C Trace Context, or be left out"
	}
	return ""
}

func (f *faults) id(field, value string, required bool) {
	if value == "" && !required {
		return
	}
	if fault := IDFault(value); fault != "" {
		f.add(field, "%s", fault)
	}
}

func (f *faults) text(field, value string) {
	switch {
	case len(value) > MaxTextBytes:
		f.add(field, "is longer than %d bytes: shorten it", MaxTextBytes)
	case !utf8.ValidString(value):
		f.add(field, "isn't valid UTF-8: send UTF-8 text")
	case strings.ContainsFunc(value, func(r rune) bool { return unicode.IsControl(r) && r != '\n' }):
		f.add(field, "holds a control character: send plain text")
	}
}

// Years 1970 to 9999: RFC 3339 has four digits, and nothing began before Unix time.
func (f *faults) time(field string, t time.Time, required bool) {
	switch {
	case t.IsZero() && required:
		f.add(field, "is required: give an RFC 3339 time")
	case t.IsZero():
	case t.Unix() < 0 || t.UTC().Year() > 9999:
		f.add(field, "must lie between the years 1970 and 9999")
	}
}

func (f *faults) common(c *Common) {
	// One spelling: ids are compared as strings, and UUIDs allow several.
	if id, err := uuid.Parse(c.ID); err != nil || id.Version() != 7 || id.Variant() != uuid.RFC4122 || len(c.ID) != 36 || strings.ToLower(c.ID) != c.ID {
		f.add("id", "must be a UUIDv7 of 36 characters in lower case")
	}
	f.time("time", c.Time, true)
	if c.Source == "" || len(c.Source) > MaxSourceBytes || !isReference(c.Source) {
		f.add("source", "must be a URI reference of 1 to %d bytes", MaxSourceBytes)
	}
	if fault := TenantFault(c.Tenant); fault != "" {
		f.add("tenant", "%s", fault)
	}
	if !slices.Contains(Reasons(), c.Reason) {
		f.add("reason", "must be one of %s", joined(Reasons()))
	}
	f.text("reason_admin", c.ReasonAdmin)
	f.text("reason_user", c.ReasonUser)
	switch c.Initiator.Type {
	case InitiatorUser, InitiatorAdmin, InitiatorPolicy, InitiatorSystem:
	default:
		f.add("initiator.type", "must be one of user, admin, policy, system")
	}
	f.id("initiator.id", c.Initiator.ID, false)
	f.time("expires_at", c.ExpiresAt, false)
	if c.TraceParent != "" {
		if fault := TraceParentFault(c.TraceParent); fault != "" {
			f.add("traceparent", "%s", fault)
		}
	}
	f.id("replay", c.Replay, false)
}

func joined(reasons []Reason) string {
	names := make([]string, len(reasons))
	for i, r := range reasons {
		names[i] = string(r)
	}
	return strings.Join(names, ", ")
}

// Validate returns nil or an [*InvalidError].
func (e *SessionRevoked) Validate() error {
	var f faults
	f.common(&e.Common)
	f.id("session", e.Session, true)
	f.id("user", e.User, false)
	f.id("device", e.Device, false)
	f.id("client", e.Client, false)
	f.time("auth_time", e.AuthTime, false)
	f.time("session_expires_at", e.SessionExpiresAt, false)
	return f.err()
}

// Validate returns nil or an [*InvalidError].
func (e *UserLoggedOutEverywhere) Validate() error {
	var f faults
	f.common(&e.Common)
	f.id("user", e.User, true)
	f.time("cutoff", e.Cutoff, true)
	f.ids("except", e.Except, MaxExcept)
	f.ids("known_sessions", e.KnownSessions, MaxKnownSessions)
	// Lists beyond their limits are refused already; comparing each with each would take minutes for a megabyte of them.
	if len(e.Except) <= MaxExcept && len(e.KnownSessions) <= MaxKnownSessions {
		for i, sid := range e.KnownSessions {
			if slices.Contains(e.Except, sid) {
				f.add(element("known_sessions", i), "stands in except too: name the session in one of them")
			}
		}
	}
	return f.err()
}

func (f *faults) ids(field string, ids []string, most int) {
	if len(ids) > most {
		f.add(field, "holds more than %d sessions", most)
		return
	}
	for i, sid := range ids {
		if fault := IDFault(sid); fault != "" {
			f.add(element(field, i), "%s", fault)
		}
	}
}

func element(field string, i int) string { return fmt.Sprintf("%s[%d]", field, i) }

// Validate returns nil or an [*InvalidError].
func (e *DeviceLoggedOut) Validate() error {
	var f faults
	f.common(&e.Common)
	f.id("device", e.Device, true)
	f.id("user", e.User, false)
	f.time("cutoff", e.Cutoff, true)
	return f.err()
}

// Validate returns nil or an [*InvalidError].
func (e *ClientLoggedOut) Validate() error {
	var f faults
	f.common(&e.Common)
	f.id("client", e.Client, true)
	f.time("cutoff", e.Cutoff, true)
	return f.err()
}

// Validate returns nil or an [*InvalidError].
func (e *TenantLoggedOut) Validate() error {
	var f faults
	f.common(&e.Common)
	f.time("cutoff", e.Cutoff, true)
	return f.err()
}
