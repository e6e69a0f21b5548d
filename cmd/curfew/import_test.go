package main

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/app"
	"github.com/curfewhq/curfew/internal/exportfile"
	"github.com/curfewhq/curfew/services/replay"
)

// writeExport writes records as 'curfew export' does. change may change their text before it is summed up.
func writeExport(t *testing.T, n int, change func(string) string) string {
	t.Helper()
	var text strings.Builder
	now := time.Now()
	for i := range n {
		id, err := events.NewID()
		if err != nil {
			t.Fatal(err)
		}
		data, err := events.Encode(&events.SessionRevoked{
			Common:  events.Common{ID: id, Time: events.Floor(now), Source: "test", Tenant: "default", Reason: events.ReasonAdmin, Initiator: events.Initiator{Type: events.InitiatorAdmin}},
			Session: fmt.Sprint("s-", i), User: "ada",
		})
		if err != nil {
			t.Fatal(err)
		}
		line, err := json.Marshal(replay.Record{Position: uint64(i + 1), Stored: now, Event: data})
		if err != nil {
			t.Fatal(err)
		}
		text.Write(append(line, '\n'))
	}
	records := change(text.String())
	sum := sha256.Sum256([]byte(records))
	last, err := json.Marshal(exportfile.Line{Manifest: &exportfile.Manifest{Format: exportfile.Format, Events: uint64(n), SHA256: hex.EncodeToString(sum[:]), Made: now}})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	zip := gzip.NewWriter(&b)
	_, _ = zip.Write(append([]byte(records), append(last, '\n')...)) // a buffer takes everything
	_ = zip.Close()
	path := filepath.Join(t.TempDir(), "events.ndjson.gz")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func asTheyAre(s string) string { return s }

// total is how many events the server's ledger has.
func total(t *testing.T) uint64 {
	t.Helper()
	var stats replay.Stats
	if err := json.Unmarshal([]byte(must(t, "events", "stats", "--tenant", "*", "--json")), &stats); err != nil {
		t.Fatal(err)
	}
	return stats.Events
}

func reportOf(t *testing.T, args ...string) importReport {
	t.Helper()
	var r importReport
	if err := json.Unmarshal([]byte(must(t, append(args, "--json")...)), &r); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestImport(t *testing.T) {
	startServer(t)
	must(t, "revoke", "session", "s-1", "--user", "u-1")
	must(t, "revoke", "user", "u-2")
	path := filepath.Join(t.TempDir(), "events.ndjson.gz")
	must(t, "export", "--out", path)
	if r := reportOf(t, "import", path, "--execute"); r.Known != 2 || r.New != 0 || total(t) != 2 {
		t.Errorf("into the ledger that it is from: %+v", r)
	}
	startServer(t) // another one
	if out := must(t, "import", path); !strings.Contains(out, "DRY RUN") || !strings.Contains(out, "2 would be stored") || !strings.Contains(out, "--execute") || total(t) != 0 {
		t.Error(out)
	}
	if out := must(t, "import", path, "--execute"); !strings.Contains(out, "2 events stored as import-") || total(t) != 2 {
		t.Error(out)
	}
	if r := reportOf(t, "import", path, "--execute"); r.Known != 2 || r.New != 0 || total(t) != 2 {
		t.Errorf("again: %+v", r)
	}
	// The replica is asked once it has got there.
	last := must(t, "events", "ls", "--limit", "1", "--json")
	var newest struct{ Position uint64 }
	if err := json.Unmarshal([]byte(strings.TrimSpace(last)), &newest); err != nil || newest.Position == 0 {
		t.Fatalf("%s: %v", last, err)
	}
	if _, _, code := command(t, "check", "--session", "s-1", "--user", "u-1", "--auth-time", begun(), "--position", strconv.FormatUint(newest.Position, 10)); code != exitRevoked {
		t.Errorf("the session passes: exit code %d", code)
	}
	for _, args := range [][]string{{"import"}, {"import", "a", "b"}} {
		if _, _, code := command(t, args...); code != exitUsage {
			t.Errorf("%v: exit code %d", args, code)
		}
	}
}

// TestImportOfAnotherFile: nothing is stored of a file that isn't what its manifest tells.
func TestImportOfAnotherFile(t *testing.T) {
	startServer(t)
	whole, err := os.ReadFile(writeExport(t, 3, asTheyAre))
	if err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(whole)
	flipped[len(flipped)/2] ^= 1
	for name, data := range map[string][]byte{"cut off": whole[:len(whole)-20], "changed": flipped, "nothing": nil, "no export": []byte("{}")} {
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, stderr, code := command(t, "import", path, "--execute"); code != exitFailed || !strings.Contains(stderr, "nothing was stored") || !strings.Contains(stderr, "hint: ") {
			t.Errorf("%s: exit code %d: %s", name, code, stderr)
		}
	}
	if n := total(t); n != 0 {
		t.Errorf("%d events are stored", n)
	}
}

// TestImportRefusesLines: those that hold no event of this version are told by their number, the others are stored, and the exit code says so.
func TestImportRefusesLines(t *testing.T) {
	startServer(t)
	path := writeExport(t, 5, func(s string) string {
		lines := strings.SplitAfter(s, "\n")
		lines[1] = strings.Replace(lines[1], ".v1", ".v9", 1)
		lines[3] = strings.Replace(lines[3], `"reason":"admin"`, `"reason":"x"`, 1)
		return strings.Join(lines, "")
	})
	stdout, stderr, code := command(t, "import", path, "--execute")
	if code != exitFailed || !strings.Contains(stdout, "3 events stored") || !strings.Contains(stdout, "2 refused") || !strings.Contains(stderr, "line 2 refused: ") || !strings.Contains(stderr, "line 4 refused: ") {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}
	stdout, _, code = command(t, "import", path, "--json")
	var r importReport
	if err := json.Unmarshal([]byte(stdout), &r); err != nil || code != exitFailed || len(r.Lines) != 2 || r.Lines[0].Line != 2 || r.Lines[1].Line != 4 || r.Known != 3 {
		t.Errorf("exit code %d: %s", code, stdout)
	}
}

// TestImportThatIsInterrupted: the link breaks when some events are stored and the answer isn't heard; the next run stores the others alone.
func TestImportThatIsInterrupted(t *testing.T) {
	s := startServer(t)
	target, err := url.Parse(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	var calls atomic.Int32
	forward := httputil.NewSingleHostReverseProxy(target)
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	forward.Transport = transport
	forward.ModifyResponse = func(r *http.Response) error {
		// A call that a busy machine has refused is made again, and isn't the second.
		if r.Request.URL.Path == "/v1/import" && r.StatusCode == http.StatusOK && calls.Add(1) == 2 {
			app.CutOff()
		}
		return nil
	}
	proxy := httptest.NewServer(forward)
	defer proxy.Close()
	path := writeExport(t, 3500, asTheyAre)
	_, stderr, code := command(t, "import", path, "--execute", "--url", proxy.URL)
	if code != exitUnavailable || !strings.Contains(stderr, "1000 events are stored so far") || !strings.Contains(stderr, "again") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	if n := total(t); n != 2000 {
		t.Errorf("%d events are stored, want the second call's too, whose answer was lost", n)
	}
	// Known are more where a call was made again that had stored a part.
	if r := reportOf(t, "import", path, "--execute", "--url", proxy.URL); r.Known < 2000 || r.New == 0 || r.New+r.Known != 3500 || total(t) != 3500 {
		t.Errorf("again: %+v, and the ledger has %d", r, total(t))
	}
}

func TestImportIsAnOperators(t *testing.T) {
	s := startServer(t)
	path := writeExport(t, 1, asTheyAre)
	t.Setenv("CURFEW_API_KEY", newKey(t, s, access.ScopePublish, access.ScopeRead, access.ScopeAdmin))
	if _, stderr, code := command(t, "import", path, "--execute"); code != exitRefused || !strings.Contains(stderr, "operator") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

// TestImportThatTakesLong: once what was looked up holds no more, the server looks for each batch itself.
func TestImportThatTakesLong(t *testing.T) {
	s := startServer(t)
	target, err := url.Parse(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	var expired atomic.Int32
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	proxy := httptest.NewServer(&httputil.ReverseProxy{Transport: transport, Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		if query := r.Out.URL.Query(); query.Has("checked") {
			expired.Add(1)
			query.Set("checked", "1000-00000000000000000000000000000000")
			r.Out.URL.RawQuery = query.Encode()
		}
	}})
	defer proxy.Close()
	path := writeExport(t, 2500, asTheyAre)
	if r := reportOf(t, "import", path, "--execute", "--url", proxy.URL); r.New != 2500 || total(t) != 2500 || expired.Load() != 1 {
		t.Errorf("%+v, after %d that had expired; the ledger has %d", r, expired.Load(), total(t))
	}
}
