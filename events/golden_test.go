package events_test

import (
	"bytes"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const (
	goldenDir  = "testdata/golden"
	foreignDir = "testdata/foreign"
)

// golden returns file → the event whose bytes it holds: each event once with what is required and once with everything.
func golden() map[string]events.Event {
	at := func(month time.Month, day, hour, minute, second, ms int) time.Time {
		return time.Date(2026, month, day, hour, minute, second, ms*1e6, time.UTC)
	}
	minimal := func(id string) events.Common {
		return events.Common{
			ID: id, Time: at(3, 1, 9, 30, 0, 0), Source: "curfew/publisher", Tenant: events.DefaultTenant,
			Reason: events.ReasonUserLogout, Initiator: events.Initiator{Type: events.InitiatorUser},
		}
	}
	full := func(id string, reason events.Reason, by events.InitiatorType) events.Common {
		return events.Common{
			ID: id, Time: at(3, 1, 9, 30, 0, 123), Source: "https://curfew.example.com/publisher?zone=eu%201", Tenant: "acme-eu",
			Reason:      reason,
			ReasonAdmin: "ticket #4711: laptop \"stolen\"\nseen in Łódź <24 h ago> & reported — 警察",
			ReasonUser:  "Du wurdest abgemeldet, weil sich dein Passwort geändert hat 🔒 <b>&\u2028",
			Initiator:   events.Initiator{Type: by, ID: "admin|zoë & <co>"},
			ExpiresAt:   at(3, 31, 9, 35, 0, 1),
			TraceParent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
			Replay:      "replay-2026-03-02/1",
		}
	}
	cutoff := at(3, 1, 9, 29, 59, 999)
	return map[string]events.Event{
		"SessionRevoked.minimal.json": &events.SessionRevoked{
			Common: minimal("019ca8bb-b5c0-7000-8000-000000000001"), Session: "s-1",
		},
		"SessionRevoked.full.json": &events.SessionRevoked{
			Common:  full("019ca8bb-b63b-7abc-9def-000000000002", events.ReasonAdmin, events.InitiatorAdmin),
			Session: "sid/\"ü\"/<1>&\\", User: "auth0|5f7c8ec7c33c6c004bbafe82", Device: "device:π", Client: "https://app.example.com/",
			AuthTime: at(2, 27, 23, 59, 59, 999), SessionExpiresAt: at(3, 29, 23, 59, 59, 999),
		},
		"UserLoggedOutEverywhere.minimal.json": &events.UserLoggedOutEverywhere{
			Common: minimal("019ca8bb-b5c0-7000-8000-000000000003"), User: "u-1", Cutoff: cutoff,
		},
		"UserLoggedOutEverywhere.full.json": &events.UserLoggedOutEverywhere{
			Common: full("019ca8bb-b63b-7abc-9def-000000000004", events.ReasonPasswordChanged, events.InitiatorUser),
			User:   "用户-1", Cutoff: cutoff, Except: []string{"s-keep", "s-<&>"}, KnownSessions: []string{"s-1", "s-2", "s-ø"},
		},
		"DeviceLoggedOut.minimal.json": &events.DeviceLoggedOut{
			Common: minimal("019ca8bb-b5c0-7000-8000-000000000005"), Device: "d-1", Cutoff: cutoff,
		},
		"DeviceLoggedOut.full.json": &events.DeviceLoggedOut{
			Common: full("019ca8bb-b63b-7abc-9def-000000000006", events.ReasonCompromised, events.InitiatorPolicy),
			Device: "device:π", User: "u-1", Cutoff: cutoff,
		},
		"ClientLoggedOut.minimal.json": &events.ClientLoggedOut{
			Common: minimal("019ca8bb-b5c0-7000-8000-000000000007"), Client: "c-1", Cutoff: cutoff,
		},
		"ClientLoggedOut.full.json": &events.ClientLoggedOut{
			Common: full("019ca8bb-b63b-7abc-9def-000000000008", events.ReasonPolicy, events.InitiatorSystem),
			Client: "https://app.example.com/", Cutoff: cutoff,
		},
		"TenantLoggedOut.minimal.json": &events.TenantLoggedOut{
			Common: minimal("019ca8bb-b5c0-7000-8000-000000000009"), Cutoff: cutoff,
		},
		"TenantLoggedOut.full.json": &events.TenantLoggedOut{
			Common: full("019ca8bb-b63b-7abc-9def-00000000000a", events.ReasonSuperseded, events.InitiatorAdmin), Cutoff: cutoff,
		},
	}
}

func TestGolden(t *testing.T) {
	for name, e := range golden() {
		t.Run(name, func(t *testing.T) {
			got, err := events.Encode(e)
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(goldenDir, name)
			if *update {
				if err := os.WriteFile(path, append(bytes.Clone(got), '\n'), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			file := readFile(t, path)
			want, ended := bytes.CutSuffix(file, []byte("\n"))
			if !ended {
				t.Error("the file doesn't end with a newline")
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("Encode (-file +got), `go test -run TestGolden -update` if you mean it:\n%s", diff)
			}
			decoded, err := events.Decode(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(e, decoded); diff != "" {
				t.Errorf("Decode (-want +got):\n%s", diff)
			}
		})
	}
}

func TestGoldenIsComplete(t *testing.T) {
	want := map[string]events.Event{}
	for _, e := range allEvents() {
		want[events.Name(e)+".minimal.json"] = e
		want[events.Name(e)+".full.json"] = e
	}
	values := golden()
	for name, e := range want {
		if values[name] == nil || events.Type(values[name]) != events.Type(e) {
			t.Errorf("no golden value %s of type %s", name, events.Type(e))
		}
	}
	if got, want := fileNames(t, goldenDir), sortedKeys(values); !slices.Equal(got, want) {
		t.Errorf("files %q, want %q", got, want)
	}
}

// TestGoldenFullIsFull holds "full" to its word: a field added later must appear in the golden files.
func TestGoldenFullIsFull(t *testing.T) {
	for _, e := range allEvents() {
		v := golden()[events.Name(e)+".full.json"]
		for path, zero := range zeroFields(v) {
			if zero {
				t.Errorf("%s.full.json leaves out %s", events.Name(e), path)
			}
		}
	}
}

// allEvents returns one empty event of each type.
func allEvents() []events.Event {
	return []events.Event{
		&events.SessionRevoked{}, &events.UserLoggedOutEverywhere{}, &events.DeviceLoggedOut{},
		&events.ClientLoggedOut{}, &events.TenantLoggedOut{},
	}
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func fileNames(t testing.TB, dir string) []string {
	t.Helper()
	paths, err := fs.Glob(os.DirFS(dir), "*")
	if err != nil {
		t.Fatal(err)
	}
	return paths
}
