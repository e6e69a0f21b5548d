package backup_test

import (
	"archive/zip"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/access"
	"github.com/curfewhq/curfew/internal/access/accesstest"
	"github.com/curfewhq/curfew/internal/backup"
	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/ledger"
	"github.com/curfewhq/curfew/internal/natstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// deployment is one with events, keys and sessions.
func deployment(t *testing.T) (b *bus.Bus, key access.Key) {
	t.Helper()
	b = natstest.Bus(t)
	for i := range 50 {
		id, err := events.NewID()
		if err != nil {
			t.Fatal(err)
		}
		data, err := events.Encode(&events.SessionRevoked{Common: events.Common{
			ID: id, Time: events.Floor(time.Now()), Source: "test", Tenant: "acme", Reason: events.ReasonAdmin, Initiator: events.Initiator{Type: events.InitiatorAdmin},
		}, Session: strings.Repeat("s", i+1)})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.JetStream().Publish(t.Context(), "curfew.v1.acme.00.session", data); err != nil {
			t.Fatal(err)
		}
	}
	key, _ = accesstest.Key(t, accesstest.Open(t, b), "acme", access.ScopeRead)
	sessions, err := b.KeyValue(t.Context(), bus.SessionsBucket())
	if err == nil {
		_, err = sessions.PutString(t.Context(), "a", "session")
	}
	if err != nil {
		t.Fatal(err)
	}
	return b, key
}

// written writes a backup to a file.
func written(t *testing.T, b *bus.Bus, all bool) (string, backup.Manifest) {
	t.Helper()
	streams, err := b.Backed(t.Context(), all)
	if err != nil {
		t.Fatal(err)
	}
	var data bytes.Buffer
	m, err := backup.Write(t.Context(), b, streams, &data)
	if err != nil {
		t.Fatal(err)
	}
	return file(t, data.Bytes()), m
}

func file(t *testing.T, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "backup.zip")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func open(t *testing.T, path string) *backup.File {
	t.Helper()
	f, err := backup.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	if err := f.Verify(); err != nil {
		t.Fatal(err)
	}
	return f
}

// bare opens a Bus without streams.
func bare(t *testing.T) *bus.Bus {
	t.Helper()
	b, err := bus.Open(t.Context(), natstest.Config(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

// history is each message of a ledger with its position.
func history(t *testing.T, b *bus.Bus) (all []ledger.Entry) {
	t.Helper()
	reader := ledger.NewReader(b.JetStream(), bus.LedgerStream)
	err := reader.Read(t.Context(), ledger.Range{Topics: []string{events.TopicAll}}, func(e ledger.Entry) error {
		all = append(all, ledger.Entry{Position: e.Position, Stored: e.Stored, Data: e.Data})
		return nil
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestBackupOfAll(t *testing.T) {
	from, key := deployment(t)
	path, m := written(t, from, true)
	if s, ok := m.Ledger(); !ok || s.Events != 50 || len(m.Streams) != 5 || m.Server == "" {
		t.Errorf("%+v", m)
	}
	f, to := open(t, path), bare(t)
	if err := f.Restore(t.Context(), to, backup.Options{}); err != nil {
		t.Fatal(err)
	}
	if err := to.EnsureStreams(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(history(t, from), history(t, to)); diff != "" {
		t.Errorf("the ledger is another one: %s", diff)
	}
	if !accesstest.Open(t, to).Live(key.ID) {
		t.Error("the key isn't known any more")
	}
	sessions, err := to.KeyValue(t.Context(), bus.SessionsBucket())
	if err != nil {
		t.Fatal(err)
	}
	if entry, err := sessions.Get(t.Context(), "a"); err != nil || string(entry.Value()) != "session" {
		t.Errorf("%v, %v", entry, err)
	}
	differences, err := to.Differences(t.Context())
	if err != nil || len(differences) > 0 {
		t.Errorf("%v, %v", differences, err)
	}
	if err := f.Restore(t.Context(), to, backup.Options{}); !errors.Is(err, bus.ErrExists) || strings.Count(err.Error(), "exists") != 5 {
		t.Errorf("over what is there: %v", err)
	}
}

func TestBackupOfTheLedger(t *testing.T) {
	from, _ := deployment(t)
	ledger, _ := written(t, from, false)
	all, _ := written(t, from, true)
	for path, o := range map[string]backup.Options{ledger: {}, all: {LedgerOnly: true}} {
		to := bare(t)
		if err := open(t, path).Restore(t.Context(), to, o); err != nil {
			t.Fatal(err)
		}
		if got := names(t, to); !slices.Equal(got, []string{bus.LedgerStream}) {
			t.Errorf("there is %v", got)
		}
	}
}

func names(t *testing.T, b *bus.Bus) (all []string) {
	t.Helper()
	for name := range b.JetStream().StreamNames(t.Context()).Name() {
		all = append(all, name)
	}
	return all
}

// TestRestoreOfAllOrNothing: if one stream can't be restored, none is.
func TestRestoreOfAllOrNothing(t *testing.T) {
	from, _ := deployment(t)
	path, _ := written(t, from, true)
	f, to := open(t, path), bare(t)
	for i := range f.Manifest.Streams {
		f.Manifest.Streams[i].Events *= 2
	}
	if err := f.Restore(t.Context(), to, backup.Options{}); !errors.Is(err, bus.ErrNotWhole) {
		t.Error(err)
	}
	if got := names(t, to); len(got) > 0 {
		t.Errorf("there is %v", got)
	}
}

// TestBackupThatWasChanged: each change is noticed before anything is restored.
func TestBackupThatWasChanged(t *testing.T) {
	from, _ := deployment(t)
	path, _ := written(t, from, true)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(whole)
	flipped[100] ^= 1
	tests := map[string][]byte{
		"nothing": nil, "no ZIP": []byte("{}"), "cut off": whole[:len(whole)-10], "half": whole[:len(whole)/2], "changed": flipped,
		"another manifest": rewritten(t, path, func(name string, data []byte) []byte {
			return map[bool][]byte{true: bytes.Replace(data, []byte(`"sha256": "`), []byte(`"sha256": "0`), 1), false: data}[name == "manifest.json"]
		}),
		"another form": rewritten(t, path, func(_ string, data []byte) []byte {
			return bytes.Replace(data, []byte("curfew-backup/1"), []byte("curfew-backup/9"), 1)
		}),
		"a snapshot less": rewritten(t, path, func(name string, data []byte) []byte {
			return map[bool][]byte{false: data}[name == "CURFEW.snapshot"]
		}),
		"without a manifest": rewritten(t, path, func(name string, data []byte) []byte { return map[bool][]byte{false: data}[name == "manifest.json"] }),
	}
	for name, data := range tests {
		f, err := backup.Open(file(t, data))
		if err == nil {
			err = errors.Join(f.Verify(), f.Close())
		}
		if !errors.Is(err, backup.ErrNoBackup) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// rewritten is a backup whose entries were changed; those that become nil are left out.
func rewritten(t *testing.T, path string, change func(name string, data []byte) []byte) []byte {
	t.Helper()
	in, err := zip.OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, entry := range in.File {
		r, err := entry.Open()
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if data = change(entry.Name, data); data == nil {
			continue
		}
		e, err := w.Create(entry.Name)
		if err == nil {
			_, err = e.Write(data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
