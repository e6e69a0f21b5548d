package server_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"

	"github.com/curfewhq/curfew/cmd/curfew/server"
	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/bus"
	"github.com/curfewhq/curfew/internal/config"
	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/revocation"
)

// inNATS is the place of the deployment's snapshot.
const inNATS = "nats:CURFEW_SNAPSHOTS/CURFEW"

// logged starts a server and keeps what it logs.
func logged(t *testing.T, cfg config.Config) (*server.Server, *logtest.Hook) {
	t.Helper()
	log, hook := logtest.NewNullLogger()
	log.SetOutput(io.Discard)
	log.SetLevel(logrus.DebugLevel)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	s, err := server.Start(ctx, cfg, server.Options{Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, s) })
	return s, hook
}

// said returns the place of each line with a message.
func said(hook *logtest.Hook, what string) []string {
	var places []string
	for _, e := range hook.AllEntries() {
		if strings.Contains(e.Message, what) {
			places = append(places, fmt.Sprint(e.Data["place"]))
		}
	}
	return places
}

// revoke revokes a session, waits until the replica has applied it, and returns its position.
func revoke(t *testing.T, s *server.Server, session string) uint64 {
	t.Helper()
	id, err := uuid.NewV7()
	if err != nil {
		t.Fatal(err)
	}
	e := &events.SessionRevoked{
		Common: events.Common{
			ID: id.String(), Time: time.Now(), Source: "test", Tenant: events.DefaultTenant, Reason: events.ReasonAdmin,
			Initiator: events.Initiator{Type: events.InitiatorSystem},
		},
		Session: session,
	}
	b, err := events.Encode(e)
	if err != nil {
		t.Fatal(err)
	}
	p := s.Bus().Publisher()
	defer func() { _ = p.Close() }()
	ack, err := p.PublishAck(t.Context(), events.TopicOf(e).String(), message.NewMessage(id.String(), b))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Replica().WaitFor(t.Context(), ack.Position); err != nil {
		t.Fatal(err)
	}
	return ack.Position
}

func isRevoked(s *server.Server, session string) bool {
	return s.Replica().Check(revocation.Session{ID: session, User: "u", AuthTime: time.Now()}).State == revocation.Revoked
}

// shows reports whether the metrics have a line.
func shows(t *testing.T, s *server.Server, line string) bool {
	t.Helper()
	_, body := get(t, http.DefaultClient, s.AdminURL()+"/metrics")
	return strings.Contains(body, "\n"+line+"\n")
}

// finding returns what doctor says of something.
func finding(t *testing.T, s *server.Server, name string) server.Finding {
	t.Helper()
	var all server.Findings
	_, body := get(t, http.DefaultClient, s.AdminURL()+"/doctor")
	if err := json.Unmarshal([]byte(body), &all); err != nil {
		t.Fatal(err)
	}
	for _, f := range all.Findings {
		if f.Name == name {
			return f
		}
	}
	t.Fatalf("doctor says nothing of %q: %s", name, body)
	return server.Finding{}
}

// A process saves its snapshot to the object store and to its file, and starts from the file, or from the object store if it is gone.
func TestSnapshotsAreSavedAndStartedFrom(t *testing.T) {
	cfg := testConfig(t)
	cfg.SnapshotInterval = time.Second
	path := filepath.Join(cfg.DataDir, "replica.snapshot")
	s, _ := logged(t, cfg)
	if f := finding(t, s, "snapshot in NATS"); f.Status != "ok" || !strings.Contains(f.Detail, "nothing to save") {
		t.Errorf("before anything was revoked doctor says %+v", f)
	}
	position := revoke(t, s, "s1")
	saved := fmt.Sprintf(`curfew_snapshot_saved_position{place=%%q} %d`, position)
	await(t, "both snapshots are saved", func() bool {
		return shows(t, s, fmt.Sprintf(saved, "nats")) && shows(t, s, fmt.Sprintf(saved, "file"))
	})
	if !shows(t, s, "curfew_snapshot_elected 1") {
		t.Error("the only process isn't elected")
	}
	for _, name := range []string{"snapshot in NATS", "snapshot file"} {
		if f := finding(t, s, name); f.Status != "ok" || !strings.Contains(f.Detail, fmt.Sprintf("at position %d, 1 entries", position)) || !strings.Contains(f.Detail, "lacks nothing") {
			t.Errorf("%s: %+v", name, f)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("the file is %v, %v", info, err)
	}
	stop(t, s)

	restart := func(want string) {
		t.Helper()
		s, hook := logged(t, cfg)
		if got := said(hook, "begins from a snapshot"); len(got) != 1 || got[0] != want {
			t.Errorf("it began from %q, want %q", got, want)
		}
		if !isRevoked(s, "s1") {
			t.Error("what was revoked isn't any more")
		}
		stop(t, s)
	}
	restart("file:" + path)
	if err := os.WriteFile(path, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	restart(inNATS)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	cfg.SnapshotFile = ""
	restart(inNATS)
	if _, err := os.Stat(path); err == nil {
		t.Error("a file was written that nobody wants")
	}
}

// Nothing is saved where nothing was applied since, whoever saved it; and never if that was asked for.
func TestSnapshotsAreSavedOnlyIfNeeded(t *testing.T) {
	cfg := testConfig(t)
	cfg.SnapshotInterval = time.Second
	s, hook := logged(t, cfg)
	revoke(t, s, "s1")
	await(t, "the snapshot is saved", func() bool { return len(said(hook, "saved a snapshot")) >= 2 })
	stop(t, s)
	// The file is written by a process of its own account: one that began from it knows that it lacks nothing.
	s, hook = logged(t, cfg)
	await(t, "it is elected", func() bool { return len(said(hook, "saves the snapshots to NATS from now on")) == 1 })
	turns := time.Now().Add(3 * cfg.SnapshotInterval)
	await(t, "its turns are over", func() bool {
		if slices.Contains(said(hook, "saved a snapshot"), inNATS) {
			t.Fatal("saved to NATS once more, though nothing was applied")
		}
		return time.Now().After(turns)
	})
	revoke(t, s, "s2")
	await(t, "what was applied is saved", func() bool { return slices.Contains(said(hook, "saved a snapshot"), inNATS) })
	stop(t, s)

	cfg.SnapshotInterval = 0
	s, hook = logged(t, cfg)
	if got := said(hook, "begins from a snapshot"); len(got) != 1 {
		t.Errorf("it began from %q, want what was saved before", got)
	}
	revoke(t, s, "s3")
	for _, name := range []string{"snapshot in NATS", "snapshot file"} {
		if f := finding(t, s, name); f.Status != "ok" {
			t.Errorf("%s: %+v", name, f)
		}
	}
	if shows(t, s, "curfew_snapshot_elected 1") || len(said(hook, "saved a snapshot")) > 0 {
		t.Error("it saves")
	}
}

// Of several processes one saves for all, and when it ends another does at once; one without the role publisher only starts from what is there.
func TestOneProcessSavesForAll(t *testing.T) {
	nats := natstest.Start(t)
	process := func(roles ...string) *server.Server {
		t.Helper()
		cfg := testConfig(t)
		cfg.NATS.URL, cfg.SnapshotInterval, cfg.SnapshotFile, cfg.Roles = nats.URL(), time.Second, "", roles
		s, _ := logged(t, cfg)
		return s
	}
	const elected = "curfew_snapshot_elected 1"
	publishers := []*server.Server{process(config.RolePublisher), process(config.RolePublisher, config.RoleGate)}
	gate := process(config.RoleGate)
	position := revoke(t, gate, "s1")
	saved := fmt.Sprintf(`curfew_snapshot_saved_position{place="nats"} %d`, position)
	await(t, "one of them saves", func() bool { return shows(t, publishers[0], saved) || shows(t, publishers[1], saved) })
	one, other := publishers[0], publishers[1]
	if shows(t, other, elected) {
		one, other = other, one
	}
	if !shows(t, one, elected) || shows(t, other, elected) || shows(t, other, saved) || shows(t, gate, elected) {
		t.Error("not exactly one of the publishers saves")
	}
	stop(t, one)
	position = revoke(t, gate, "s2")
	saved = fmt.Sprintf(`curfew_snapshot_saved_position{place="nats"} %d`, position)
	await(t, "the other one saves", func() bool { return shows(t, other, saved) })
	late := process(config.RoleGate)
	if !shows(t, late, `curfew_snapshot_loads_total{place="nats",result="loaded"} 1`) || !isRevoked(late, "s1") || !isRevoked(late, "s2") {
		t.Error("a process that came later didn't begin from the snapshot")
	}
}

// Doctor warns of a snapshot that is late, or no use, and of none where there should be one.
func TestDoctorLooksAtSnapshots(t *testing.T) {
	nats := natstest.Start(t)
	cfg := testConfig(t)
	cfg.NATS.URL, cfg.SnapshotInterval, cfg.SnapshotFile, cfg.Roles = nats.URL(), time.Second, "", []string{config.RolePublisher}
	saver, _ := logged(t, cfg)
	revoke(t, saver, "s1")
	await(t, "it is saved", func() bool { return shows(t, saver, `curfew_snapshot_saves_total{place="nats",result="saved"} 1`) })

	cfg = testConfig(t)
	cfg.NATS.URL, cfg.SnapshotInterval, cfg.SnapshotFile, cfg.Roles = nats.URL(), time.Second, filepath.Join(t.TempDir(), "s"), []string{config.RoleGate}
	s, _ := logged(t, cfg)
	if f := finding(t, s, "snapshot in NATS"); f.Status != "ok" {
		t.Errorf("doctor says %+v", f)
	}
	// Nobody saves any more. The beats must go on.
	stop(t, saver)
	stopBeats := natstest.Beat(t, s.Bus(), 250*time.Millisecond)
	defer stopBeats()
	revoke(t, s, "s2")
	if f := finding(t, s, "snapshot in NATS"); f.Status != "ok" || !strings.Contains(f.Detail, "lacks what came after") {
		t.Errorf("of what was applied just now doctor says %+v", f)
	}
	await(t, "doctor warns that it is late", func() bool {
		f := finding(t, s, "snapshot in NATS")
		return f.Status == "warn" && strings.Contains(f.Detail, "lacks what came after") && f.Hint != ""
	})
	obs, err := s.Bus().JetStream().ObjectStore(t.Context(), bus.SnapshotsBucket)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := obs.PutBytes(t.Context(), bus.LedgerStream, []byte(strings.Repeat("nonsense", 100))); err != nil {
		t.Fatal(err)
	}
	if f := finding(t, s, "snapshot in NATS"); f.Status != "warn" || !strings.Contains(f.Detail, "can't be used") {
		t.Errorf("of nonsense doctor says %+v", f)
	}
	if err := s.Bus().JetStream().DeleteObjectStore(t.Context(), bus.SnapshotsBucket); err != nil {
		t.Fatal(err)
	}
	if f := finding(t, s, "snapshot in NATS"); f.Status != "warn" || !strings.Contains(f.Detail, "none") {
		t.Errorf("of none doctor says %+v", f)
	}
	// The file is the process's own.
	await(t, "the file lacks nothing", func() bool { return strings.Contains(finding(t, s, "snapshot file").Detail, "lacks nothing") })
	if err := os.Chmod(cfg.SnapshotFile, 0o666); err != nil {
		t.Fatal(err)
	}
	if f := finding(t, s, "snapshot file"); f.Status != "warn" || !strings.Contains(f.Detail, "may be written by others") {
		t.Errorf("of a file that others may write doctor says %+v", f)
	}
}

// A snapshot with another key than the ledger's is of no use to anybody else, however new it is.
func TestDoctorWarnsOfASnapshotWithAnotherKey(t *testing.T) {
	cfg := testConfig(t)
	cfg.SnapshotInterval = time.Second
	s, hook := logged(t, cfg)
	revoke(t, s, "s1")
	await(t, "both snapshots are saved", func() bool { return len(said(hook, "saved a snapshot")) >= 2 })
	names := []string{"snapshot in NATS", "snapshot file"}
	for _, name := range names {
		if f := finding(t, s, name); f.Status != "ok" {
			t.Errorf("%+v", f)
		}
	}
	js := s.Bus().JetStream()
	stream, err := js.Stream(t.Context(), bus.LedgerStream)
	if err != nil {
		t.Fatal(err)
	}
	changed := stream.CachedInfo().Config
	changed.Metadata[bus.HashKeyMetadata] = "000102030405060708090a0b0c0d0e0f"
	if _, err := js.UpdateStream(t.Context(), changed); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if f := finding(t, s, name); f.Status != "warn" || !strings.Contains(f.Detail, "another key") || !strings.Contains(f.Hint, "restart") {
			t.Errorf("with another key doctor says %+v", f)
		}
	}
}

// The replica of a process that has seen the ledger put back calls it otherwise than others, and its snapshots are all the same for all.
func TestDoctorKnowsSnapshotsOfALedgerThatWasPutBack(t *testing.T) {
	dir, copied := t.TempDir(), t.TempDir()
	nats := natstest.Start(t, natstest.With(func(o *natsserver.Options) { o.StoreDir = dir }))
	cfg := testConfig(t)
	cfg.NATS.URL, cfg.SnapshotInterval, cfg.SnapshotFile, cfg.Roles = nats.URL(), time.Second, "", []string{config.RolePublisher}
	s, _ := logged(t, cfg)
	revoke(t, s, "s1")
	nats.Stop()
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	was := s.Replica().Status().Position
	nats.Restart()
	await(t, "beats are written again", func() bool { return s.Replica().Status().Position > was })
	revoke(t, s, "s2")
	before := s.Replica().Status()
	nats.Stop()
	if err := errors.Join(os.RemoveAll(dir), os.CopyFS(dir, os.DirFS(copied))); err != nil {
		t.Fatal(err)
	}
	nats.Restart()
	await(t, "it is known to be put back", func() bool { return s.Replica().Status().Stream != before.Stream })
	await(t, "the snapshot lacks nothing", func() bool {
		f := finding(t, s, "snapshot in NATS")
		return f.Status == "ok" && strings.Contains(f.Detail, "lacks nothing")
	})
}

// Where snapshots can't be saved the process serves all the same, and says so.
func TestSnapshotsThatCanNotBeSaved(t *testing.T) {
	nats := natstest.Start(t)
	cfg := testConfig(t)
	cfg.NATS.URL, cfg.SnapshotInterval = nats.URL(), time.Second
	cfg.SnapshotFile = filepath.Join(t.TempDir(), "file", "s")
	if err := os.WriteFile(filepath.Dir(cfg.SnapshotFile), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s, hook := logged(t, cfg)
	// Something else has the name.
	if _, err := s.Bus().JetStream().CreateStream(t.Context(), jetstream.StreamConfig{Name: "TAKEN", Subjects: []string{"$O.CURFEW_SNAPSHOTS.C.>"}}); err != nil {
		t.Fatal(err)
	}
	revoke(t, s, "s1")
	await(t, "the log tells that the file can't be saved", func() bool { return len(said(hook, "a snapshot couldn't be saved")) > 0 })
	await(t, "the log tells that nothing can be saved to NATS", func() bool { return len(said(hook, "no snapshot can be saved to NATS")) > 0 })
	if status, r := readyz(t, s); status != 200 {
		t.Errorf("%d %+v, want ready", status, r)
	}
	await(t, "doctor warns of both", func() bool {
		return finding(t, s, "snapshot in NATS").Status == "warn" && finding(t, s, "snapshot file").Status == "warn"
	})
}
