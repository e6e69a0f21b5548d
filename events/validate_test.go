package events_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/google/go-cmp/cmp"
)

// secret stands in every value that a test plants a fault in. No error may hold it.
const secret = "s3cr3t-marker"

// full returns the fullest golden value of e's type, which a test may change.
func full(e events.Event) events.Event { return clone(golden()[events.Name(e)+".full.json"]) }

func faultFields(t testing.TB, err error) []string {
	t.Helper()
	if err == nil {
		return nil
	}
	var invalid *events.InvalidError
	if !errors.As(err, &invalid) {
		t.Fatalf("error %v is no InvalidError", err)
	}
	fields := make([]string, 0, len(invalid.Faults))
	for _, f := range invalid.Faults {
		fields = append(fields, f.Field)
		if f.Remedy == "" || strings.HasSuffix(f.Remedy, ".") {
			t.Errorf("%s: remedy %q, want a sentence without a period", f.Field, f.Remedy)
		}
	}
	slices.Sort(fields)
	return fields
}

func noSecret(t testing.TB, err error) {
	t.Helper()
	for ; err != nil; err = errors.Unwrap(err) {
		if text := fmt.Sprintf("%v %+v %q", err, err, err); strings.Contains(text, secret) {
			t.Errorf("error quotes the value: %.300s", text)
		}
	}
	var invalid *events.InvalidError
	if errors.As(err, &invalid) && strings.Contains(fmt.Sprint(invalid.Faults), secret) {
		t.Errorf("faults quote the value: %.300v", invalid.Faults)
	}
}

// TestValidateFields plants one value in one field of a valid event: Validate, Encode and Decode must agree on it, name that
// field alone, and not quote it.
func TestValidateFields(t *testing.T) {
	for _, e := range allEvents() {
		for _, field := range stringFields() {
			if field.of(full(e)) == nil {
				continue
			}
			t.Run(events.Name(e)+"/"+field.name, func(t *testing.T) {
				cases := stringCases(field.name)
				optional := slices.Contains([]string{"initiator.id", "replay", "traceparent", "reason_admin", "reason_user"}, field.name) ||
					events.Name(e) == "SessionRevoked" && slices.Contains([]string{"user", "device", "client"}, field.name) ||
					events.Name(e) == "DeviceLoggedOut" && field.name == "user"
				cases[""] = optional
				for value, ok := range cases {
					e := full(e)
					*field.of(e) = value
					checkVerdict(t, e, ok, field.name, value)
				}
			})
		}
	}
}

func TestValidateTimes(t *testing.T) {
	year := func(y int) time.Time { return time.Date(y, 1, 1, 0, 0, 0, 0, time.UTC) }
	for _, e := range allEvents() {
		for _, field := range timeFields() {
			if field.of(full(e)) == nil {
				continue
			}
			t.Run(events.Name(e)+"/"+field.name, func(t *testing.T) {
				required := field.name == "time" || field.name == "cutoff"
				for _, c := range []struct {
					value time.Time
					ok    bool
				}{
					{time.Time{}, !required},
					{time.Time{}.In(time.FixedZone("", 3600)), !required},
					{time.Unix(0, 0), true},
					{time.Unix(0, -1), false},
					{year(10000).Add(-1), true},
					{year(10000), false},
					{year(10000).Add(-1).In(time.FixedZone("", 3600)), true}, // 10000 there, 9999 in UTC
					{year(1970).In(time.FixedZone("", -3600)), true},         // 1969 there, 1970 in UTC
					{year(1), !required},                                     // the zero time
					{year(1).Add(1), false},
					{year(-1), false},
					{time.Unix(1<<61, 0), false},
				} {
					e := full(e)
					*field.of(e) = c.value
					checkVerdict(t, e, c.ok, field.name, c.value)
				}
			})
		}
	}
}

// checkVerdict checks that e is valid, or that it has exactly one fault, in field.
func checkVerdict(t *testing.T, e events.Event, ok bool, field string, value any) {
	t.Helper()
	err := e.Validate()
	noSecret(t, err)
	var want []string
	if !ok {
		want = []string{field}
	}
	if got := faultFields(t, err); !slices.Equal(got, want) {
		t.Errorf("%s = %.40q: faults %q, want %q", field, value, got, want)
	}
	b, encodeErr := events.Encode(e)
	if (encodeErr == nil) != (err == nil) || fmt.Sprint(encodeErr) != fmt.Sprint(err) {
		t.Errorf("%s = %.40q: Encode says %v, Validate %v", field, value, encodeErr, err)
	}
	if encodeErr != nil {
		return
	}
	decoded, err := events.Decode(b)
	if err != nil {
		t.Errorf("%s = %.40q: %v", field, value, err)
	} else if diff := cmp.Diff(floored(e), decoded); diff != "" {
		t.Errorf("%s = %.40q (-want +got):\n%s", field, value, diff)
	}
}

// TestValidateReportsEveryFault spoils all fields at once.
func TestValidateReportsEveryFault(t *testing.T) {
	for _, e := range allEvents() {
		t.Run(events.Name(e), func(t *testing.T) {
			e := full(e)
			var want []string
			for _, field := range stringFields() {
				if at := field.of(e); at != nil {
					*at = secret + "\x00"
					want = append(want, field.name)
				}
			}
			for _, field := range timeFields() {
				if at := field.of(e); at != nil {
					*at = time.Unix(-1, 0)
					want = append(want, field.name)
				}
			}
			// The spoilt ids stand in both lists now.
			if _, ok := e.(*events.UserLoggedOutEverywhere); ok {
				want = append(want, "known_sessions[2]")
			}
			slices.Sort(want)
			err := e.Validate()
			if diff := cmp.Diff(want, faultFields(t, err)); diff != "" {
				t.Errorf("faults (-want +got):\n%s", diff)
			}
			noSecret(t, err)
			for _, field := range want {
				if !strings.Contains(err.Error(), field+": ") {
					t.Errorf("the text doesn't name %s: %v", field, err)
				}
			}
		})
	}
}

func TestValidateZero(t *testing.T) {
	common := []string{"id", "initiator.type", "reason", "source", "tenant", "time"}
	for name, own := range map[string][]string{
		"SessionRevoked": {"session"}, "UserLoggedOutEverywhere": {"cutoff", "user"}, "DeviceLoggedOut": {"cutoff", "device"},
		"ClientLoggedOut": {"client", "cutoff"}, "TenantLoggedOut": {"cutoff"},
	} {
		for _, e := range allEvents() {
			if events.Name(e) != name {
				continue
			}
			want := slices.Sorted(slices.Values(append(own, common...)))
			if diff := cmp.Diff(want, faultFields(t, e.Validate())); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
		}
	}
}

func TestValidateLists(t *testing.T) {
	ids := func(prefix string, n int) []string {
		list := make([]string, n)
		for i := range list {
			list[i] = fmt.Sprint(prefix, i)
		}
		return list
	}
	for _, c := range []struct {
		name          string
		except, known []string
		want          []string
	}{
		{name: "at the limits", except: ids("a", 16), known: ids("b", 1000)},
		{name: "beyond the limits", except: ids("a", 17), known: ids("b", 1001), want: []string{"except", "known_sessions"}},
		{name: "empty", except: []string{}, known: []string{}},
		{name: "twice in one list", except: []string{"a", "a"}, known: []string{"b", "b"}},
		{name: "in both", except: []string{"a", secret}, known: []string{secret, "b", secret}, want: []string{"known_sessions[0]", "known_sessions[2]"}},
		{name: "faulty", except: []string{"a", ""}, known: []string{"\n"}, want: []string{"except[1]", "known_sessions[0]"}},
		{name: "in both and too many", except: ids("a", 17), known: ids("a", 17), want: []string{"except"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := full(&events.UserLoggedOutEverywhere{}).(*events.UserLoggedOutEverywhere)
			e.Except, e.KnownSessions = c.except, c.known
			err := e.Validate()
			noSecret(t, err)
			if diff := cmp.Diff(c.want, faultFields(t, err)); diff != "" {
				t.Errorf("faults (-want +got):\n%s", diff)
			}
		})
	}
}

// TestValidateIsQuickOnHugeLists: a megabyte of short ids in both lists must not be compared each with each, which would keep a
// core busy for many seconds per request.
func TestValidateIsQuickOnHugeLists(t *testing.T) {
	list := func(id string) string {
		return "[" + strings.TrimSuffix(strings.Repeat(`"`+id+`",`, 120_000), ",") + "]"
	}
	b := []byte(strings.NewReplacer(`["s-keep","s-<&>"]`, list("a"), `["s-1","s-2","s-ø"]`, list("b")).Replace(
		string(readFile(t, goldenDir+"/UserLoggedOutEverywhere.full.json"))))
	if len(b) > events.MaxEncodedBytes {
		t.Fatalf("%d bytes", len(b))
	}
	start := time.Now()
	_, err := events.Decode(b)
	if got := faultFields(t, err); !slices.Equal(got, []string{"except", "known_sessions"}) {
		t.Errorf("faults %q", got)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
}

// TestErrorTextIsBounded: a thousand faults don't make a log line of 70 KB.
func TestErrorTextIsBounded(t *testing.T) {
	e := full(&events.UserLoggedOutEverywhere{}).(*events.UserLoggedOutEverywhere)
	e.KnownSessions = make([]string, events.MaxKnownSessions)
	err := e.Validate()
	if got := len(faultFields(t, err)); got != 1000 {
		t.Errorf("%d faults, want 1000", got)
	}
	text := err.Error()
	if len(text) > maxErrorText || !strings.Contains(text, "known_sessions[0]: ") || !strings.HasSuffix(text, " more") {
		t.Errorf("%d bytes, ending in %q", len(text), text[max(0, len(text)-40):])
	}
}

// TestDecodeErrorsQuoteNothing plants the secret as each member's value, in the right and in the wrong type, with other
// faults around it.
func TestDecodeErrorsQuoteNothing(t *testing.T) {
	for _, e := range allEvents() {
		file := readFile(t, goldenDir+"/"+events.Name(e)+".full.json")
		doc := parseJSON(t, file).(map[string]any)
		var paths []string
		for name := range doc {
			paths = append(paths, name)
		}
		for name := range doc["data"].(map[string]any) {
			paths = append(paths, "data."+name)
		}
		paths = append(paths, "data.initiator.type", "data.initiator.id")
		for _, path := range paths {
			if path == "type" {
				continue // the one value that errors tell
			}
			for _, value := range []any{
				secret, secret + "\n", []any{secret}, map[string]any{secret: secret}, []any{map[string]any{"id": secret}},
				json.RawMessage(`"` + secret + `\ud800"`), strings.Repeat(secret, 500),
			} {
				b := mutate(t, file, mutation{path: path, value: value})
				_, err := events.Decode(b)
				noSecret(t, err)
				_, err = events.Decode(bytes.Replace(b, []byte(secret), []byte(secret+"\xff"), 1))
				noSecret(t, err)
				_, err = events.Decode(b[:len(b)-1])
				noSecret(t, err)
			}
		}
	}
}

func TestIDFault(t *testing.T) {
	for value, want := range map[string]string{
		"":                       "is required",
		strings.Repeat("x", 257): "longer than 256 bytes",
		"\xff":                   "isn't valid UTF-8",
		"a\nb":                   "control character",
		"a b":                    "",
		strings.Repeat("x", 256): "",
	} {
		if got := events.IDFault(value); (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("IDFault(%.20q) = %q, want %q", value, got, want)
		}
	}
}
