package main

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/cmd/curfew/server"
	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/backup"
	"github.com/curfewhq/curfew/internal/config"
	"github.com/curfewhq/curfew/internal/natstest"
)

// backedUp is a backup of a deployment with some revocations, of its ledger or of all. The deployment goes on.
func backedUp(t *testing.T, args ...string) (path string, from *server.Server) {
	t.Helper()
	from = startServer(t)
	for _, id := range []string{"s-1", "s-2", "s-3"} {
		must(t, "revoke", "session", id, "--user", "u-1")
	}
	must(t, "revoke", "user", "u-2")
	path = filepath.Join(t.TempDir(), "backup.zip")
	must(t, append([]string{"backup", path}, args...)...)
	return path, from
}

func TestBackup(t *testing.T) {
	path, _ := backedUp(t)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if out := must(t, "backup", "verify", path); !strings.Contains(out, "4 events") || !strings.Contains(out, "API keys") {
		t.Error(out)
	}
	if _, stderr, code := command(t, "backup", path); code != exitFailed || !strings.Contains(stderr, "--force") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	if out := must(t, "backup", path, "--force", "--all"); !strings.Contains(out, "KV_CURFEW_KEYS") || strings.Contains(out, "not among them") {
		t.Error(out)
	}
	var m backup.Manifest
	if err := json.Unmarshal([]byte(must(t, "backup", "verify", path, "--json")), &m); err != nil || m.Format != backup.Format || len(m.Streams) < 6 {
		t.Errorf("%+v, %v", m, err)
	}
	for _, args := range [][]string{{"backup"}, {"backup", "a", "b"}, {"backup", "verify"}, {"restore"}} {
		if _, _, code := command(t, args...); code != exitUsage {
			t.Errorf("%v: exit code %d", args, code)
		}
	}
	t.Setenv("CURFEW_URL", "http://127.0.0.1:1")
	other := filepath.Join(t.TempDir(), "other.zip")
	if _, _, code := command(t, "backup", other); code != exitUnavailable {
		t.Errorf("exit code %d", code)
	}
	if left, err := filepath.Glob(other + "*"); err != nil || len(left) > 0 {
		t.Errorf("%v, %v", left, err)
	}
}

// TestRestore: a dry run does nothing, the restored ledger has the same events at the same positions, and nothing is replaced.
func TestRestore(t *testing.T) {
	path, from := backedUp(t)
	was := must(t, "events", "ls", "--json")
	dir := filepath.Join(t.TempDir(), "data")
	restore := func(more ...string) []string { return append([]string{"restore", path, "--data-dir", dir}, more...) }
	if out := must(t, restore()...); !strings.Contains(out, "DRY RUN") || !strings.Contains(out, "sign in again") || !strings.Contains(out, "--data-dir "+dir+" --execute") || exists(dir) {
		t.Error(out)
	}
	// What a restore has left that was killed is no obstacle.
	if err := os.MkdirAll(filepath.Join(dir, "ledger.restoring", "jetstream", "$G", "streams", "CURFEW"), 0o700); err != nil {
		t.Fatal(err)
	}
	if out := must(t, restore("--execute", "--nothing-lost")...); !strings.Contains(out, "is restored to") || strings.Contains(out, "sign in again") || !strings.Contains(out, "curfew serve --data-dir "+dir+"\n") {
		t.Error(out)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 || left[0].Name() != "ledger" {
		t.Errorf("left: %v, %v", left, err)
	}
	for _, more := range [][]string{{}, {"--execute"}} {
		if _, stderr, code := command(t, restore(more...)...); code != exitFailed || !strings.Contains(stderr, "never replaces") || !strings.Contains(stderr, "hint: stop curfew serve") {
			t.Errorf("exit code %d: %s", code, stderr)
		}
	}
	to := startServer(t, func(c *config.Config) { c.DataDir = dir })
	if is := must(t, "events", "ls", "--json"); is != was {
		t.Errorf("the events are\n%s\nand were\n%s", is, was)
	}
	if was, is := from.Replica().Digest(), to.Replica().Digest(); was != is {
		t.Errorf("the state is another one: %x and %x", was, is)
	}
	if _, _, code := command(t, "check", "--session", "s-1", "--user", "u-1", "--auth-time", begun()); code != exitRevoked {
		t.Errorf("the revoked session: exit code %d", code)
	}
	if _, _, code := command(t, "check", "--session", "s-9", "--user", "u-9", "--auth-time", begun()); code != exitDone {
		t.Errorf("another's: exit code %d", code)
	}
}

// TestRestoreOfWhatWasLost: who signed in before a restore that may have lost logouts signs in again, and who signs in now gets in.
func TestRestoreOfWhatWasLost(t *testing.T) {
	path, _ := backedUp(t)
	dir := filepath.Join(t.TempDir(), "data")
	must(t, "restore", path, "--data-dir", dir, "--execute")
	startServer(t, func(c *config.Config) { c.DataDir = dir })
	if out, _, code := command(t, "check", "--session", "s-9", "--user", "u-9", "--auth-time", begun()); code != exitRevoked || !strings.Contains(out, "the ledger may have lost what ended it") {
		t.Errorf("who signed in before: exit code %d, %s", code, out)
	}
	if _, _, code := command(t, "check", "--session", "s-9", "--user", "u-9", "--auth-time", time.Now().UTC().Format(time.RFC3339Nano)); code != exitDone {
		t.Errorf("who signs in now: exit code %d", code)
	}
}

// TestRestoreOfAll brings keys back, too; also one that was revoked since, which it says.
func TestRestoreOfAll(t *testing.T) {
	path, from := backedUp(t, "--all")
	key, err := os.ReadFile(filepath.Join(os.Getenv("CURFEW_DATA_DIR"), "admin.key"))
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "data")
	for _, k := range from.Keys().List() {
		if _, err := from.Keys().Revoke(t.Context(), k.ID); err != nil {
			t.Fatal(err)
		}
	}
	if out := must(t, "restore", path, "--data-dir", dir, "--execute"); !strings.Contains(out, "revoked since the backup are good again") || !strings.Contains(out, "curfew replay status") {
		t.Error(out)
	}
	s := startServer(t, func(c *config.Config) { c.DataDir = dir })
	if s.AdminKeyFile() != "" {
		t.Error("there is a new first key")
	}
	t.Setenv("CURFEW_API_KEY", strings.TrimSpace(string(key)))
	if out := must(t, "keys", "ls"); strings.Count(out, "live") != 1 {
		t.Error(out)
	}
}

// TestRestoreOfAnotherFile: of a file that isn't as it was written nothing is restored.
func TestRestoreOfAnotherFile(t *testing.T) {
	whole, _ := backedUp(t)
	data, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	flipped := append([]byte{}, data...)
	flipped[200] ^= 1
	for name, data := range map[string][]byte{"cut off": data[:len(data)-30], "changed": flipped, "nothing": nil} {
		path, dir := filepath.Join(t.TempDir(), "b.zip"), filepath.Join(t.TempDir(), "data")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, stderr, code := command(t, "restore", path, "--data-dir", dir, "--execute"); code != exitFailed || !strings.Contains(stderr, "nothing was restored") || exists(dir) {
			t.Errorf("%s: exit code %d: %s", name, code, stderr)
		}
	}
	if _, _, code := command(t, "restore", "nothing", "--execute"); code != exitFailed {
		t.Errorf("exit code %d", code)
	}
}

// TestRestoreThatIsInterrupted leaves nothing, and can be begun again.
func TestRestoreThatIsInterrupted(t *testing.T) {
	path, _ := backedUp(t)
	dir := filepath.Join(t.TempDir(), "data")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out output
	if code := run(ctx, []string{"restore", path, "--data-dir", dir, "--execute"}, &out, &out); code != exitUnavailable {
		t.Errorf("exit code %d: %s", code, out.String())
	}
	if left, err := os.ReadDir(dir); len(left) > 0 || err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("left: %v, %v", left, err)
	}
	must(t, "restore", path, "--data-dir", dir, "--execute")
}

// TestRestoreToNATS restores into an external server, where it replaces nothing either.
func TestRestoreToNATS(t *testing.T) {
	path, _ := backedUp(t, "--all")
	was := must(t, "events", "ls", "--json")
	key, err := os.ReadFile(filepath.Join(os.Getenv("CURFEW_DATA_DIR"), "admin.key"))
	if err != nil {
		t.Fatal(err)
	}
	nats := natstest.Start(t)
	args := []string{"restore", path, "--nats-url", nats.URL(), "--execute", "--nothing-lost"}
	must(t, append(args, "--ledger-only")...)
	if _, stderr, code := command(t, args...); code != exitFailed || !strings.Contains(stderr, "CURFEW: the stream exists") || !strings.Contains(stderr, "nats stream rm CURFEW") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	if names := streams(t, nats.URL()); len(names) != 1 {
		t.Errorf("there is %v", names)
	}
	another := natstest.Start(t)
	args[3] = another.URL()
	must(t, args...)
	startServer(t, func(c *config.Config) { c.NATS.URL = another.URL() })
	t.Setenv("CURFEW_API_KEY", strings.TrimSpace(string(key)))
	if is := must(t, "events", "ls", "--json"); is != was {
		t.Errorf("the events are\n%s\nand were\n%s", is, was)
	}
}

func streams(t *testing.T, url string) (names []string) {
	t.Helper()
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	for name := range js.StreamNames(t.Context()).Name() {
		names = append(names, name)
	}
	return names
}

// A key that may not is refused, and no file is left.
func TestBackupIsAnOperators(t *testing.T) {
	s := startServer(t)
	t.Setenv("CURFEW_API_KEY", newKey(t, s, access.ScopeRead, access.ScopeAdmin))
	path := filepath.Join(t.TempDir(), "b.zip")
	if _, stderr, code := command(t, "backup", path); code != exitRefused || !strings.Contains(stderr, "operator") || exists(path) || exists(path+".partial") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}
