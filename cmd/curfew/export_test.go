package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/curfewhq/curfew/internal/exportfile"
)

func TestExport(t *testing.T) {
	startServer(t)
	for _, id := range []string{"s-1", "s-2", "s-3"} {
		must(t, "revoke", "session", id, "--user", "u-1")
	}
	must(t, "revoke", "user", "u-2")
	path := filepath.Join(t.TempDir(), "events.ndjson.gz")
	if out := must(t, "export", "--out", path); !strings.Contains(out, "4 events") {
		t.Error(out)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if out := must(t, "export", "verify", path); !strings.Contains(out, "4 events, positions ") {
		t.Error(out)
	}
	if _, stderr, code := command(t, "export", "--out", path); code != exitFailed || !strings.Contains(stderr, "--force") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	if out := must(t, "export", "--out", path, "--force", "--user", "u-1", "--json"); !strings.Contains(out, `"events":3`) {
		t.Error(out)
	}
	out := must(t, "export", "--out", "-", "--user", "nobody")
	if m, err := verifyExport(strings.NewReader(out)); err != nil || m.Events != 0 {
		t.Errorf("of nothing: %+v, %v", m, err)
	}
	for _, args := range [][]string{{"export"}, {"export", "verify"}, {"export", "x"}} {
		if _, _, code := command(t, args...); code != exitUsage {
			t.Errorf("%v: exit code %d", args, code)
		}
	}
	// What fails leaves nothing behind.
	other := filepath.Join(t.TempDir(), "other")
	if _, _, code := command(t, "export", "--out", other, "--reason", "because"); code != exitRefused {
		t.Errorf("exit code %d", code)
	}
	if left, err := filepath.Glob(other + "*"); err != nil || len(left) > 0 {
		t.Errorf("%v, %v", left, err)
	}
}

// TestExportThatWasChanged: each change is noticed, and said what it is.
func TestExportThatWasChanged(t *testing.T) {
	startServer(t)
	must(t, "revoke", "session", "s-1")
	must(t, "revoke", "session", "s-2")
	whole := must(t, "export", "--out", "-")
	if _, err := verifyExport(strings.NewReader(whole)); err != nil {
		t.Fatal(err)
	}
	zip, err := gzip.NewReader(strings.NewReader(whole))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(zip)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(text), "\n")
	for name, test := range map[string]struct{ text, want string }{
		"edited":               {strings.Replace(string(text), "s-2", "s-3", 1), "SHA-256"},
		"an event less":        {lines[1] + lines[2], "holds 1 events"},
		"twice":                {lines[0] + lines[0] + lines[1] + lines[2], "isn't behind"},
		"another order":        {lines[1] + lines[0] + lines[2], "isn't behind"},
		"without its manifest": {lines[0] + lines[1], "cut off"},
		"behind its manifest":  {string(text) + lines[0], "behind the manifest"},
		"another form":         {strings.Replace(string(text), exportfile.Format, "curfew-export/9", 1), "curfew-export/9"},
		"not a record":         {"{}\n" + lines[2], "event 1: not a record"},
		"half a record":        {lines[0][:len(lines[0])/2] + "\n" + lines[2], "event 1: not a record"},
		"a broken manifest":    {lines[0] + `{"manifest":`, "manifest can't be read"},
	} {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = z.Write([]byte(test.text))
		_ = z.Close()
		if _, err := verifyExport(&b); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, cut := range []string{"", whole[:5], whole[:len(whole)/2], whole[:len(whole)-3], "{}"} {
		if _, err := verifyExport(strings.NewReader(cut)); err == nil {
			t.Errorf("%d bytes of it pass", len(cut))
		}
	}
}

// TestMarkOf: what is read in haste is what the whole record says, however it is written.
func TestMarkOf(t *testing.T) {
	const stored = `"2026-11-28T19:48:00.120173851Z"`
	for _, line := range []string{
		`{"position":7,"stored":` + stored + `,"event":{"id":"x"}}`, `{"position":7,"stored":` + stored + `}`, `{"stored":` + stored + `,"position":7}`, ` { "position" : 7 , "stored" : ` + stored + ` }`,
		`{"position":7,"event":{},"stored":` + stored + `}`, `{"position":7}`, `{"position":0,"stored":` + stored + `}`, `{"position":07,"stored":` + stored + `}`, `{"position":-7,"stored":` + stored + `}`,
		`{"position":"7","stored":` + stored + `}`, `{"position":7.5,"stored":` + stored + `}`, `{"position":99999999999999999999,"stored":` + stored + `}`, `{"position":7,"stored":"yesterday"}`,
		`{"position":7,"stored":` + stored, `{"position":7,"stored":` + stored + `,"event":{}}}`, `{"position":7,"stored":` + stored + `} {}`, `{"position":7,"stored":"`, `[]`, `{}`, ``,
	} {
		var want mark
		wanted := json.Unmarshal([]byte(line), &want) == nil && want.Position > 0
		got, ok := markOf([]byte(line))
		if ok != wanted || ok && (got.Position != want.Position || !got.Stored.Equal(want.Stored)) {
			t.Errorf("%s: %v %v, read whole %v %v", line, got, ok, want, wanted)
		}
	}
}
