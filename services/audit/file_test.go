package audit_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/curfewhq/curfew/internal/chain"
	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/services/audit"
)

func readFile(t *testing.T, path string) []chain.Signed {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	signed := []chain.Signed{}
	for lines := bufio.NewScanner(bytes.NewReader(data)); lines.Scan(); {
		var s chain.Signed
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
			t.Fatalf("line %d: %v", len(signed)+1, err)
		}
		signed = append(signed, s)
	}
	return signed
}

// TestFile holds what the stream does, also of the time when this process wasn't elected, and after a crash in the middle of a line.
func TestFile(t *testing.T) {
	r := newRig(t, natstest.Bus(t))
	path := filepath.Join(t.TempDir(), "checkpoints.ndjson")
	with := func(c *audit.Config) { c.File = path }
	r.run(r.service(), r.signedUpTo(r.store(3))) // another process
	r.run(r.service(with), r.signedUpTo(r.store(3)))
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if diff := cmp.Diff(r.checkpoints(), readFile(t, path)); diff != "" {
		t.Error(diff)
	}
	r.run(r.service(), r.signedUpTo(r.store(3)))
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, left := range []int{len(data), len(data) - 10, bytes.IndexByte(data, '\n') + 20, 5, 0} {
		if err := os.WriteFile(path, data[:left], 0o600); err != nil {
			t.Fatal(err)
		}
		r.run(r.service(with), r.signedUpTo(r.store(1)))
		if diff := cmp.Diff(r.checkpoints(), readFile(t, path)); diff != "" {
			t.Errorf("after %d bytes: %s", left, diff)
		}
	}
}

// TestFileThatIsOfSomethingElse stays as it is, and is told; the chain goes on.
func TestFileThatIsOfSomethingElse(t *testing.T) {
	r := newRig(t, natstest.Bus(t))
	r.run(r.service(), r.signedUpTo(r.store(3)))
	line := func(s chain.Signed) string {
		b, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		return string(b) + "\n"
	}
	first := r.checkpoints()[0]
	ahead, other := first, first
	ahead.Number, other.Token = 1_000_000, other.Token+"x"
	for name, tt := range map[string]struct{ content, want string }{
		"it has more than the stream":   {line(ahead), "audit verify --checkpoints"},
		"it has another checkpoint":     {line(other), "audit verify --checkpoints"},
		"it holds no checkpoints":       {"hello\n", "is no checkpoint"},
		"nor at the end of a line":      {"hello\nsomebody's last line", "is no checkpoint"},
		"nor any line":                  {`{"no":"newline at all"}`, "isn't the beginning of a checkpoint"},
		"nor a token":                   {`{"number":12}`, "isn't the beginning of a checkpoint"},
		"something behind a checkpoint": {line(first) + "somebody's note", "isn't the beginning of a checkpoint"},
		"it can't be written: a folder": {"", "can't be copied"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "file")
			var err error
			if tt.content == "" {
				err = os.Mkdir(path, 0o700)
			} else {
				err = os.WriteFile(path, []byte(tt.content), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			r.run(r.service(func(c *audit.Config) { c.File = path }), r.signedUpTo(r.store(1)))
			if said := r.log.String(); !strings.Contains(said, tt.want) || strings.Count(said, "level=error") == 0 {
				t.Errorf("%q isn't said:\n%s", tt.want, said)
			}
			if data, err := os.ReadFile(path); tt.content != "" && (err != nil || string(data) != tt.content) {
				t.Errorf("the file holds %q, %v", data, err)
			}
		})
	}
}
