package events_test

import (
	"errors"
	"path/filepath"
	"slices"
	"testing"

	"github.com/curfewhq/curfew/events"
	"github.com/google/go-cmp/cmp"
)

// class is which of its three errors Decode returned.
type class string

const (
	malformed      class = "ErrMalformed"
	unknownType    class = "ErrUnknownType"
	unknownVersion class = "ErrUnknownVersion"
	invalid        class = "InvalidError"
)

// classOf returns "" for an error that isn't exactly one of Decode's.
func classOf(err error) class {
	var found []class
	if errors.Is(err, events.ErrMalformed) {
		found = append(found, malformed)
	}
	var unsupported *events.UnsupportedError
	if errors.As(err, &unsupported) {
		switch {
		case errors.Is(err, events.ErrUnknownType):
			found = append(found, unknownType)
		case errors.Is(err, events.ErrUnknownVersion):
			found = append(found, unknownVersion)
		}
	}
	var faults *events.InvalidError
	if errors.As(err, &faults) && len(faults.Faults) > 0 {
		found = append(found, invalid)
	}
	if len(found) != 1 {
		return ""
	}
	return found[0]
}

// foreignRead lists the foreign files that are as good as ours → the golden file that holds the same event.
var foreignRead = map[string]string{
	"unknown-members.json":        "SessionRevoked.minimal.json",
	"case-variants.json":          "SessionRevoked.minimal.json",
	"member-order.json":           "SessionRevoked.full.json",
	"digits-none.json":            "SessionRevoked.minimal.json",
	"digits-one.json":             "SessionRevoked.minimal.json",
	"left-out-as-null.json":       "SessionRevoked.minimal.json",
	"no-datacontenttype.json":     "SessionRevoked.minimal.json",
	"offset-east.json":            "UserLoggedOutEverywhere.minimal.json",
	"offset-west.json":            "UserLoggedOutEverywhere.minimal.json",
	"offset-unknown.json":         "UserLoggedOutEverywhere.minimal.json",
	"digits-nanoseconds.json":     "UserLoggedOutEverywhere.minimal.json",
	"digits-many.json":            "UserLoggedOutEverywhere.minimal.json",
	"lower-case-time.json":        "UserLoggedOutEverywhere.minimal.json",
	"left-out-as-empty-list.json": "UserLoggedOutEverywhere.minimal.json",
}

// foreignRefused lists the foreign files that Decode refuses.
var foreignRefused = map[class][]string{
	unknownType: {
		"unknown-type.json", "unknown-type-binary.json", "unknown-name.json", "unknown-case.json", "unknown-no-version.json",
	},
	unknownVersion: {"newer-version.json", "newer-minor-version.json", "newer-version-long.json"},
	malformed: {
		// Not JSON, or not an object.
		"empty.json", "cut-short.json", "trailing.json", "array.json", "null.json", "string.json", "not-json.json",
		"trailing-comma.json", "byte-order-mark.json", "control-character.json",
		// Strings that readers repair in different ways.
		"not-utf-8.json", "half-surrogate-high.json", "half-surrogate-low.json", "half-surrogate-swapped.json",
		"half-surrogate-high-twice.json",
		// Not a CloudEvents 1.0 envelope with JSON data.
		"specversion-missing.json", "specversion-old.json", "specversion-number.json", "type-missing.json", "id-number.json",
		"datacontenttype-xml.json", "data-missing.json", "data-null.json", "data-string.json", "data-array.json", "data-base64.json",
		// Not RFC 3339, or a leap second.
		"time-number.json", "time-date-only.json", "time-no-offset.json", "time-short-hour.json", "time-comma.json", "time-space.json",
		"time-offset-too-far.json", "time-offset-minutes.json", "time-leap-second.json", "time-no-such-day.json", "time-empty.json",
		// Wrong types.
		"session-number.json", "session-array.json", "session-object.json", "session-true.json", "cutoff-number.json",
		"cutoff-object.json", "except-string.json", "except-numbers.json", "known-sessions-object.json", "initiator-string.json",
		"initiator-id-number.json", "replayed-string.json",
		// Two values: readers that take the first and readers that take the last would end different sessions.
		"twice-session.json", "twice-session-same.json", "twice-session-escaped.json", "twice-session-null.json", "twice-type.json",
		"twice-data.json", "twice-initiator.json", "twice-initiator-type.json",
	},
	invalid: {
		"session-missing.json", "session-null.json", "time-null.json", "cutoff-missing.json", "cutoff-zero.json",
		"cutoff-before-1970.json", "cutoff-after-9999.json", "except-null.json", "except-is-known.json", "tenant-is-a-topic.json",
		"tenant-is-a-wildcard.json", "reason-unknown.json", "initiator-missing.json", "id-version-4.json", "id-upper-case.json",
		"replayed-nameless.json", "replay-unmarked.json", "data-empty.json",
	},
}

func TestForeignRead(t *testing.T) {
	for file, same := range foreignRead {
		t.Run(file, func(t *testing.T) {
			got, err := events.Decode(readFile(t, filepath.Join(foreignDir, file)))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(golden()[same], got); diff != "" {
				t.Errorf("Decode (-want +got):\n%s", diff)
			}
		})
	}
}

func TestForeignRefused(t *testing.T) {
	for want, files := range foreignRefused {
		for _, file := range files {
			t.Run(file, func(t *testing.T) {
				e, err := events.Decode(readFile(t, filepath.Join(foreignDir, file)))
				if got := classOf(err); got != want {
					t.Errorf("Decode: %v, of class %q, want %q", err, got, want)
				}
				if e != nil {
					t.Errorf("Decode returned an event beside its error: %v", e)
				}
			})
		}
	}
}

func TestForeignIsComplete(t *testing.T) {
	want := sortedKeys(foreignRead)
	for _, files := range foreignRefused {
		want = append(want, files...)
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, fileNames(t, foreignDir)); diff != "" {
		t.Errorf("the tables and the folder differ (-tables +folder):\n%s", diff)
	}
}

func TestUnsupportedErrorTellsTheType(t *testing.T) {
	var unsupported *events.UnsupportedError
	_, err := events.Decode(readFile(t, filepath.Join(foreignDir, "newer-version.json")))
	if !errors.As(err, &unsupported) || unsupported.Type != "io.github.curfewhq.SessionRevoked.v2" {
		t.Errorf("newer-version.json: %v", err)
	}
	_, err = events.Decode(readFile(t, filepath.Join(foreignDir, "newer-version-long.json")))
	// 36 bytes of ASCII and 46 times two bytes are 128.
	if !errors.As(err, &unsupported) || len(unsupported.Type) != 128 {
		t.Errorf("newer-version-long.json: %v", err)
	}
}
