package replay_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/curfewhq/curfew/events"
	"github.com/curfewhq/curfew/internal/natstest"
	"github.com/curfewhq/curfew/services/replay"
)

// written is what a file holds.
type written struct {
	events    []events.Event
	positions []uint64
}

// readFile reads a finished file, which must be as its manifest says.
func readFile(t testing.TB, path string) (w written) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	zip, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.New()
	for lines := bufio.NewScanner(zip); lines.Scan(); {
		var line struct {
			replay.Record
			Manifest *struct {
				Format, SHA256 string
				Events         int
			}
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		if m := line.Manifest; m != nil {
			if m.Format != "curfew-export/1" || m.Events != len(w.events) || m.SHA256 != hex.EncodeToString(sum.Sum(nil)) {
				t.Fatalf("the manifest says %+v of %d events", m, len(w.events))
			}
			return w
		}
		fmt.Fprintln(sum, lines.Text())
		e, err := events.Decode(line.Event)
		if err != nil {
			t.Fatal(err)
		}
		w.events, w.positions = append(w.events, e), append(w.positions, line.Position)
	}
	t.Fatal("no manifest")
	return w
}

// TestReplayToFile: what matches, marked, in the form of an export; and a name is nobody else's.
func TestReplayToFile(t *testing.T) {
	d := newDesk(t, natstest.Bus(t))
	var want []uint64
	for i := range 50 {
		if at := d.session(t, fmt.Sprint(planted, i), fmt.Sprint("u-", i%2)); i%2 == 0 {
			want = append(want, at)
		}
	}
	d.run(t)
	id := d.order(t, `{"execute":true,"filter":{"user":"u-0"},"target":{"kind":"file","name":"a.gz"}}`)
	got := d.await(t, id, replay.StateDone)
	if got.Sent != 25 || got.Position != got.To || got.Result.File != "a.gz" || got.Result.SHA256 == "" || got.Runs != 1 || got.KeyTenant != "acme" || got.EndedAt.IsZero() || got.Next != "" {
		t.Errorf("%+v", got)
	}
	w := readFile(t, filepath.Join(d.folder, "a.gz"))
	if fmt.Sprint(w.positions) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", w.positions, want)
	}
	for _, e := range w.events {
		if e.Meta().Replay != id || e.UserID() != "u-0" {
			t.Fatalf("%+v", e)
		}
	}
	if info, err := os.Stat(filepath.Join(d.folder, "a.gz")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	if left, err := filepath.Glob(filepath.Join(d.folder, ".*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
	if got := d.call(t, d.operator, http.MethodPost, "/v1/replays", `{"execute":true,"target":{"kind":"file","name":"a.gz"}}`); got.status != http.StatusUnprocessableEntity || got.faults[0].Field != "target.name" {
		t.Errorf("the name twice: %d %s", got.status, got.body)
	}
	none := d.order(t, `{"execute":true,"filter":{"user":"nobody"},"target":{"kind":"file"}}`)
	if got := d.await(t, none, replay.StateDone); got.Sent != 0 || got.Result.File != none+".ndjson.gz" || len(readFile(t, filepath.Join(d.folder, got.Result.File)).events) != 0 {
		t.Errorf("of nothing: %+v", got)
	}
	if list := d.call(t, d.operator, http.MethodGet, "/v1/replays?limit=1", "").list.Replays; len(list) != 1 || list[0].ID != none {
		t.Errorf("%+v", list)
	}
	if said := d.log.String(); strings.Contains(said, "u-0") || !strings.Contains(said, "a replay has ended") {
		t.Error(said)
	}
}

// records keeps every state that a replay's record has had.
func (d *desk) records(t *testing.T, id string) (all func() [][]byte) {
	t.Helper()
	w, err := d.cfg.Tasks.Watch(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var seen [][]byte
	var work sync.WaitGroup
	work.Go(func() {
		for entry := range w.Updates() {
			if entry != nil && entry.Operation() == jetstream.KeyValuePut {
				mu.Lock()
				seen = append(seen, entry.Value())
				mu.Unlock()
			}
		}
	})
	t.Cleanup(func() { _ = w.Stop(); work.Wait() })
	return func() [][]byte { mu.Lock(); defer mu.Unlock(); return seen }
}

// sinceBegun leaves out the records of a file that was begun anew since, or goes on from an earlier one: no process that is killed leaves those.
func sinceBegun(t *testing.T, records [][]byte) [][]byte {
	t.Helper()
	first, last := 0, uint64(0)
	for i, record := range records {
		var r replay.Replay
		if err := json.Unmarshal(record, &r); err != nil {
			t.Fatal(err)
		}
		if r.Position < last {
			first = i
		}
		last = r.Position
	}
	return records[first:]
}

// TestReplayGoesOn: however often a process is killed, and however far its file was ahead of what was written down, the file holds each event once, in the ledger's order.
func TestReplayGoesOn(t *testing.T) {
	d := newDesk(t, natstest.Bus(t))
	var want []uint64
	const n = 3000
	for i := range n {
		e := &events.SessionRevoked{Common: common(t), Session: fmt.Sprint(planted, i), User: fmt.Sprint("u-", i%7)}
		data, err := events.Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		ack, err := d.bus.JetStream().Publish(t.Context(), events.TopicOf(e).String(), data)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, ack.Sequence)
	}
	for trial := range 4 {
		id := d.order(t, `{"execute":true,"target":{"kind":"file"},"rate":1800}`)
		all := d.records(t, id)
		kills := 0
		for ; kills < 3; kills++ {
			stop := d.run(t)
			from := d.status(t, id).Position
			eventually(t, "it has gone on", func() bool { s := d.status(t, id); return s.Position > from || s.State == replay.StateDone })
			stop()
			if d.status(t, id).State == replay.StateDone {
				break
			}
			// A process that is killed doesn't write down how far it came: the record is one from before, and the file is longer.
			before := sinceBegun(t, all())
			if _, err := d.cfg.Tasks.Put(t.Context(), id, before[rand.N(len(before))]); err != nil {
				t.Fatal(err)
			}
			if partial := filepath.Join(d.folder, "."+id+".partial"); trial == 1 {
				// It runs elsewhere, where the file isn't.
				if err := os.Remove(partial); err != nil && !errors.Is(err, fs.ErrNotExist) {
					t.Fatal(err)
				}
			} else if _, err := os.Stat(filepath.Join(d.folder, id+".ndjson.gz")); err == nil { // it was stopped right after it had given the file its name
				continue
			} else if f, err := os.OpenFile(partial, os.O_APPEND|os.O_WRONLY, 0); err != nil {
				t.Fatal(err)
			} else {
				_, _ = f.WriteString("torn")
				_ = f.Close()
			}
		}
		stop := d.run(t)
		got := d.await(t, id, replay.StateDone)
		stop()
		if got.Sent != n || kills == 0 {
			t.Errorf("%d sent, killed %d times: %+v", got.Sent, kills, got)
		}
		if w := readFile(t, filepath.Join(d.folder, id+".ndjson.gz")); fmt.Sprint(w.positions) != fmt.Sprint(want) {
			t.Fatalf("trial %d: the file holds %d events", trial, len(w.positions))
		}
	}
}

// TestFinishedAndKilled: a process is killed after it has given the file its name and before it has written that down.
func TestFinishedAndKilled(t *testing.T) {
	d := newDesk(t, natstest.Bus(t))
	d.session(t, planted+"1", "u")
	id := d.order(t, `{"execute":true,"target":{"kind":"file","name":"whole.gz"}}`)
	entry, err := d.cfg.Tasks.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	stop := d.run(t)
	d.await(t, id, replay.StateDone)
	stop()
	if _, err := d.cfg.Tasks.Put(t.Context(), id, entry.Value()); err != nil {
		t.Fatal(err)
	}
	d.run(t)
	if got := d.await(t, id, replay.StateDone); got.Sent != 1 || len(readFile(t, filepath.Join(d.folder, "whole.gz")).events) != 1 {
		t.Errorf("%+v", got)
	}
}

// TestCancelAndResume: a cancelled replay stops within a second, says how far it came, and goes on from there.
func TestCancelAndResume(t *testing.T) {
	d := newDesk(t, natstest.Bus(t))
	for i := range 60 {
		d.session(t, fmt.Sprint(planted, i), "u")
	}
	d.run(t)
	id := d.order(t, `{"execute":true,"target":{"kind":"file"},"rate":20}`)
	eventually(t, "it runs", func() bool { return d.status(t, id).Sent > 0 })
	began := time.Now()
	got := d.call(t, d.operator, http.MethodPost, "/v1/replays/"+id+"/cancel", "")
	if got.status != http.StatusOK || got.replay.State != replay.StateCancelled || got.replay.Next != "curfew replay resume "+id || got.replay.CancelledBy == "" {
		t.Fatalf("%d %s", got.status, got.body)
	}
	eventually(t, "it has stopped", func() bool { return strings.Contains(d.log.String(), "a replay has ended") })
	// A second more is the test's own, on a busy machine; what is left to send takes longer yet.
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("it took %v", took)
	}
	at := d.status(t, id)
	if at.Sent == 0 || at.Sent == 60 || at.State != replay.StateCancelled {
		t.Errorf("%+v", at)
	}
	if again := d.call(t, d.operator, http.MethodPost, "/v1/replays/"+id+"/cancel", ""); again.status != http.StatusOK {
		t.Errorf("cancelled twice: %d %s", again.status, again.body)
	}
	if got := d.call(t, d.operator, http.MethodPost, "/v1/replays/"+id+"/resume", ""); got.status != http.StatusAccepted {
		t.Fatalf("%d %s", got.status, got.body)
	}
	if got := d.call(t, d.operator, http.MethodPost, "/v1/replays/"+id+"/resume", ""); got.code != "replay_goes_on" || got.status != http.StatusConflict {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := d.await(t, id, replay.StateDone); got.Sent != 60 || got.Runs != 2 {
		t.Errorf("%+v", got)
	}
	for _, what := range []string{"cancel", "resume"} {
		if got := d.call(t, d.operator, http.MethodPost, "/v1/replays/"+id+"/"+what, ""); got.code != "replay_ended" || got.status != http.StatusConflict {
			t.Errorf("%s: %d %s", what, got.status, got.body)
		}
	}
	// One that nobody has begun is over at once.
	waiting := newDesk(t, natstest.Bus(t))
	idle := waiting.order(t, `{"execute":true,"target":{"kind":"file","name":"b"}}`)
	if got := waiting.call(t, waiting.operator, http.MethodPost, "/v1/replays", `{"execute":true,"target":{"kind":"file","name":"b"}}`); got.status != http.StatusUnprocessableEntity {
		t.Errorf("the same name: %d %s", got.status, got.body)
	}
	waiting.call(t, waiting.operator, http.MethodPost, "/v1/replays/"+idle+"/cancel", "")
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := waiting.svc.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if got := waiting.status(t, idle); got.State != replay.StateCancelled || got.Runs != 0 {
		t.Errorf("%+v", got)
	}
}
