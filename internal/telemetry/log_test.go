package telemetry_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/curfewhq/curfew/internal/telemetry"
)

func TestLoggerJSON(t *testing.T) {
	for _, format := range []string{"json", "auto"} { // a buffer is no terminal
		t.Run(format, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				<-time.After(123456789 * time.Nanosecond)
				var out bytes.Buffer
				log, err := telemetry.NewLogger(&out, format, "info")
				if err != nil {
					t.Fatal(err)
				}
				log.WithField(telemetry.FieldComponent, "gate").WithField(telemetry.FieldPosition, 7).WithError(errors.New("replica is stale")).
					Warn("requests pass")
				var got map[string]any
				if err := json.Unmarshal(out.Bytes(), &got); err != nil {
					t.Fatalf("%v in %q", err, &out)
				}
				want := map[string]any{
					"ts": "2000-01-01T00:00:00.123456789Z", "level": "warning", "msg": "requests pass", "component": "gate",
					"position": 7.0, "error": "replica is stale",
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("line (-want +got):\n%s", diff)
				}
				if n := strings.Count(out.String(), "\n"); n != 1 {
					t.Errorf("%d lines, want 1", n)
				}
			})
		})
	}
}

// Whatever zone the machine or the caller is in, the log has one.
func TestLoggerWritesUTC(t *testing.T) {
	at := time.Date(2026, 3, 1, 1, 30, 0, 0, time.FixedZone("far east", 9*3600))
	for format, want := range map[string]string{"json": `"ts":"2026-02-28T16:30:00Z"`, "text": "16:30:00.000"} {
		var out bytes.Buffer
		log, err := telemetry.NewLogger(&out, format, "info")
		if err != nil {
			t.Fatal(err)
		}
		log.WithTime(at).Info("hello")
		if !strings.Contains(out.String(), want) {
			t.Errorf("%s: %q, want %s in it", format, &out, want)
		}
	}
}

// A message or a field can't forge a line.
func TestLoggerKeepsToOneLine(t *testing.T) {
	for _, format := range []string{"json", "text"} {
		var out bytes.Buffer
		log, err := telemetry.NewLogger(&out, format, "info")
		if err != nil {
			t.Fatal(err)
		}
		log.WithField(telemetry.FieldCode, "a\nlevel=error").Info("b\nmsg=forged")
		if n := strings.Count(out.String(), "\n"); n != 1 {
			t.Errorf("%s: %d lines: %q", format, n, &out)
		}
	}
}

func TestLoggerLevels(t *testing.T) {
	tests := []struct{ level, want string }{
		{"error", "e"}, {"warning", "ew"}, {"warn", "ew"}, {"info", "ewi"}, {"INFO", "ewi"}, {"debug", "ewid"}, {"trace", "ewid"},
	}
	for _, tt := range tests {
		t.Run(tt.level, func(t *testing.T) {
			var out bytes.Buffer
			log, err := telemetry.NewLogger(&out, "json", tt.level)
			if err != nil {
				t.Fatal(err)
			}
			log.Error("e")
			log.Warn("w")
			log.Info("i")
			log.Debug("d")
			got := ""
			for line := range strings.Lines(out.String()) {
				var m struct{ Msg string }
				if err := json.Unmarshal([]byte(line), &m); err != nil {
					t.Fatal(err)
				}
				got += m.Msg
			}
			if got != tt.want {
				t.Errorf("wrote %q, want %q", got, tt.want)
			}
		})
	}
}

func TestLoggerErrors(t *testing.T) {
	tests := []struct{ name, format, level, want string }{
		{"no level", "json", "", "log_level: "},
		{"unknown level", "json", "loud", "log_level: "},
		{"level that hides errors", "json", "fatal", "log_level: "},
		{"level that hides even more", "json", "panic", "log_level: "},
		{"unknown format", "xml", "info", "log_format: "},
		{"no format", "", "info", "log_format: "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			log, err := telemetry.NewLogger(&bytes.Buffer{}, tt.format, tt.level)
			if log != nil || err == nil || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("%v, %v, want an error that begins with %q", log, err, tt.want)
			}
		})
	}
}

func TestHasherKeepsApart(t *testing.T) {
	h := telemetry.NewHasher([]byte("0123456789abcdef"))
	// Trap 28: none of these may read as another, however the parts are cut.
	ids := [][3]string{
		{"acme", "user", "ada"}, {"acme", "session", "ada"}, {"acm", "euser", "ada"}, {"acme", "use", "rada"}, {"acme", "userada", "x"},
		{"acmeuser", "", "ada"}, {"", "acmeuser", "ada"}, {"", "", "acmeuserada"}, {"other", "user", "ada"}, {"acme", "user", "Ada"},
		{"acme", "user", "ada\x00"}, {"acme", "user\x00", "ada"},
	}
	seen := map[string][3]string{}
	for _, id := range ids {
		got := h.ID(id[0], id[1], id[2])
		if len(got) != 16 || strings.Trim(got, "0123456789abcdef") != "" {
			t.Errorf("%q: %q, want 16 hex digits", id, got)
		}
		if other, taken := seen[got]; taken {
			t.Errorf("%q and %q are both %s", id, other, got)
		}
		seen[got] = id
		if again := telemetry.NewHasher([]byte("0123456789abcdef")).ID(id[0], id[1], id[2]); again != got {
			t.Errorf("%q: %s in one process and %s in another", id, got, again)
		}
		if foreign := telemetry.NewHasher([]byte("another key here")).ID(id[0], id[1], id[2]); foreign == got {
			t.Errorf("%q: %s with two keys", id, got)
		}
	}
}

func TestHasherOfNothing(t *testing.T) {
	if got := telemetry.NewHasher([]byte("key")).ID("acme", "user", ""); got != "" {
		t.Errorf("empty id: %q", got)
	}
	// Without a key anybody could test a guess, so there is no hash.
	for _, h := range []telemetry.Hasher{{}, telemetry.NewHasher(nil)} {
		if got := h.ID("acme", "user", "ada"); got != "" {
			t.Errorf("no key: %q", got)
		}
	}
}

func TestHasherOwnsItsKey(t *testing.T) {
	key := []byte("0123456789abcdef")
	h := telemetry.NewHasher(key)
	before := h.ID("acme", "user", "ada")
	clear(key)
	if after := h.ID("acme", "user", "ada"); after != before {
		t.Error("the caller's key is still in use")
	}
}
